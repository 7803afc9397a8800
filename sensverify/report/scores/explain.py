"""Regressions on measures, and what each measure adds as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensverify.report import document as doc
from sensverify.report.chart import Axis, Drawing, Frame, Mark, Plot, value_axis
from sensverify.report.formatting import DASH, clipped, number, printed, signed
from sensverify.report.scores.common import data, matrix, reasons, told
from sensverify.scores.explain import Addition, Explanation, Explanations

_ROW = 34.0
_ROWS = 15
_DOT = 2.6
_DRAWN = 500
"""Dots of a row; of more networks, those at even steps."""


def explain_section(found: Explanations) -> doc.Section:
    """Shares of the targets that are explained, and what the measures add."""
    return doc.Section(
        "explain",
        "Targets explained by measures",
        tuple(_blocks(found)),
        data=(
            data("explanations", lambda: map(_values, found.targets)),
            data("importance", lambda: _importance(found)),
            data("additions", lambda: _additions(found)),
        ),
    )


def _blocks(found: Explanations) -> Iterator[doc.Block]:
    yield doc.Text(
        f"Regression ({found.regressor}) of each target on the measures. Points are {found.over}. "
        f"The share of the variance of the target that is explained (R2), and the mean squared "
        f"error, for networks that were left out, in {found.folds} parts; and the share for those "
        "that were fitted on."
    )
    rows = [
        doc.row(
            each.target,
            f"{each.networks}",
            _number(each.explained),
            doc.Cell(DASH if each.error is None else number(each.error), value=each.error),
            _number(each.fitted),
        )
        for each in found.targets
    ]
    yield from matrix(("networks", "R2", "squared error", "R2 fitted"), rows, "explained")
    known = [each for each in found.targets if each.importance]
    if known:
        yield doc.Text(
            "The mean size of what a measure adds to the predictions for single networks (Shapley "
            "values), in units of the target."
        )
        names = [name for name in found.measures if any(name in dict(t.importance) for t in known)]
        rows = [doc.row(name, *(_added(each, name) for each in known)) for name in names]
        yield from matrix([each.target for each in known], rows, "importance")
        figures = [
            doc.Figure([beeswarm(e)], f"What adds to {e.target}", look="card") for e in known
        ]
        yield doc.Group(figures, "pair", on=doc.PAGE)
    lines = reasons((each.target, each.reason) for each in found.targets if each.reason)
    constant = dict.fromkeys(name for each in found.targets for name in each.left_out)
    if constant:
        lines.append(f"Left out, as they are constant: {', '.join(constant)}.")
    if lines:
        yield from told(lines)


def beeswarm(found: Explanation) -> Drawing:
    """A row of dots for each measure, a dot for each network, where the measure puts it.

    Parameters
    ----------
    found : Explanation
        With the importance of at least one measure; the most important are drawn.
    """
    order = sorted(found.importance, key=lambda pair: -pair[1])[:_ROWS]
    frame = Frame(380, 60 + _ROW * len(order), left=112, right=12, top=26)
    x = value_axis([0.0, *(each.addition for each in found.additions)], f"added to {found.target}")
    plot = Plot(frame, x, Axis(0.0, float(len(order))))
    plot.draw_axes()
    plot.add("line", [(0.0, 0.0), (0.0, float(len(order)))], "zero")
    for place, (look, name) in enumerate((("hue2", "below its mean"), ("hue3", "above its mean"))):
        at = frame.left + 4 + 118 * place
        plot.marks.append(Mark("dot", ((at, 10.0),), f"point {look}", size=_DOT))
        plot.text(at + 8, 14, name, anchor="start")
    for place, (name, _) in enumerate(order):
        height = len(order) - place - 0.5
        plot.text(plot.left - 8, plot.at(0.0, height)[1] + 4, clipped(name, 16), anchor="end")
        plot.marks += _dots(
            plot, [each for each in found.additions if each.measure == name], height
        )
    listed = ", ".join(f"{name} {number(size)}" for name, size in order)
    return plot.drawing(f"mean size of what is added to {found.target}: {listed}")


def _dots(plot: Plot, added: Sequence[Addition], height: float) -> Iterator[Mark]:
    """Dots that would touch are moved up and down in turn, as far as the row is high."""
    mean = sum(each.value for each in added) / len(added)
    levels: dict[int, int] = {}
    for each in sorted(added, key=lambda one: (one.addition, one.network)):
        x, y = plot.at(each.addition, height)
        place = levels.setdefault(int(x // (2 * _DOT)), 0)
        levels[int(x // (2 * _DOT))] += 1
        away = min((place + 1) // 2 * 2 * _DOT, _ROW / 2 - _DOT)
        words = f"{each.network}: {printed(each.value)} adds {printed(each.addition)}"
        look = "hue3" if each.value > mean else "hue2"
        yield Mark("dot", ((x, y + (away if place % 2 else -away)),), f"point {look}", words, _DOT)


def _added(each: Explanation, name: str) -> doc.Cell:
    value = dict(each.importance).get(name)
    return doc.Cell(DASH if value is None else number(value), value=value)


def _number(value: float | None) -> doc.Cell:
    return doc.Cell(DASH if value is None else signed(value, 3), value=value)


def _values(each: Explanation) -> tuple[doc.Value, ...]:
    return each.target, each.networks, each.explained, each.error, each.fitted, each.reason or None


def _importance(found: Explanations) -> Iterator[tuple[doc.Value, ...]]:
    for each in found.targets:
        for name, value in each.importance:
            yield each.target, name, value


def _additions(found: Explanations) -> Iterator[tuple[doc.Value, ...]]:
    for each in found.targets:
        for one in each.additions:
            yield each.target, one.network, one.measure, one.value, one.addition
