"""Flip rates: predictions that change along sequences of small corruptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.scores import Summary
from sensverify.report import document as doc
from sensverify.report.evaluation.common import model_data, number, written
from sensverify.report.formatting import DASH, count_of, percent, spoken

_DATA = ("sequence", "frames", "samples", "flip_rate", "against", "seconds")


def sequence_section(evaluation: Evaluation, summaries: Sequence[Summary]) -> doc.Section:
    """Sequences down, networks across."""
    count = max(len(model.sequences) for model in evaluation.models)
    rates, note = [s.flip_rate for s in summaries], f"mean over {count_of(count, 'sequence')}"
    return doc.Section(
        "sequences",
        "Flip rate",
        tuple(_blocks(evaluation)),
        data=(model_data("sequences", _DATA, evaluation, _rows),),
        numbers=(number("Flip rate", rates, written(percent), -1, note),),
    )


def _rows(model: ModelEvaluation) -> Iterator[Sequence[doc.Value]]:
    for row in model.sequences:
        yield tuple(getattr(row, name) for name in _DATA)


def _blocks(evaluation: Evaluation) -> Iterator[doc.Block]:
    every = {
        (each.sequence, each.against, each.frames, each.samples): None
        for model in evaluation.models
        for each in model.sequences
    }
    if not every:
        return
    alone = len(evaluation.models) == 1
    text = "How often the prediction changes along a sequence of growing or moving corruptions."
    yield doc.Text(text, "note", on=doc.PAGE)
    rows = []
    for sequence, against, frames, samples in every:
        cells = []
        for model in evaluation.models:
            found = [
                each.flip_rate
                for each in model.sequences
                if (each.sequence, each.against) == (sequence, against)
            ]
            cells.append(doc.Cell(percent(found[0]) if found else DASH))
        what = f"{samples:,} samples, {frames} frames, each against the {against} one"
        rows.append(doc.Row(spoken(sequence), cells, what))
    heads = ["flip rate"] if alone else [model.model.name for model in evaluation.models]
    yield doc.Table(doc.columns("sequence", *heads), rows, "plain narrow", on=doc.PAGE)
