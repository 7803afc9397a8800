"""Radii that others have attacked at, by name, and radii as they are typed."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from sensverify.errors import BadSetting
from sensverify.registry.names import closest

_PIXEL = 255


@dataclass(frozen=True)
class Grid:
    """Radii that belong together.

    Parameters
    ----------
    radii : tuple of float
        Ascending. Where pixels range over 0 to 1, if nothing else is said.
    source : str
        Who attacked at them, and with what.
    """

    radii: tuple[float, ...]
    source: str


def _pixels(*values: float) -> tuple[float, ...]:
    return tuple(value / _PIXEL for value in values)


_JUNG = "Jung et al. 2023, Neural architecture design and robustness: a dataset"

GRIDS: dict[str, Grid] = {
    "architectures-fgsm": Grid(_pixels(0.1, 0.5, *range(1, 9), 255), f"{_JUNG}: FGSM"),
    "architectures": Grid(_pixels(0.1, 0.5, 1, 2, 3, 4, 8), f"{_JUNG}: PGD, APGD and Square"),
    "measures-study": Grid(
        _pixels(2, 5, 8), "Measuring and improving robustness of deep neural networks: FGSM, PGD"
    ),
    "m-tlat": Grid(
        (0.04, 0.08),
        "Laugros 2022, Synthetic, adversarial and natural corruptions: PGD and LL-PGD at the "
        "first, MI-FGSM by a surrogate at both",
    ),
    "wong-kolter": Grid(
        (0.1,),
        "Wong & Kolter 2018, Provable defenses against adversarial examples, and Wang et al., "
        "Towards robust deep neural networks: MNIST, certified",
    ),
    "mnist": Grid((0.05, 0.1, 0.2, 0.3), "usual for MNIST; 0.3 is that of Madry et al. 2018"),
}
"""Grids of radii by name."""


def parse_radii(text: str) -> tuple[float, ...]:
    """Radii from text: numbers, fractions and names of `GRIDS`, with commas between them.

    Parameters
    ----------
    text : str
        Such as ``0.1``, ``2/255,8/255`` or ``mnist,0.4``.

    Returns
    -------
    tuple of float
        Ascending, each once, finite, of at least 0.

    Raises
    ------
    BadSetting
        Something is neither a number nor a name, or is negative or not finite.
    """
    radii: set[float] = set()
    for word in (part.strip() for part in text.split(",")):
        radii.update(GRIDS[word].radii if word in GRIDS else (_radius(word, text),))
    # Adding zero turns a negative zero into zero.
    return tuple(sorted(radius + 0.0 for radius in radii))


def _radius(word: str, text: str) -> float:
    above, slash, below = word.partition("/")
    try:
        radius = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError, OverflowError):
        close = closest(word, GRIDS)
        hint = f"did you mean '{close}'?" if close else f"the names are {', '.join(GRIDS)}"
        raise BadSetting(
            f"'{word}' in the radii '{text}' is no number, no fraction such as 8/255 and no name "
            f"of a grid; {hint}"
        ) from None
    if not (radius >= 0 and isfinite(radius)):
        raise BadSetting(f"a radius is a finite number of at least 0, got '{word}' in '{text}'")
    return radius
