"""Measures with their definitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensverify.evaluation.results import Evaluation, MeasureRow, ModelEvaluation
from sensverify.evaluation.scores import Summary
from sensverify.measures.catalog import MEASURES
from sensverify.report.document import (
    Block,
    Cell,
    Column,
    Line,
    Medium,
    Row,
    Section,
    Span,
    Table,
    Text,
    Value,
)
from sensverify.report.evaluation.common import model_data, number
from sensverify.report.evaluation.missing import reason_line
from sensverify.report.words import DASH, count_of, percent, points, printed

_PREFIX = "measure/"
_OTHERS = "others"
_DATA = ("measure", "value", "error", "samples", "note", "seconds")
_READING = (
    "Behind ± is one standard error of an estimate, or a bound on the distance of an iteration "
    "from its limit; values without it are exact but for rounding."
)


def measure_section(evaluation: Evaluation, summaries: Sequence[Summary]) -> Section:
    """One table, a group of measures after the other."""
    return Section(
        "measures",
        "Measures",
        tuple(_blocks(evaluation)),
        data=(model_data("measures", _DATA, evaluation, _rows),),
        numbers=(number("Generalisation gap", summaries, _gap, -1, "points"),),
    )


def _gap(summary: Summary) -> tuple[float | None, Cell]:
    if summary.gap is None or summary.train is None:
        return None, Cell(DASH)
    # A gap to either side is one; without the training accuracy it says little.
    trained = f"training {percent(summary.train.share)}"
    return abs(summary.gap), Cell(points(summary.gap), note=trained)


def _rows(model: ModelEvaluation) -> Iterator[Sequence[Value]]:
    for row in model.measures:
        yield tuple(getattr(row, name) for name in _DATA)


def _blocks(evaluation: Evaluation) -> Iterator[Block]:
    names = _names(evaluation)
    if not names:
        return
    groups: dict[str, list[str]] = {}
    for name in names:
        known = MEASURES.get(name)
        groups.setdefault(_OTHERS if known is None else known.group, []).append(name)
    rows = []
    for group, members in groups.items():
        rows += [Row(group, look="group")] if len(groups) > 1 else []
        rows += [_row(evaluation.models, name) for name in members]
    heads = ["value"] if len(evaluation.models) == 1 else [m.model.name for m in evaluation.models]
    columns = [Column("measure"), Column("what it is", "about"), *map(Column, heads)]
    yield Text(_READING, "note", on=Medium.PAGE)
    yield Table(columns, rows, "measures", on=Medium.PAGE)


def _names(evaluation: Evaluation) -> list[str]:
    """Every measure that was asked for, in the catalogue's order, then the others."""
    found = {row.measure for model in evaluation.models for row in model.measures}
    found |= {
        row.key.removeprefix(_PREFIX)
        for model in evaluation.models
        for row in model.missing
        if row.key.startswith(_PREFIX)
    }
    return [name for name in MEASURES if name in found] + sorted(found - set(MEASURES))


def _row(models: Sequence[ModelEvaluation], name: str) -> Row:
    known = MEASURES.get(name)
    about: Line = ""
    if known is not None:
        source = (" ", Span(known.source, "cite")) if known.source else ()
        about = (f"{known.definition}.", *source)
    found = [next((row for row in model.measures if row.measure == name), None) for model in models]
    whys = [
        next((row.reason for row in model.missing if row.key == _PREFIX + name), DASH)
        for model in models
    ]
    if not any(found) and len(set(whys)) == 1:
        cells = [Cell(reason_line(whys[0]), "missing", span=len(models))]
    else:
        cells = [
            Cell(reason_line(why), "missing") if row is None else _value(row)
            for row, why in zip(found, whys, strict=True)
        ]
    unit = "" if known is None else known.unit
    look = "" if any(found) else "missing"
    return Row(Span(name, "code"), [Cell(about, "about"), *cells], unit, look)


def _value(row: MeasureRow) -> Cell:
    details = [count_of(row.samples, "sample")] if row.samples is not None else []
    details += [row.note] if row.note else []
    text: tuple[str | Span, ...] = (Span(printed(row.value), "b"), " ")
    if row.error:
        text = (*text, Span(f"± {printed(float(f'{row.error:.2g}'))}", "error"))
    return Cell(text, note="; ".join(details))
