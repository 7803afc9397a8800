"""The distribution of critical radii as a drawing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sensverify.report.chart import (
    Axis,
    Drawing,
    Frame,
    Point,
    Stroke,
    line_chart,
    tick_text,
    ticks,
)
from sensverify.report.formatting import percent, pretty_number
from sensverify.verification.radius_results import CriticalRadiusReport

_CORNERS = 300
"""Steps of a line that are drawn; of more, some evenly between them."""

_WIDE_RANGE = 40.0
"""Largest over first radius from which the axis is logarithmic."""

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)

WIDE = Frame(920, 400, left=48, right=120, letters=14)
NARROW = Frame(380, 300, right=100, letters=10)
"""For phones."""


def distribution_chart(report: CriticalRadiusReport, frame: Frame) -> Drawing:
    """Shares of samples that are robust up to each radius: proven, and not known to be broken."""
    ends = [end for each in report.samples for end in (each.proven, each.attacked)]
    high = max(end for end in ends if math.isfinite(end))
    unbroken = report.summary.unbroken
    high = max(high, report.limits.largest if unbroken else 0.0) or report.limits.first
    proven = [each.proven for each in report.samples]
    attacked = [each.attacked for each in report.samples]
    strokes = [
        Stroke(name, look, tuple(_steps(name, ends, high)))
        for name, look, ends in (
            ("proven", "certified bold", proven),
            ("not broken", "worst bold", attacked),
        )
    ]
    least, most = report.robust(report.limits.first)
    at = pretty_number(report.limits.first)
    words = (
        f"Share of samples robust up to each radius: at radius {at} {percent(least)} proven and "
        f"{percent(most)} not broken"
    )
    unit = " %" if frame.width > 500 else ""
    y = Axis(0.0, 1.0, ticks=[(s, f"{100 * s:.0f}{unit if s == 1 else ''}") for s in _SHARES])
    return line_chart(
        strokes, frame, _axis(report.limits.first, high), y, words=words,
        between=(strokes[1], strokes[0]),
    )  # fmt: skip


def _steps(name: str, ends: Sequence[float], high: float) -> Iterator[Point]:
    """Corners of the share of ends above each radius; of many, some."""
    count = len(ends)
    # By radius, the samples lost up to there; what is at 0 is lost at once.
    lost = {radius: place + 1 for place, radius in enumerate(sorted(ends))}
    left = 1 - lost.pop(0.0, 0) / count
    corners = [each for each in lost.items() if each[0] <= high]
    if len(corners) > _CORNERS:
        last = len(corners) - 1
        corners = [corners[round(k * last / (_CORNERS - 1))] for k in range(_CORNERS)]
    yield Point(0.0, left)
    for radius, gone in corners:
        yield Point(radius, left, words=f"{percent(left)} {name} up to {pretty_number(radius)}")
        left = 1 - gone / count
        # Not quite upright: a height belongs to every place across.
        yield Point(radius + 1e-9 * high, left)
    yield Point(high * (1 + 1e-8), left)


def _axis(first: float, high: float) -> Axis:
    high = high * (1 + 1e-8)
    if high <= _WIDE_RANGE * first:
        return Axis(0.0, high, ticks=[(t, tick_text(t)) for t in ticks(0.0, high)], title="radius")
    low = math.floor(math.log10(first))
    powers = range(low, math.floor(math.log10(high)) + 1)
    marks = [0.0, *(factor * 10.0**power for power in powers for factor in (1, 2, 5))]
    return Axis(
        0.0,
        high,
        lambda radius: math.log1p(max(radius, 0.0) / first),
        [(mark, tick_text(mark)) for mark in marks if mark <= high],
        "radius, logarithmic",
    )
