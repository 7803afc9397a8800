"""Samples of a verification as cards: pictures, intervals, margins, the counterexample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sensverify.report import document as doc
from sensverify.report.formatting import class_name, count_of, printed
from sensverify.report.verification.asked import meanings
from sensverify.report.verification.intervals import (
    RIVALS,
    drawn_outputs,
    interval_chart,
    margin_chart,
)
from sensverify.report.verification.sample_pictures import Pictured, sample_pictures
from sensverify.report.verification.tables import kept_word, output_names
from sensverify.verification.results import SampleResult, VerifyReport

_MARKS = {"certified": "✓", "changes": "✕", "undecided": "?"}

_FEATURES = 8
"""Features of a counterexample that a card lists; of more, those that move most."""

_ARROW = " \N{RIGHTWARDS ARROW} "


def sample_cards(report: VerifyReport, drawn: Sequence[SampleResult]) -> doc.Group:
    """A card for each of some samples, which can be put in order by what is worst."""
    names, words = output_names(report), meanings(report)
    pictures = _pictures(report, drawn, names)
    cards = [_card(sample, names, words, pictures.get(sample.index)) for sample in drawn]
    return doc.Group(cards, "samples", "samples", on=doc.PAGE)


def _pictures(
    report: VerifyReport, drawn: Sequence[SampleResult], names: Sequence[str]
) -> Mapping[int, doc.Pictures]:
    """Of the samples that are images and whose input is known, by their indices."""
    if report.pixels is None:
        return {}
    seen = []
    for sample in drawn:
        example = sample.counterexample
        if example is not None and example.sample is not None:
            kept = "" if sample.judged_class is None else names[sample.judged_class]
            becomes = class_name(names, example.prediction)
            seen.append(Pictured(sample.index, example.sample, example.input, kept, becomes))
        elif sample.index in report.inputs:
            seen.append(Pictured(sample.index, report.inputs[sample.index]))
    return sample_pictures(seen, report.pixels)


def _card(
    sample: SampleResult,
    names: Sequence[str],
    words: Mapping[str, str],
    pictures: doc.Pictures | None,
) -> doc.Group:
    mark = None
    if sample.judged_class is not None:
        word = kept_word(sample)
        mark = word, f"{_MARKS[word]} {word}", words[word].format(judged=sample.judged)
    blocks: list[doc.Block] = [doc.Text(" · ".join(_facts(sample, names)), "facts")]
    if pictures is not None:
        blocks.append(pictures)
    blocks.append(doc.Figure([interval_chart(sample, names)]))
    margins = margin_chart(sample, names)
    if margins is not None:
        own = "" if sample.judged_class is None else f" of {names[sample.judged_class]}"
        rivals = 0 if sample.margins is None else int((~np.isnan(sample.margins)).sum())
        over = "each rival" if rivals <= RIVALS else f"{RIVALS} of {rivals:,} rivals, the least"
        blocks += [doc.Text(f"Proven margins{own} over {over}", "facts"), doc.Figure([margins])]
    if sample.counterexample is not None and pictures is None:
        blocks.append(_moved(sample))
    blocks.append(_numbers(sample, names))
    return doc.Group(blocks, "sample", f"Sample {sample.index}", mark, _keys(sample))


def _keys(sample: SampleResult) -> dict[str, float]:
    """Places in orders that begin with the worst."""
    log = -math.inf if sample.log_volume is None else sample.log_volume
    keys = {"largest width first": -float(sample.widths.max()), "largest volume first": -log}
    margin = sample.margin
    return keys if margin is None else {"least margin first": margin, **keys}


def _facts(sample: SampleResult, names: Sequence[str]) -> Iterator[str]:
    example = sample.counterexample
    becomes = ""
    if example is not None and example.prediction != sample.prediction:
        becomes = f"{_ARROW}{class_name(names, example.prediction)}"
    if sample.label is not None:
        yield f"label {names[sample.label]}{becomes}"
    classes = sample.label is not None or sample.judged_class is not None
    if classes and sample.prediction != sample.label:
        told = f"predicted {names[sample.prediction]}"
        yield told if sample.label is not None else f"{told}{becomes}"
    if sample.margin is not None:
        yield f"margin {printed(sample.margin)}"
    if sample.log_volume is None:
        yield f"volume 0: {count_of(len(sample.degenerate), 'output')} cannot move"
    else:
        yield f"log\N{NON-BREAKING HYPHEN}volume {sample.log_volume:.3f}"
    left = len(names) - len(drawn_outputs(sample))
    if left > 0:
        yield f"{count_of(left, 'output')} not drawn"


def _difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return after.astype(np.float64) - before.astype(np.float64)


def _moved(sample: SampleResult) -> doc.Group:
    """The features of a counterexample, beside those of the sample."""
    example = sample.counterexample
    assert example is not None, "asked of samples that change"
    after = example.input
    before = after if example.sample is None else example.sample
    moved = _difference(before, after)
    places = np.argsort(-np.abs(moved), axis=None, kind="stable")[:_FEATURES]
    rows = []
    for place in sorted(places.tolist()):
        at = np.unravel_index(place, moved.shape)
        name = ", ".join(str(k) for k in at) or "0"
        values = [*((float(each[at])) for each in (before, after, moved))]
        rows.append(doc.row(name, *(doc.Cell(f"{v:.6g}", value=v) for v in values)))
    left = moved.size - len(rows)
    blocks: list[doc.Block] = [
        doc.Table(doc.columns("feature", "sample", "counterexample", "difference"), rows)
    ]
    if left:
        blocks.append(doc.Text(f"{count_of(left, 'feature')} that move no further", "note"))
    return doc.Group(blocks, "details", "Counterexample")


def _numbers(sample: SampleResult, names: Sequence[str]) -> doc.Group:
    """Every interval with its digits, and what is known beside it."""
    ends = sample.lower, sample.output, sample.upper
    heads = ["output", "lower", "at sample", "upper", "width"]
    probable = [
        each for each in (sample.probability_lower, sample.probability_upper) if each is not None
    ]
    scores = None if sample.counterexample is None else sample.counterexample.outputs
    if scores is not None and len(scores) != len(names):
        scores = None
    rows = []
    for k in drawn_outputs(sample):
        cells = [*(f"{each[k]:.6g}" for each in ends), f"{sample.widths[k]:.4g}"]
        cells += [f"{end[k]:.4f}" for end in probable]
        if sample.margins is not None:
            cells.append("" if np.isnan(sample.margins[k]) else printed(float(sample.margins[k])))
        if scores is not None:
            cells.append(f"{scores[k]:.6g}")
        rows.append(doc.row(names[k], *cells))
    heads += ["least probability", "largest"][: len(probable)]
    heads += ["margin"] if sample.margins is not None else []
    heads += ["at counterexample"] if scores is not None else []
    return doc.Group([doc.Table(doc.columns(*heads), rows)], "details", "Numbers")
