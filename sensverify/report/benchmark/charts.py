"""Charts of the times of a benchmark: instances decided over time, and two runs side by side."""

from __future__ import annotations

from collections.abc import Sequence

from sensverify.report.chart import (
    Axis,
    Drawing,
    Frame,
    Mark,
    Plot,
    Point,
    Stroke,
    line_chart,
    ticks,
    value_axis,
)
from sensverify.report.formatting import clipped, count_of
from sensverify.report.theme import HUES
from sensverify.verification.benchmark import InstanceResult
from sensverify.verification.benchmark_report import BenchmarkReport, pairs

WIDE = Frame(920, 400, left=56, right=190, letters=26)
NARROW = Frame(380, 300, left=48, right=112, letters=13)
"""For phones."""

_LETTERS = 36
"""Characters of a name below an axis."""

_SQUARE = Frame(380, 340, left=52, right=14)

SHORTEST = 1e-3
"""Seconds below which files of results do not tell times apart."""


def run_names(report: BenchmarkReport) -> list[str]:
    """Names of this run and of those that it is compared with: their methods, else their files."""
    methods = [report.method, *(each.method for each in report.compared)]
    if len(set(methods)) == len(methods):
        return methods
    return [path.name for path in (report.out, *(each.path for each in report.compared))]


def decided_seconds(results: Sequence[InstanceResult]) -> list[float]:
    """Seconds of the decided instances, the fastest first."""
    return sorted(max(result.seconds, SHORTEST) for result in results if result.decided)


def cactus(report: BenchmarkReport, frame: Frame) -> Drawing | None:
    """Instances that every run has decided, over the seconds of each; None where none has any."""
    runs = [report.results, *(each.results for each in report.compared)]
    lines = dict(zip(run_names(report), map(decided_seconds, runs), strict=True))
    every = [seconds for line in lines.values() for seconds in line]
    if not every:
        return None
    most = max(map(len, lines.values()))
    strokes = [
        Stroke(
            name,
            f"hue{place % HUES} bold dash{place // HUES}",
            tuple(
                Point(count, each, words=f"{name}: {count:,} within {each:.3g} s")
                for count, each in enumerate(line, start=1)
            ),
            ends=True,
        )
        for place, (name, line) in enumerate(lines.items())
        if line
    ]
    marks = sorted({round(mark) for mark in ticks(0, max(most, 2))} | {most})
    x = Axis(0, most, ticks=[(k, f"{k:,}") for k in marks if k <= most], title="instances decided")
    words = "; ".join(
        f"{name} decides {count_of(len(line), 'instance')}" for name, line in lines.items()
    )
    return line_chart(strokes, frame, x, _seconds_axis(every), words=f"Cactus plot: {words}")


def _seconds_axis(values: Sequence[float], title: str = "") -> Axis:
    return value_axis(values, title, log=True)


def scatter(report: BenchmarkReport, place: int) -> Drawing | None:
    """Seconds of this run against those of the one at this place, an instance a dot.

    What a run has not decided stands at its time limit, in grey. None where the two have no
    instance in common.
    """
    names = run_names(report)
    here, there = names[0], names[place + 1]
    both = list(pairs(report.results, report.compared[place].results))
    if not both:
        return None
    axis = _seconds_axis([_shown(each) for pair in both for each in pair])
    axes = [
        Axis(axis.low, axis.high, axis.warp, axis.ticks, f"seconds, {clipped(name, _LETTERS)}")
        for name in names
    ]
    plot = Plot(_SQUARE, axes[place + 1], axes[0])
    plot.draw_axes()
    plot.add("line", [(axis.low, axis.low), (axis.high, axis.high)], "diagonal")
    # What both have decided lies above what one of them has not.
    for first, second in sorted(both, key=lambda pair: _decided(*pair)):
        look = "point hue0" if _decided(first, second) else "size"
        words = f"{first.instance.vnnlib}: {first.verdict} after {first.seconds:.3g} s here, "
        words += f"{second.verdict} after {second.seconds:.3g} s with {there}"
        at = plot.at(_shown(second), _shown(first))
        plot.marks.append(Mark("dot", (at,), look, words, size=3.2))
    faster = sum(_shown(first) < _shown(second) for first, second in both)
    text = f"{here} against {there}, {count_of(len(both), 'instance')}: faster on {faster}"
    return plot.drawing(text, "curves")


def _decided(first: InstanceResult, second: InstanceResult) -> bool:
    return first.decided and second.decided


def _shown(result: InstanceResult) -> float:
    """Seconds of a decided instance, the limit of another."""
    return max(result.seconds if result.decided else result.timeout, SHORTEST)
