"""Radii that others have attacked at, by name, and radii as they are typed."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from sensverify.core.numbers import RangeShare, parse_share
from sensverify.errors import BadSetting
from sensverify.registry.catalog import Catalog
from sensverify.registry.names import did_you_mean

_PIXEL = 255


@dataclass(frozen=True)
class Grid:
    """Radii that belong together.

    Parameters
    ----------
    radii : tuple of float
        Ascending. Where pixels range over 0 to 1, if nothing else is said.
    source : str
        Publication that attacked at them, and its attacks.
    """

    radii: tuple[float, ...]
    source: str

    @property
    def summary(self) -> str:
        """The radii as text that `parse_radii` reads."""
        return ", ".join(map(_shown, self.radii))


def _shown(radius: float) -> str:
    """``0.1``, or ``8/255`` where a radius is made of grey levels."""
    levels = f"{_PIXEL * radius:.10g}"
    decimal = f"{radius:.10g}"
    return f"{levels}/{_PIXEL}" if len(levels) < len(decimal) - 4 else decimal


def _pixels(*values: float) -> tuple[float, ...]:
    return tuple(value / _PIXEL for value in values)


_JUNG = "Jung et al. 2023, Neural architecture design and robustness: a dataset"

_OWN = {
    "architectures-fgsm": Grid(_pixels(0.1, 0.5, *range(1, 9), 255), f"{_JUNG}; FGSM"),
    "architectures": Grid(_pixels(0.1, 0.5, 1, 2, 3, 4, 8), f"{_JUNG}; PGD, APGD and Square"),
    "measures-study": Grid(
        _pixels(2, 5, 8), "Measuring and improving robustness of deep neural networks; FGSM, PGD"
    ),
    "m-tlat": Grid(
        (0.04, 0.08),
        "Laugros 2022, Synthetic, adversarial and natural corruptions; PGD and LL-PGD at the "
        "first, MI-FGSM by a surrogate at both",
    ),
    "wong-kolter": Grid(
        (0.1,),
        "Wong & Kolter 2018, Provable defenses against adversarial examples; and Wang et al., "
        "Towards robust deep neural networks: MNIST, certified",
    ),
    "mnist": Grid((0.05, 0.1, 0.2, 0.3), "usual for MNIST; 0.3 is that of Madry et al. 2018"),
}

GRIDS: Catalog[Grid] = Catalog("grid", _OWN, group="sensverify.grids", plain=True)
"""Grids of radii by name."""


def parse_radii(text: str, *, shares: bool = False) -> tuple[float | RangeShare, ...]:
    """Radii from text: numbers, fractions, percentages and names of `GRIDS`, with commas between.

    Parameters
    ----------
    text : str
        Such as ``0.1``, ``2/255,8/255``, ``1%,5%`` or ``mnist,0.4``.
    shares : bool
        The radii are shares of each feature's own range, so that ``5%`` is 0.05.

    Returns
    -------
    tuple of float or RangeShare
        Ascending, each once, finite, of at least 0; percentages, unless they are ``shares``, are
        behind the numbers, and are shares of the range that the data have by their nature.

    Raises
    ------
    BadSetting
        Something is neither a number nor a name, or is negative or not finite.
    """
    radii: set[float] = set()
    percentages: set[float] = set()
    for word in (part.strip() for part in text.split(",")):
        kind = percentages if word.endswith("%") and not shares else radii
        kind.update(GRIDS[word].radii if word in GRIDS else (_radius(word, text),))
    # Adding zero turns a negative zero into zero.
    numbers = (radius + 0.0 for radius in sorted(radii))
    return (*numbers, *(RangeShare(share + 0.0) for share in sorted(percentages)))


def _radius(word: str, text: str) -> float:
    try:
        radius = parse_share(word)
    except BadSetting:
        raise BadSetting(
            f"'{word}' in the radii '{text}' is no number, no fraction such as 8/255, no "
            f"percentage and no name of a grid{did_you_mean(word, GRIDS)}",
            f"the names are {', '.join(GRIDS)}",
        ) from None
    if not (radius >= 0 and isfinite(radius)):
        raise BadSetting(f"a radius is a finite number of at least 0, got '{word}' in '{text}'")
    return radius
