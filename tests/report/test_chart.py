"""Axes, panels and pictures: ticks are round and inside, and what is drawn is there."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensverify.report.chart import (
    Axis,
    Frame,
    Point,
    Stroke,
    line_chart,
    panels,
    svg,
    tick_texts,
    titled,
    value_axis,
)
from sensverify.report.raster import png
from sensverify.report.theme import LOOKS, PALETTE, chart_style, properties, standalone_style

POSITIVE = st.floats(1e-30, 1e30)


def test_ticks_far_from_zero_have_the_digits_that_tell_them_apart() -> None:
    assert [text for _, text in tick_texts([-1736.0, -1735.5, -1735.0])] == [
        "\N{MINUS SIGN}1736",
        "\N{MINUS SIGN}1735.5",
        "\N{MINUS SIGN}1735",
    ]
    assert [text for _, text in tick_texts([0.0, 0.5])] == ["0", "0.5"]
    assert tick_texts([]) == []


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=6))
def test_values_lie_within_their_axis(values: list[float]) -> None:
    check(value_axis(values), values)


@given(st.lists(POSITIVE, min_size=1, max_size=6))
def test_values_lie_within_their_logarithmic_axis(values: list[float]) -> None:
    check(value_axis(values, log=True), values)


def check(axis: Axis, values: list[float]) -> None:
    assert all(-1e-9 <= axis.share(value) <= 1 + 1e-9 for value in values)
    shares = [axis.share(tick) for tick, _ in axis.ticks]
    assert shares
    assert all(-1e-6 <= share <= 1 + 1e-6 for share in shares)
    assert all(a < b for a, b in pairwise(shares))
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


def chart(name: str = "a <b>") -> object:
    points = tuple(Point(x, x * x, x * x - 1, x * x + 1) for x in (1.0, 2.0, 3.0))
    strokes = [Stroke(name, "hue0 dash1", points, band=True, ends=True)]
    frame = Frame(400, 300, right=112, letters=14)
    return line_chart(strokes, frame, value_axis([1, 3]), value_axis([0, 10]), words=name)


def test_texts_are_escaped() -> None:
    text = svg(chart())  # type: ignore[arg-type]
    assert "<b>" not in text
    assert 'aria-label="a &lt;b&gt;"' in text
    assert svg(chart(), style="x").startswith('<svg class="curves" xmlns=')  # type: ignore[arg-type]


def test_panels_hold_everything_side_by_side() -> None:
    one = titled("T", chart())  # type: ignore[arg-type]
    both = panels([one, one, one], columns=2, heading="H")
    assert both.width == 2 * one.width
    assert len(both.marks) == 1 + 3 * len(one.marks)
    shifted = both.marks[1 + len(one.marks)].places[0]
    assert shifted[0] == one.marks[0].places[0][0] + one.width
    assert all(
        0 <= x <= both.width and 0 <= y <= both.height for m in both.marks for x, y in m.places
    )


def test_a_picture_can_be_painted() -> None:
    pytest.importorskip("matplotlib")
    data = png(chart())  # type: ignore[arg-type]
    assert data.startswith(b"\x89PNG")
    assert data == png(chart())  # type: ignore[arg-type]


def test_every_colour_has_its_place_in_the_theme() -> None:
    style = standalone_style()
    used = set(re.findall(r"var\(--([\w-]+)\)", chart_style())) - {"own"}
    assert used <= set(PALETTE)
    assert all(f"--{name}: " in style for name in used)
    for look in LOOKS:
        assert all(
            value.startswith("#") or value == "none"
            for name, value in properties(f"{look} hue1").items()
            if name in ("fill", "stroke")
        )


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        red, green, blue = (
            c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lights = sorted((luminance(one), luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("name", ["ink", "soft", "accent", "good", "bad", "open", "worst"])
@pytest.mark.parametrize("scheme", [0, 1])
def test_texts_can_be_read(name: str, scheme: int) -> None:
    for ground in ("paper", "card"):
        assert contrast(PALETTE[name][scheme], PALETTE[ground][scheme]) >= 4.4


@pytest.mark.parametrize("name", [f"hue{k}" for k in range(6)])
@pytest.mark.parametrize("scheme", [0, 1])
def test_lines_stand_out(name: str, scheme: int) -> None:
    assert contrast(PALETTE[name][scheme], PALETTE["card"][scheme]) >= 3
