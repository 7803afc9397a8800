"""Measures with their definitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sensverify.evaluation.results import Evaluation, MeasureRow, ModelEvaluation
from sensverify.evaluation.scores import Summary
from sensverify.measures.catalog import MEASURES
from sensverify.report import document as doc
from sensverify.report.evaluation.common import model_data, network_names, number
from sensverify.report.evaluation.missing import reason_line
from sensverify.report.formatting import DASH, count_of, percent, points, printed

_PREFIX = "measure/"
_DATA = ("measure", "value", "error", "samples", "note", "seconds")
_READING = (
    "Behind ± is one standard error of an estimate, or a bound on the distance of an iteration "
    "from its limit; values without it are exact but for rounding."
)


def measure_section(evaluation: Evaluation, summaries: Sequence[Summary]) -> doc.Section:
    """One table, a group of measures after the other."""
    return doc.Section(
        "measures",
        "Measures",
        tuple(_blocks(evaluation)),
        data=(model_data("measures", _DATA, evaluation),),
        numbers=(number("Generalisation gap", summaries, _gap, -1, "points"),),
    )


def _gap(summary: Summary) -> tuple[float | None, doc.Cell]:
    if summary.gap is None or summary.train is None:
        return None, doc.Cell(DASH)
    # A gap to either side is one; without the training accuracy it says little.
    trained = f"training {percent(summary.train.share)}"
    return abs(summary.gap), doc.Cell(points(summary.gap), note=trained)


def _blocks(evaluation: Evaluation) -> Iterator[doc.Block]:
    names = _names(evaluation)
    if not names:
        return
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(getattr(MEASURES.get(name), "group", "others"), []).append(name)
    rows = []
    for group, members in groups.items():
        rows += [doc.Row(group, look="group")] if len(groups) > 1 else []
        rows += [_row(evaluation.models, name) for name in members]
    heads = network_names(evaluation, "value")
    columns = doc.columns("measure", doc.Column("what it is", "about"), *heads)
    yield doc.Text(_READING, "note", on=doc.PAGE)
    yield doc.Table(columns, rows, "measures", on=doc.PAGE)


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


def _row(models: Sequence[ModelEvaluation], name: str) -> doc.Row:
    known = MEASURES.get(name)
    about: doc.Line = ""
    if known is not None:
        source = (" ", doc.Span(known.source, "cite")) if known.source else ()
        about = (f"{known.definition}.", *source)
    found = [next((row for row in model.measures if row.measure == name), None) for model in models]
    reasons = ({row.key: row.reason for row in reversed(model.missing)} for model in models)
    whys = [each.get(_PREFIX + name, DASH) for each in reasons]
    cells = [
        doc.Cell(reason_line(why), "missing") if row is None else _value(row)
        for row, why in zip(found, whys, strict=True)
    ]
    if not any(found) and len(set(whys)) == 1:
        cells = [replace(cells[0], span=len(models))]
    unit = "" if known is None else known.unit
    look = "" if any(found) else "missing"
    return doc.Row(doc.Span(name, "code"), [doc.Cell(about, "about"), *cells], unit, look)


def _value(row: MeasureRow) -> doc.Cell:
    details = [count_of(row.samples, "sample")] if row.samples is not None else []
    details += [row.note] if row.note else []
    text: tuple[str | doc.Span, ...] = (doc.Span(printed(row.value), "b"), " ")
    if row.error:
        text = (*text, doc.Span(f"± {printed(float(f'{row.error:.2g}'))}", "error"))
    return doc.Cell(text, note="; ".join(details))
