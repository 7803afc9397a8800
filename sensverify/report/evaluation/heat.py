"""Shares as colours: steps of one scale that gets darker, for every kind of colour vision."""

from __future__ import annotations

from collections.abc import Sequence

STEPS = 20
"""Steps of the scale; step 0 is a share of 0."""

_Colour = tuple[float, float, float]
# What is lost stands out from the page: pale to dark on light paper, dark to bright on dark.
# Lightness alone tells the order, also in grey and to every kind of colour vision.
_LIGHT: tuple[_Colour, ...] = ((84, 13, 74), (178, 42, 76), (233, 125, 74), (250, 205, 137),
    (243, 244, 236))  # fmt: skip
_DARK: tuple[_Colour, ...] = ((255, 226, 150), (244, 152, 82), (190, 66, 84), (96, 38, 88),
    (33, 36, 46))  # fmt: skip


def step(share: float) -> str:
    """The class of a cell with this share, from ``h0`` to ``h20``."""
    return f"h{round(STEPS * min(max(share, 0.0), 1.0))}"


def heat_style() -> str:
    """The style sheet of the scale, for light and dark pages, and for paper."""
    light, dark = _rules(_LIGHT), _rules(_DARK)
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"


def _rules(ramp: Sequence[_Colour]) -> str:
    lines = []
    for k in range(STEPS + 1):
        colour = _mixed(ramp, k / STEPS)
        # Where white and black can be read equally well.
        ink = "#fff" if _luminance(colour) < 0.179 else "#000"
        red, green, blue = (round(c) for c in colour)
        lines.append(f".h{k} {{ background: rgb({red} {green} {blue}); color: {ink}; }}")
    return "\n".join(lines)


def _mixed(ramp: Sequence[_Colour], at: float) -> _Colour:
    place = at * (len(ramp) - 1)
    first = min(int(place), len(ramp) - 2)
    part = place - first
    red, green, blue = (
        a + part * (b - a) for a, b in zip(ramp[first], ramp[first + 1], strict=True)
    )
    return red, green, blue


def _luminance(colour: _Colour) -> float:
    """WCAG 2's relative luminance, from 0 to 1."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (value / 255 for value in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
