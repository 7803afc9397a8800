"""Charts of the course of a training: the loss and the metrics after every epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from sensverify.measures import METRICS, SHARES
from sensverify.report.chart import (
    Axis,
    Drawing,
    Frame,
    Point,
    Stroke,
    line_chart,
    ticks,
    value_axis,
)
from sensverify.report.formatting import number, percent
from sensverify.report.theme import HUES
from sensverify.training.directory.log import EpochRow

ALONE = Frame(560, 260, left=56, right=120, letters=16)
CARD = Frame(380, 230, left=58, right=96, letters=11)

_PARTS = ("train", "held-out", "test")
_NO_TERMS = ("epoch", "step", "seconds", "learning rate", "loss", "batch error")
_LARGEST_RATIO = 50.0
"""Largest over smallest value from which an axis is logarithmic."""

Line = Sequence[tuple[float, float]]


def course_lines(course: Sequence[EpochRow], metric: str) -> dict[str, Line]:
    """A metric over the epochs, by the part of the data that it was taken on."""
    names = {f"{part} {metric}": part for part in _PARTS}
    return _lines(course, names)


def term_lines(course: Sequence[EpochRow]) -> dict[str, Line]:
    """The terms of the loss over the epochs, before they are weighted."""
    every = dict.fromkeys(name for row in course for name in row)
    parts = {f"{part} {metric}" for part in _PARTS for metric in METRICS}
    return _lines(course, {n: n for n in every if n not in _NO_TERMS and n not in parts})


def _lines(course: Sequence[EpochRow], names: Mapping[str, str]) -> dict[str, Line]:
    found = {
        label: [
            (row["epoch"], row[name]) for row in course if math.isfinite(row.get(name, math.nan))
        ]
        for name, label in names.items()
    }
    return {label: line for label, line in found.items() if line}


def course_charts(course: Sequence[EpochRow]) -> Iterator[tuple[str, str, Drawing]]:
    """The loss and every metric that was taken: a title, what it is, and its chart."""
    losses, terms = _lines(course, {"loss": "loss"}), term_lines(course)
    if losses:
        yield "Loss", "mean over the steps of an epoch", chart(losses, CARD, "Loss")
    if len(terms) > 1:
        yield "Terms of the loss", "before their weights", chart(terms, CARD, "Terms of the loss")
    for metric, meaning in METRICS.items():
        lines = course_lines(course, metric)
        if lines:
            yield metric, meaning, chart(lines, CARD, metric, share=metric in SHARES)


def chart(lines: Mapping[str, Line], frame: Frame, what: str, *, share: bool = False) -> Drawing:
    """Lines over epochs; shares begin at 0 %, and what spans powers of ten is logarithmic."""
    epochs = [x for line in lines.values() for x, _ in line]
    values = [y for line in lines.values() for _, y in line]
    text = percent if share else number
    strokes = [
        Stroke(
            name,
            f"hue{place % HUES} bold{f' dash{place % 3}' if place % 3 else ''}",
            tuple(Point(x, y, words=f"{name}, epoch {x:g}: {text(y)}") for x, y in line),
        )
        for place, (name, line) in enumerate(lines.items())
    ]
    first, last = min(epochs), max(epochs)
    marks = sorted({first, (first + last) // 2, last})
    end = last if last > first else first + 1
    x = Axis(first, end, ticks=[(mark, f"{mark:g}") for mark in marks], title="epoch")
    y = _share_axis(values) if share else _value_axis(values)
    return line_chart(strokes, frame, x, y, words=f"{what} by epoch")


def _share_axis(values: Sequence[float]) -> Axis:
    top = max(0.05, max(values))
    return Axis(0, top, ticks=[(mark, percent(mark, 0)) for mark in ticks(0, top)])


def _value_axis(values: Sequence[float]) -> Axis:
    low, high = min(values), max(values)
    return value_axis(values, log=low > 0 and high > _LARGEST_RATIO * low)
