"""Everything an evaluation found as tidy CSV tables: one header, one fact a row."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from statistics import median

from sensverify.classification.predictions import Classified
from sensverify.classification.rates import Rate
from sensverify.evaluation.results import AttackRow, Evaluation, ModelEvaluation
from sensverify.evaluation.scores import corruption_scores, reference_of, success_rate
from sensverify.report.evaluation.lines import accuracy_lines

Cell = str | int | float | None
_FORMULA = ("=", "+", "-", "@", "\t", "\n")

_RATE = ("count", "samples", "share", "lower", "upper")
_CASE = ("network", "kind", "name", "at")
COLUMNS: dict[str, tuple[str, ...]] = {
    "accuracy": ("network", "kind", "name", "radius", *_RATE),
    "attacks": (
        *("network", "attack", "radius", "broken", "samples", "success", "median_l2"),
        *("median_linf", "mean_confidence", "seconds", "blind"),
    ),
    "corruptions": (
        *("network", "corruption", "severity", "parameter", *_RATE, "mean_confidence", "msd"),
        *("residual", "app", "ce", "relative_ce", "source", "seconds"),
    ),
    "sequences": ("network", "sequence", "frames", "samples", "flip_rate", "against", "seconds"),
    "calibration": (
        *(*_CASE, "from", "to", "samples", "correct", "mean_confidence"),
        *("accuracy", "rms_error", "expected_error", "maximum_error"),
    ),
    "confusion": (*_CASE, "label", "prediction", "samples"),
    "measures": ("network", "measure", "value", "error", "samples", "note", "seconds"),
    "samples": (
        *("network", "sample", "right", "broken_by", "broken_from", "nearest_l2"),
        *("nearest_linf", "certified_by", "certified_to"),
    ),
    "missing": ("network", "key", "reason", "final"),
}
"""Name and columns of every table."""


def csv_tables(evaluation: Evaluation) -> dict[str, str]:
    """The tables as CSV, by name; those without a row are left out.

    Returns
    -------
    dict from str to str
        RFC 4180 with a header and CRLF line ends; numbers with every digit, a dot as decimal sign,
        empty where there is none. Shares are from 0 to 1; ``lower`` and ``upper`` are Wilson's 95 %
        interval.

        * ``accuracy``: clean (radius 0), under every attack, the worst of them, and certified.
        * ``attacks``: every attack at every radius; distances are medians over broken samples that
          were right, ``blind`` counts samples without a gradient that could be followed.
        * ``corruptions``: every severity; ``residual`` to ``relative_ce`` are over all severities
          of a corruption and stand in each of its rows.
        * ``sequences``, ``measures``, ``missing``: the rows as they are.
        * ``calibration``, ``confusion``: by case; ``at`` is the radius or the severity. Bins and
          cells without a sample are left out.
        * ``samples``: of each sample whether it is right, the smallest radius at which an attack
          is known to break it and the largest at which it is certified.

    Notes
    -----
    Spreadsheets may take a text for a formula where it begins with one of ``= + - @``, a tab or a
    line end. Such a text (a name, a reason; never a number) gets an apostrophe before it.
    """
    makers: dict[str, Callable[[ModelEvaluation], Iterator[tuple[Cell, ...]]]] = {
        "accuracy": partial(_accuracy, evaluation),
        "attacks": _attacks,
        "corruptions": partial(_corruptions, reference_of(evaluation)),
        "sequences": _sequences,
        "calibration": _calibration,
        "confusion": partial(_confusion, evaluation.classes),
        "measures": _measures,
        "samples": _samples,
        "missing": _missing,
    }
    tables = {}
    for name, make in makers.items():
        rows = [(model.model.name, *row) for model in evaluation.models for row in make(model)]
        if rows:
            tables[name] = _csv(COLUMNS[name], rows)
    return tables


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return text.getvalue()


def _safe(cell: Cell) -> Cell:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, str):
        # A lone return would end the row in some readers.
        cell = cell.replace("\r\n", "\n").replace("\r", "\n")
        return f"'{cell}" if cell.startswith(_FORMULA) else cell
    return cell


def _rate(rate: Rate) -> tuple[Cell, ...]:
    return (rate.count, rate.total, rate.share, *rate.interval)


def _accuracy(evaluation: Evaluation, model: ModelEvaluation) -> Iterator[tuple[Cell, ...]]:
    for row in model.clean:
        yield ("clean", row.part, 0.0, *_rate(row.classified.accuracy))
    for line in accuracy_lines(evaluation, model):
        for point in line.points[1:]:
            yield (line.kind, line.name, point.radius, *_rate(point.rate))


def distances(model: ModelEvaluation, row: AttackRow) -> tuple[float | None, float | None]:
    """Medians of the L2 and the Linf distance of what an attack found for samples that were right.

    None where it found nothing.
    """
    wrong = set(model.clean[0].wrong)
    found = [place for place in row.broken if place not in wrong]
    l2, linf = (
        [value for value in (values[place] for place in found) if value is not None]
        for values in (row.l2, row.linf)
    )
    return (median(l2) if l2 else None), (median(linf) if linf else None)


def _attacks(model: ModelEvaluation) -> Iterator[tuple[Cell, ...]]:
    for row in model.attacks:
        success = success_rate(model, row)
        yield (
            *(row.attack, row.radius, len(row.broken), row.classified.samples),
            None if success is None else success.share,
            *distances(model, row),
            *(row.classified.confidence, row.seconds, len(row.blind)),
        )


def _corruptions(
    reference: ModelEvaluation | None, model: ModelEvaluation
) -> Iterator[tuple[Cell, ...]]:
    scores = {score.corruption: score for score in corruption_scores(model, reference)}
    for row in model.corruptions:
        score = scores[row.corruption]
        yield (
            *(row.corruption, row.severity, row.parameter, *_rate(row.classified.accuracy)),
            *(row.classified.confidence, row.msd, score.residual, score.app),
            *(score.error_ratio, score.relative_error_ratio, row.source, row.seconds),
        )


def _sequences(model: ModelEvaluation) -> Iterator[tuple[Cell, ...]]:
    for row in model.sequences:
        yield (row.sequence, row.frames, row.samples, row.flip_rate, row.against, row.seconds)


def _cases(model: ModelEvaluation) -> Iterator[tuple[str, str, float | None, Classified]]:
    for row in model.clean:
        yield "clean", row.part, None, row.classified
    for attack in model.attacks:
        yield "attack", attack.attack, attack.radius, attack.classified
    for corruption in model.corruptions:
        yield "corruption", corruption.corruption, corruption.severity, corruption.classified


def _calibration(model: ModelEvaluation) -> Iterator[tuple[Cell, ...]]:
    for kind, name, at, found in _cases(model):
        errors = (
            found.rms_calibration_error,
            found.expected_calibration_error,
            found.maximum_calibration_error,
        )
        for place, each in enumerate(found.bins):
            if each.samples:
                ends = place / len(found.bins), (place + 1) / len(found.bins)
                means = each.confidence / each.samples, each.correct / each.samples
                yield (kind, name, at, *ends, each.samples, each.correct, *means, *errors)


def _confusion(classes: Sequence[str], model: ModelEvaluation) -> Iterator[tuple[Cell, ...]]:
    for kind, name, at, found in _cases(model):
        for label, row in zip(classes, found.confusion, strict=True):
            for prediction, count in zip(classes, row, strict=True):
                if count:
                    yield (kind, name, at, label, prediction, count)


def _measures(model: ModelEvaluation) -> Iterator[tuple[Cell, ...]]:
    for row in model.measures:
        yield (row.measure, row.value, row.error, row.samples, row.note, row.seconds)


def _missing(model: ModelEvaluation) -> Iterator[tuple[Cell, ...]]:
    for row in model.missing:
        yield (row.key, row.reason, row.final)


def _samples(model: ModelEvaluation) -> Iterator[tuple[Cell, ...]]:
    wrong = set(model.clean[0].wrong)
    certified: dict[int, tuple[float, str]] = {}
    for proven in model.certified:
        for place in proven.certified:
            if place not in certified or proven.radius > certified[place][0]:
                certified[place] = proven.radius, proven.method
    for place in range(model.clean[0].classified.samples):
        reach, attack = _nearest(model, place)
        radius, method = certified.get(place, (None, None))
        yield (
            place,
            place not in wrong,
            *(attack, reach),
            _least(place, [row.l2 for row in model.attacks]),
            _least(place, [row.linf for row in model.attacks]),
            method,
            radius,
        )


def _nearest(model: ModelEvaluation, place: int) -> tuple[float | None, str | None]:
    """The smallest radius that any attack knows for a sample, and the first attack with it."""
    found: tuple[float | None, str | None] = (None, None)
    for row in model.attacks:
        reach = row.reach[place]
        if reach is not None and (found[0] is None or reach < found[0]):
            found = reach, row.attack
    return found


def _least(place: int, columns: Sequence[Sequence[float | None]]) -> float | None:
    return min((v for v in (values[place] for values in columns) if v is not None), default=None)
