"""Flip rates: predictions that change along sequences of small corruptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensverify.evaluation.results import Evaluation
from sensverify.evaluation.scores import Summary
from sensverify.report import document as doc
from sensverify.report.evaluation.common import model_data, network_names, number, written
from sensverify.report.formatting import count_of, percent, spoken

_DATA = ("sequence", "frames", "samples", "flip_rate", "against", "seconds")


def sequence_section(evaluation: Evaluation, summaries: Sequence[Summary]) -> doc.Section:
    """Sequences down, networks across."""
    count = max(len(model.sequences) for model in evaluation.models)
    rates, note = [s.flip_rate for s in summaries], f"mean over {count_of(count, 'sequence')}"
    return doc.Section(
        "sequences",
        "Flip rate",
        tuple(_blocks(evaluation)),
        data=(model_data("sequences", _DATA, evaluation),),
        numbers=(number("Flip rate", rates, written(percent), -1, note),),
    )


def _blocks(evaluation: Evaluation) -> Iterator[doc.Block]:
    every = {
        (each.sequence, each.against, each.frames, each.samples): None
        for model in evaluation.models
        for each in model.sequences
    }
    if not every:
        return
    text = "How often the prediction changes along a sequence of growing or moving corruptions."
    yield doc.Text(text, "note", on=doc.PAGE)
    rates = [
        {(each.sequence, each.against): each.flip_rate for each in reversed(model.sequences)}
        for model in evaluation.models
    ]
    rows = []
    for sequence, against, frames, samples in every:
        texts = (percent(each.get((sequence, against))) for each in rates)
        what = f"{samples:,} samples, {frames} frames, each against the {against} one"
        rows.append(doc.row(spoken(sequence), *texts, note=what))
    heads = doc.columns("sequence", *network_names(evaluation, "flip rate"))
    yield doc.Table(heads, rows, "plain narrow", on=doc.PAGE)
