"""Flip rates: predictions that change along sequences of small corruptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.scores import SequenceScore, Summary, reference_of, sequence_scores
from sensverify.report import document as doc
from sensverify.report.evaluation.common import model_data, network_names, number, written
from sensverify.report.formatting import DASH, count_of, percent, signed, spoken

_DATA = ("sequence", "frames", "samples", "flip_rate", "against", "fr", "seconds")


def sequence_section(evaluation: Evaluation, summaries: Sequence[Summary]) -> doc.Section:
    """Sequences down, networks across."""
    count = max(len(model.sequences) for model in evaluation.models)
    rates, note = [s.flip_rate for s in summaries], f"mean over {count_of(count, 'sequence')}"
    ratios, ratio = [s.mfr for s in summaries], f"{evaluation.reference} is 100"
    return doc.Section(
        "sequences",
        "Flip rate",
        tuple(_blocks(evaluation)),
        data=(
            model_data("sequences", _DATA, evaluation, partial(_rows, reference_of(evaluation))),
        ),
        numbers=(
            number("Flip rate", rates, written(percent), -1, note),
            number("mFR", ratios, written(_one_decimal), -1, ratio),
        ),
    )


def _rows(
    reference: ModelEvaluation | None, model: ModelEvaluation
) -> Iterator[Sequence[doc.Value]]:
    """Every sequence; ``fr`` is its flip rate in percent of the reference's."""
    for row, score in zip(model.sequences, sequence_scores(model, reference), strict=True):
        yield (
            *(row.sequence, row.frames, row.samples, row.flip_rate, row.against),
            *(score.flip_ratio, row.seconds),
        )


def _one_decimal(value: float) -> str:
    return signed(value, 1)


def _blocks(evaluation: Evaluation) -> Iterator[doc.Block]:
    every = {
        (each.sequence, each.against, each.frames, each.samples): None
        for model in evaluation.models
        for each in model.sequences
    }
    if not every:
        return
    reference = reference_of(evaluation)
    scores = [sequence_scores(model, reference) for model in evaluation.models]
    text = "How often the prediction changes along a sequence of growing or moving corruptions."
    if any(score.flip_ratio is not None for each in scores for score in each):
        text += f" FR is that in percent of the flip rate of {evaluation.reference}."
    yield doc.Text(text, "note", on=doc.PAGE)
    rates = [{(each.sequence, each.against): each for each in reversed(its)} for its in scores]
    rows = []
    for sequence, against, frames, samples in every:
        cells = (_cell(each.get((sequence, against))) for each in rates)
        what = f"{samples:,} samples, {frames} frames, each against the {against} one"
        rows.append(doc.row(spoken(sequence), *cells, note=what))
    heads = doc.columns("sequence", *network_names(evaluation, "flip rate"))
    yield doc.Table(heads, rows, "plain narrow", on=doc.PAGE, sortable=True)


def _cell(score: SequenceScore | None) -> doc.Cell:
    if score is None:
        return doc.Cell(DASH)
    ratio = score.flip_ratio
    note = "" if ratio is None else f"FR {_one_decimal(ratio)}"
    return doc.Cell(percent(score.flip_rate), note=note, value=score.flip_rate)
