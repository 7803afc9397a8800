"""Networks as points of two columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sensverify.report.chart import Axis, Drawing, Frame, Mark, Plot, tick_texts, ticks, value_axis
from sensverify.report.formatting import clipped
from sensverify.report.theme import HUES

Dot = tuple[float, float, str]
"""Two values, and what is said of them."""

_DRAWN = 1000
"""Dots of a picture."""

_TOLD = 60
"""Dots up to which each is told in the words in place of the picture."""

_FRAME = Frame(380, 300, left=52, right=118, top=30)
_LETTERS = 15
_LINE = 16.0
_NAMED = 14
"""Names beside a picture; more have no room."""


def scatter(
    groups: Mapping[str, Sequence[Dot]],
    titles: tuple[str, str],
    *,
    lines: Mapping[str, tuple[float, float]] | None = None,
    shares: bool = False,
    log: bool = False,
) -> Drawing:
    """Dots of a colour for each group, whose names stand beside them, and lines.

    Of very many dots some are drawn, at even steps, and the picture says how many.

    Parameters
    ----------
    groups : mapping from str to sequence of Dot
        With at least one dot in all.
    titles : pair of str
        Of both axes.
    lines : mapping from str to (slope, intercept)
        Drawn across the dots: the first dashed, others in full.
    shares : bool
        Whether values are shares, which the axes show in percent.
    log : bool
        Whether the second axis has powers of ten, where all of its values are above 0.
    """
    dots = [dot for group in groups.values() for dot in group]
    every = -(-len(dots) // _DRAWN)
    x = _axis([across for across, _, _ in dots], titles[0], shares)
    heights = [up for _, up, _ in dots]
    y = _axis(heights, titles[1], shares)
    if log and min(heights) > 0:
        y = value_axis(heights, titles[1], log=True)
    plot = Plot(_FRAME, x, replace(y, title=""))
    plot.draw_axes()
    plot.text(plot.left - 44, plot.top - 14, clipped(y.title, 48), "axis", "start")
    key = [(name, f"point hue{place % HUES}", False) for place, name in enumerate(groups)]
    for place, (name, (slope, intercept)) in enumerate((lines or {}).items()):
        look = "line hue5" if place else "diagonal"
        ends = _inside(slope, intercept, x, y)
        if ends:
            plot.add("line", ends, look)
            key.append((name, look, True))
    for place, group in enumerate(groups.values()):
        look = f"point hue{place % HUES}"
        for one, other, told in group[::every]:
            plot.marks.append(Mark("dot", (plot.at(one, other),), look, told, size=3.5))
    _draw_key(plot, key)
    if every > 1:
        drawn = sum(len(group[::every]) for group in groups.values())
        plot.text(plot.right, plot.top - 14, f"{drawn:,} of {len(dots):,} dots", "axis", "end")
    if len(dots) > _TOLD:
        return plot.drawing(f"{len(dots):,} dots: {titles[0]} and {titles[1]}")
    return plot.drawing("; ".join(told for _, _, told in dots))


def _axis(values: Sequence[float], title: str, shares: bool) -> Axis:
    if not shares:
        return value_axis(values, title)
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05
    low, high = max(low - room, 0.0), min(high + room, 1.0)
    marks = ticks(100 * low, 100 * high, about=4)
    texts = [(value / 100, text) for value, text in tick_texts(marks)]
    return Axis(low, high, ticks=texts, title=f"{title} (%)")


def _inside(slope: float, intercept: float, x: Axis, y: Axis) -> list[tuple[float, float]]:
    """The ends of the part of a line that both axes have; empty where they have none."""
    low, high = x.low, x.high
    if abs(slope) > 1e-12:
        ends = sorted(((y.low - intercept) / slope, (y.high - intercept) / slope))
        low, high = max(low, ends[0]), min(high, ends[1])
    elif not y.low <= intercept <= y.high:
        return []
    if not low < high:
        return []
    return [(at, slope * at + intercept) for at in (low, high)]


def _draw_key(plot: Plot, key: Sequence[tuple[str, str, bool]]) -> None:
    """Names with their colours, right of the picture."""
    left = plot.right + 10
    shown = key if len(key) <= _NAMED else key[: _NAMED - 1]
    for place, (name, look, line) in enumerate(shown):
        y = plot.top + 6 + _LINE * place
        if line:
            plot.marks.append(Mark("line", ((left - 4, y), (left + 6, y)), look))
        else:
            plot.marks.append(Mark("dot", ((left + 1, y),), look, name, size=3.5))
        plot.text(left + 11, y + 4, clipped(name, _LETTERS), anchor="start")
    if len(shown) < len(key):
        y = plot.top + 6 + _LINE * len(shown)
        plot.text(left + 11, y + 4, f"{len(key) - len(shown)} more", anchor="start")
