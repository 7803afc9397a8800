"""Accuracy under corruptions: heat maps over severities, with pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from sensverify.evaluation.curves import clean_rate
from sensverify.evaluation.results import CorruptionRow, Evaluation, ModelEvaluation
from sensverify.evaluation.scores import CorruptionScore, Summary, corruption_scores, reference_of
from sensverify.report import document as doc
from sensverify.report.evaluation.common import (
    RATE,
    interval,
    model_data,
    network_columns,
    number,
    rate_values,
    written,
)
from sensverify.report.evaluation.images import pictures
from sensverify.report.formatting import DASH, count_of, percent, points, signed, spoken
from sensverify.report.theme import step

_SCORES = ("residual", "app", "ce", "relative_ce")
_DATA = (
    *("corruption", "severity", "parameter", *RATE, "mean_confidence", "msd"),
    *(*_SCORES, "source", "seconds"),
)
_MEANS = ("corruption", "severities", "accuracy", *_SCORES, "rms_calibration_error")


def corruption_section(evaluation: Evaluation, summaries: Sequence[Summary]) -> doc.Section:
    """Legend, heat maps and pictures."""
    kinds = len({row.corruption for model in evaluation.models for row in model.corruptions})
    over, ratio = f"mean over {count_of(kinds, 'corruption')}", f"{evaluation.reference} is 100"
    lost, gained = f"points lost, {over}", f"of errors gained; {ratio}"
    accuracy, difference, relative = written(percent), written(points), written(_one_decimal)
    rows, means = (partial(make, reference_of(evaluation)) for make in (_rows, _mean_rows))
    return doc.Section(
        "corruptions",
        "Corruptions",
        tuple(_blocks(evaluation)),
        data=(
            model_data("corruptions", _DATA, evaluation, rows),
            model_data("corruption-means", _MEANS, evaluation, means),
        ),
        numbers=(
            number("Under corruption", [s.corrupted for s in summaries], accuracy, 1, over),
            number("Residual robustness", [s.residual for s in summaries], difference, -1, lost),
            number("mCE", [s.mce for s in summaries], relative, -1, ratio),
            number("Relative mCE", [s.relative_mce for s in summaries], relative, -1, gained),
            number(
                *("Effective robustness", [s.effective for s in summaries], difference, 1),
                "points above the others",
            ),
        ),
    )


def _rows(
    reference: ModelEvaluation | None, model: ModelEvaluation
) -> Iterator[Sequence[doc.Value]]:
    """Every severity, with its own scores."""
    for row in model.corruptions:
        (score,) = corruption_scores(replace(model, corruptions=(row,)), reference)
        yield (
            *(row.corruption, row.severity, row.parameter, *rate_values(row.classified.accuracy)),
            *(row.classified.confidence, row.msd, *_score_values(score), row.source, row.seconds),
        )


def _mean_rows(
    reference: ModelEvaluation | None, model: ModelEvaluation
) -> Iterator[Sequence[doc.Value]]:
    """Every corruption over its severities."""
    for score in corruption_scores(model, reference):
        count = sum(row.corruption == score.corruption for row in model.corruptions)
        values = _score_values(score)
        yield (score.corruption, count, score.accuracy, *values, score.rms_calibration)


def _score_values(score: CorruptionScore) -> tuple[doc.Value, ...]:
    return score.residual, score.app, score.error_ratio, score.relative_error_ratio


def _one_decimal(value: float | None) -> str:
    return DASH if value is None else signed(value, 1)


def _blocks(evaluation: Evaluation) -> Iterator[doc.Block]:
    models = [model for model in evaluation.models if model.corruptions]
    if not models:
        return
    alone = len(evaluation.models) == 1
    images = pictures(evaluation.examples)
    reference = reference_of(evaluation)
    scores = [corruption_scores(model, reference) for model in evaluation.models]
    yield doc.Text(_reading(evaluation, scores), "note", on=doc.PAGE)
    yield _scale(evaluation, images if alone else {})
    if not alone:
        yield _means(evaluation, scores, doc.PAGE)
    for model, found in zip(evaluation.models, scores, strict=True):
        if not model.corruptions:
            continue
        if not alone:
            yield doc.Text(model.model.name, "heading", on=doc.PAGE)
        yield _heat_map(model, found, images if alone else {})
    if not alone and any(name != "clean" and uris for name, uris in images.items()):
        yield doc.Text("What they look like", "heading", on=doc.PAGE)
        yield doc.Strips(tuple(_strips(evaluation, images)), on=doc.PAGE)
    yield _means(evaluation, scores, doc.TERMINAL)


def _reading(evaluation: Evaluation, scores: Sequence[Sequence[CorruptionScore]]) -> str:
    text = (
        "Accuracy (%) on the same samples after each corruption, from mild to severe. Residual "
        "robustness is what is lost against clean samples, in points; APP is the share of the clean"
        " accuracy that is left; RMS is the mean RMS calibration error over the severities, in "
        "points."
    )
    if any(score.error_ratio is not None for each in scores for score in each):
        text += (
            f" CE is the error relative to that of {evaluation.reference}, which is 100; relative "
            "CE compares what the errors gain over clean ones. Less is better in both."
        )
    return text


def _scale(evaluation: Evaluation, images: Mapping[str, Sequence[str]]) -> doc.Scale:
    """The colours, the clean accuracies marked, and the clean sample."""
    shares = [clean_rate(model).share for model in evaluation.models]
    low, high = percent(min(shares)), percent(max(shares))
    words = f"clean {low}" if low == high else f"clean {low} to {high}"
    image = next(iter(images.get("clean", ())), "")
    return doc.Scale(shares, words, image, "the sample, clean", on=doc.PAGE)


def _heat_map(
    model: ModelEvaluation,
    scores: Sequence[CorruptionScore],
    images: Mapping[str, Sequence[str]],
) -> doc.Table:
    compared = any(score.error_ratio is not None for score in scores)
    severities = sorted({each.severity for each in model.corruptions})
    found = {(each.corruption, each.severity): each for each in model.corruptions}
    extra = ["CE", "rel. CE"] if compared else []
    shares = (doc.Column(str(severity), "cell") for severity in severities)
    columns = doc.columns("severity", *shares, "mean", "residual", "APP", "RMS", *extra)
    rows = []
    for score in scores:
        shown = images.get(score.corruption, ())
        if len(shown) != len(severities):
            # Which picture is which severity is not known.
            shown = [""] * len(severities)
        cells = [
            _cell(found.get((score.corruption, severity)), image)
            for severity, image in zip(severities, shown, strict=True)
        ]
        cells += [doc.Cell(points(score.accuracy), "mean", value=score.accuracy), *_losses(score)]
        if compared:
            ratios = score.error_ratio, score.relative_error_ratio
            cells += [doc.Cell(_one_decimal(ratio), value=ratio) for ratio in ratios]
        rows.append(doc.Row(spoken(score.corruption), cells))
    look = "heat pictured" if images else "heat"
    return doc.Table(columns, rows, look, on=doc.PAGE, sortable=True)


def _cell(found: CorruptionRow | None, image: str) -> doc.Cell:
    if found is None:
        return doc.Cell(DASH, "cell")
    rate = found.classified.accuracy
    words = f"{found.parameter}: {rate.count:,} of {rate.total:,}, {interval(rate)}"
    look = f"cell {step(rate.share)}"
    return doc.Cell(points(rate.share), look, "", words, image, value=rate.share)


def _losses(score: CorruptionScore) -> list[doc.Cell]:
    app = DASH if score.app is None else f"{score.app:.3f}"
    rms = score.rms_calibration
    return [
        doc.Cell(points(score.residual), value=score.residual),
        doc.Cell(app, value=score.app),
        doc.Cell(points(rms), value=rms),
    ]


def _means(
    evaluation: Evaluation, scores: Sequence[Sequence[CorruptionScore]], on: doc.Medium
) -> doc.Table:
    """Corruptions down, networks across: the mean over severities; of one network also losses."""
    by_name = [{score.corruption: score for score in each} for each in scores]
    names = [model.model.name for model in evaluation.models]
    alone = len(names) == 1
    rows = []
    for name in dict.fromkeys(name for each in by_name for name in each):
        found = [each.get(name) for each in by_name]
        known = [score.accuracy for score in found if score is not None]
        best = max(known) if len(known) > 1 and max(known) > min(known) else None
        cells = [doc.Cell(DASH, "cell") if score is None else _mean(score, best) for score in found]
        if alone and found[0] is not None:
            cells += _losses(found[0])
        rows.append(doc.Row(spoken(name), cells))
    if on is doc.PAGE:
        heads = doc.columns("mean over severities", *(doc.Column(n, "cell") for n in names))
        return doc.Table(heads, rows, "heat means", on=on, sortable=True)
    columns = network_columns(["accuracy", "residual", "APP", "RMS"] if alone else names)
    title = "Accuracy (%) under corruption, mean over severities"
    return doc.Table(columns, rows, title=title, splits="" if alone else "networks", on=on)


def _mean(score: CorruptionScore, best: float | None) -> doc.Cell:
    look = f"cell {step(score.accuracy)}{' best' if score.accuracy == best else ''}"
    return doc.Cell(points(score.accuracy), look, value=score.accuracy)


def _strips(
    evaluation: Evaluation, images: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
    """One sample, clean and as every corruption makes it."""
    for name in ("clean", *(name for name in images if name != "clean")):
        titles = [each.title for each in evaluation.examples.get(name, ())]
        pairs = zip(images.get(name, ()), titles, strict=True)
        strip = [(uri, f"{spoken(name)}, {title}") for uri, title in pairs]
        if strip:
            yield spoken(name), strip
