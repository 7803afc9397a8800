"""Scores of an evaluation's rows: curves, corruption scores, a summary of each network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sensverify.classification.corruption_error import corruption_error, relative_corruption_error
from sensverify.classification.flips import relative_flip_rate
from sensverify.classification.rates import Rate
from sensverify.classification.shift import (
    app,
    effective_robustness,
    fit_line,
    generalisation_gap,
    residual_robustness,
)
from sensverify.errors import NotMeasured
from sensverify.evaluation.curves import (
    CurvePoint,
    certified_curve,
    clean_rate,
    clean_row,
    clean_test_row,
    method_names,
    middle_radius,
    worst_curve,
)
from sensverify.evaluation.results import (
    Evaluation,
    ModelEvaluation,
)


@dataclass(frozen=True)
class CorruptionScore:
    """One corruption over its severities.

    Parameters
    ----------
    corruption : str
    accuracy : float
        Mean over the severities.
    residual : float
        Clean accuracy minus that.
    app : float or None
        That over clean accuracy; None where nothing is right.
    error_ratio : float or None
        CE: ``100 * sum of errors / sum of the reference's errors`` over the severities that both
        have; None without a reference, or where it makes no error.
    relative_error_ratio : float or None
        The same of the errors beyond the clean ones; None also where the reference gains none.
    rms_calibration : float
        Mean over the severities of the RMS calibration error.

    Notes
    -----
    Sources: Laugros 2022, *Synthetic, adversarial and natural corruptions: image classifier
    robustness transfers from one distribution shift to an other* (residual robustness, APP);
    Hendrycks & Dietterich 2019, *Benchmarking neural network robustness to common corruptions and
    perturbations* (CE, relative CE).
    """

    corruption: str
    accuracy: float
    residual: float
    app: float | None
    error_ratio: float | None
    relative_error_ratio: float | None
    rms_calibration: float


@dataclass(frozen=True)
class SequenceScore:
    """One sequence of small corruptions.

    Parameters
    ----------
    sequence, against : str
    flip_rate : float
        Share of the pairs of frames with different predictions.
    flip_ratio : float or None
        That in percent of the reference's; None without a reference, or where its predictions
        never flip.

    Notes
    -----
    Source: Hendrycks & Dietterich 2019, *Benchmarking neural network robustness to common
    corruptions and perturbations* (flip rate, standardised by a baseline's).
    """

    sequence: str
    against: str
    flip_rate: float
    flip_ratio: float | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One network in a few numbers; None is what could not be had or was not asked for.

    Parameters
    ----------
    model : str
    clean, train : Rate
        Accuracy on test and on training samples.
    gap : float or None
        Training accuracy minus test accuracy.
    worst, certified : CurvePoint or None
        At the middle one of the radii: under all attacks together, and proven by the method that
        proves most there.
    corrupted, residual, app, mce, relative_mce : float or None
        Means over the corruptions.
    effective : float or None
        Accuracy under corruption above the line that the other networks' accuracies lie on.
    flip_rate, mfr : float or None
        Mean over the sequences: of the rates, and of these in percent of the reference's.
    rms_calibration : float
        On clean test samples.
    """

    model: str
    clean: Rate
    train: Rate | None
    gap: float | None
    worst: CurvePoint | None
    certified: CurvePoint | None
    corrupted: float | None
    residual: float | None
    app: float | None
    mce: float | None
    relative_mce: float | None
    effective: float | None
    flip_rate: float | None
    mfr: float | None
    rms_calibration: float


def corruption_scores(
    model: ModelEvaluation, reference: ModelEvaluation | None = None
) -> tuple[CorruptionScore, ...]:
    """Every corruption over its severities, beside a reference network where there is one."""
    clean = clean_rate(model).share
    others = _shifted(reference) if reference is not None else {}
    scores = []
    for name, shifted in _shifted(model).items():
        other = others.get(name, {})
        both = [severity for severity in shifted if severity in other]
        ratio = relative = None
        if reference is not None and both:
            own, its = ([each[severity] for severity in both] for each in (shifted, other))
            ratio = _known(corruption_error, own, its)
            of_reference = clean_rate(reference).share
            relative = _known(relative_corruption_error, clean, own, of_reference, its)
        accuracy = fmean(shifted.values())
        residual = residual_robustness(clean, accuracy)
        kept = _known(app, clean, accuracy)
        rms = fmean(
            row.classified.rms_calibration_error
            for row in model.corruptions
            if row.corruption == name
        )
        scores.append(CorruptionScore(name, accuracy, residual, kept, ratio, relative, rms))
    return tuple(scores)


def sequence_scores(
    model: ModelEvaluation, reference: ModelEvaluation | None = None
) -> tuple[SequenceScore, ...]:
    """Every sequence, beside a reference network where there is one."""
    rows = () if reference is None else reference.sequences
    others = {(row.sequence, row.against): row.flip_rate for row in rows}
    scores = []
    for row in model.sequences:
        other = others.get((row.sequence, row.against))
        ratio = None if other is None else _known(relative_flip_rate, row.flip_rate, other)
        scores.append(SequenceScore(row.sequence, row.against, row.flip_rate, ratio))
    return tuple(scores)


def reference_of(evaluation: Evaluation) -> ModelEvaluation | None:
    """The network that CE compares with."""
    return next(
        (each for each in evaluation.models if each.model.name == evaluation.reference), None
    )


def summarise(evaluation: Evaluation) -> tuple[Summary, ...]:
    """One `Summary` for each network, in their order."""
    reference = reference_of(evaluation)
    scores = [corruption_scores(model, reference) for model in evaluation.models]
    radius = middle_radius(evaluation)
    corrupted = [_mean([score.accuracy for score in each]) for each in scores]
    return tuple(
        _summary(
            model,
            scores[place],
            sequence_scores(model, reference),
            radius,
            _effective(evaluation, corrupted, place),
        )
        for place, model in enumerate(evaluation.models)
    )


def _summary(
    model: ModelEvaluation,
    scores: tuple[CorruptionScore, ...],
    sequences: tuple[SequenceScore, ...],
    radius: float | None,
    effective: float | None,
) -> Summary:
    clean, trained = clean_test_row(model), clean_row(model, "train")
    train = None if trained is None else trained.classified.accuracy
    accuracy = clean.classified.accuracy
    return Summary(
        model=model.model.name,
        clean=accuracy,
        train=train,
        gap=None if train is None else generalisation_gap(train.share, accuracy.share),
        worst=None if radius is None else _at(worst_curve(model, [radius]), radius),
        certified=None if radius is None else _most_certified(model, radius),
        corrupted=_mean([score.accuracy for score in scores]),
        residual=_mean([score.residual for score in scores]),
        app=_mean([score.app for score in scores]),
        mce=_mean([score.error_ratio for score in scores]),
        relative_mce=_mean([score.relative_error_ratio for score in scores]),
        effective=effective,
        flip_rate=_mean([each.flip_rate for each in sequences]),
        mfr=_mean([each.flip_ratio for each in sequences]),
        rms_calibration=clean.classified.rms_calibration_error,
    )


def _at(curve: Sequence[CurvePoint], radius: float) -> CurvePoint | None:
    return next((point for point in curve if point.radius == radius), None)


def _most_certified(model: ModelEvaluation, radius: float) -> CurvePoint | None:
    points = [_at(certified_curve(model, method), radius) for method in method_names(model)]
    return max(
        (point for point in points if point is not None),
        key=lambda point: point.rate.count,
        default=None,
    )


def _shifted(model: ModelEvaluation) -> dict[str, dict[int, float]]:
    """Accuracy by corruption and severity, in the order of the rows."""
    found: dict[str, dict[int, float]] = {}
    for row in model.corruptions:
        found.setdefault(row.corruption, {})[row.severity] = row.classified.accuracy.share
    return found


def _known(function: Callable[..., float], *values: Any) -> float | None:
    """The function's value; None where there is no such number."""
    try:
        return function(*values)
    except NotMeasured:
        return None


def _effective(
    evaluation: Evaluation, corrupted: Sequence[float | None], place: int
) -> float | None:
    """Distance of a network's accuracy under corruption above the line through the others'.

    None with fewer than two others, or where these all have the same clean accuracy.
    """
    own = corrupted[place]
    others = [
        (clean_rate(model).share, value)
        for at, (model, value) in enumerate(zip(evaluation.models, corrupted, strict=True))
        if at != place and value is not None
    ]
    if own is None or len(others) < 2:
        return None
    try:
        line = fit_line(*zip(*others, strict=True))
    except NotMeasured:
        return None
    return effective_robustness(clean_rate(evaluation.models[place]).share, own, *line)


def _mean(values: Sequence[float | None]) -> float | None:
    """Over those that are there."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
