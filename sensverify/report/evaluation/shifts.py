"""Accuracy on other data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sensverify.evaluation.results import Evaluation, ModelEvaluation, ShiftRow
from sensverify.evaluation.scores import Summary
from sensverify.report import document as doc
from sensverify.report.evaluation.common import (
    RATE,
    model_data,
    network_columns,
    network_names,
    rate_cell,
    rate_values,
)
from sensverify.report.formatting import DASH, count_of, percent

_DATA = (
    *("shift", "data", "classes", *RATE, "clean_right", "clean_samples", "mean_confidence"),
    *("rms_error", "samples_sha256"),
)
_READING = (
    "Accuracy on samples of other data sets. Where these have fewer classes, predictions are the "
    "largest of their outputs alone, and \u201cof the same classes\u201d is the accuracy on the "
    "clean samples of these classes, judged in the same way."
)


def shift_section(evaluation: Evaluation, summaries: Sequence[Summary]) -> doc.Section:
    """One table: data sets down, networks across."""
    return doc.Section(
        "shifts",
        "Other data sets",
        tuple(_blocks(evaluation)),
        data=(model_data("shifts", _DATA, evaluation, _rows),),
    )


def _rows(model: ModelEvaluation) -> Iterator[tuple[doc.Value, ...]]:
    for row in model.shifts:
        found = row.classified
        yield (
            *(row.shift, row.data, row.classes, *rate_values(found.accuracy)),
            *(row.clean_right, row.clean_samples, found.confidence),
            *(found.rms_calibration_error, row.samples_sha256),
        )


def _blocks(evaluation: Evaluation) -> Iterator[doc.Block]:
    names = list(dict.fromkeys(row.shift for model in evaluation.models for row in model.shifts))
    if not names:
        return
    yield doc.Text(_READING, "note", on=doc.PAGE)
    heads = network_names(evaluation, "accuracy")
    columns = doc.columns("data set", "samples", *heads)
    rows = [_row(evaluation, name, _cell) for name in names]
    yield doc.Table(columns, rows, "plain", on=doc.PAGE, sortable=True)
    rows = [_row(evaluation, name, _short_cell) for name in names]
    title = "Accuracy (%) on other data sets; in parentheses on clean samples of the same classes"
    yield doc.Table(network_columns(["samples", *heads]), rows, title=title, on=doc.TERMINAL)


def _row(evaluation: Evaluation, name: str, cell: Callable[[ShiftRow], doc.Cell]) -> doc.Row:
    found = [
        next((row for row in model.shifts if row.shift == name), None)
        for model in evaluation.models
    ]
    first = next(row for row in found if row is not None)
    note = "" if first.classes is None else count_of(first.classes, "class", "classes")
    cells = [doc.Cell(DASH) if row is None else cell(row) for row in found]
    return doc.Row(name, [doc.Cell(f"{first.samples:,}", note=note), *cells])


def _cell(row: ShiftRow) -> doc.Cell:
    share, cell = rate_cell(row.classified.accuracy)
    clean = _clean(row)
    same = "" if clean is None else f"; of the same classes {percent(clean)}"
    return doc.Cell(cell.text, note=f"{cell.note}{same}", value=share)


def _short_cell(row: ShiftRow) -> doc.Cell:
    clean = _clean(row)
    same = "" if clean is None else f" ({100 * clean:.1f})"
    return doc.Cell(f"{100 * row.classified.accuracy.share:.1f}{same}")


def _clean(row: ShiftRow) -> float | None:
    """Share of the clean samples of the same classes; None where there are none."""
    return (row.clean_right or 0) / row.clean_samples if row.clean_samples else None
