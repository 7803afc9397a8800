"""Scores of an evaluation's rows: curves, corruption scores, a summary of each network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean
from typing import Any

from sensverify.classification.rates import Rate
from sensverify.classification.shift import (
    app,
    attack_success_rate,
    corruption_error,
    effective_robustness,
    fit_line,
    generalisation_gap,
    relative_corruption_error,
    relative_flip_rate,
    residual_robustness,
)
from sensverify.errors import BadSetting, NotMeasured
from sensverify.evaluation.results import (
    AttackRow,
    CleanRow,
    Evaluation,
    ModelEvaluation,
)


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy at one radius."""

    radius: float
    rate: Rate


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

    Notes
    -----
    Sources: Laugros, *Building robust deep neural networks for computer vision* (residual
    robustness, APP); Hendrycks & Dietterich 2019, *Benchmarking neural network robustness to common
    corruptions and perturbations* (CE, relative CE).
    """

    corruption: str
    accuracy: float
    residual: float
    app: float | None
    error_ratio: float | None
    relative_error_ratio: float | None


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


def clean_row(model: ModelEvaluation, part: str = "test") -> CleanRow | None:
    """The predictions on a part as it is."""
    return next((row for row in model.clean if row.part == part), None)


def clean_rate(model: ModelEvaluation) -> Rate:
    """Accuracy on the test samples as they are.

    Raises
    ------
    BadSetting
        The evaluation has no such row.
    """
    return _clean(model).classified.accuracy


def attack_names(model: ModelEvaluation) -> tuple[str, ...]:
    """The attacks with at least one row, in their order."""
    return tuple(dict.fromkeys(row.attack for row in model.attacks))


def method_names(model: ModelEvaluation) -> tuple[str, ...]:
    """The certifying methods with at least one row, in their order."""
    return tuple(dict.fromkeys(row.method for row in model.certified))


def attack_curve(model: ModelEvaluation, attack: str) -> tuple[CurvePoint, ...]:
    """Accuracy under one attack against the radius; radius 0, the clean accuracy, comes first.

    Of an attack that looks for the nearest input: samples whose input is farther than each of the
    radii that the other rows have.
    """
    clean = clean_rate(model)
    points = [CurvePoint(0.0, clean)]
    for row in (row for row in model.attacks if row.attack == attack):
        if row.radius is not None:
            left = clean.total - len({*_clean(model).wrong, *row.broken})
            points.append(CurvePoint(row.radius, Rate(left, clean.total)))
            continue
        points += [
            CurvePoint(radius, _unreached(model, [row], radius)) for radius in radii_of(model)
        ]
    return tuple(sorted(points, key=lambda point: point.radius))


def worst_curve(model: ModelEvaluation, radii: Sequence[float]) -> tuple[CurvePoint, ...]:
    """Accuracy under all attacks together: a sample counts where none has reached it by then.

    Radius 0, the clean accuracy, comes first; radii without any attack at or below them are left
    out, and none are left where there are no attacks.
    """
    clean = clean_rate(model)
    tried = [0.0 if row.radius is None else row.radius for row in model.attacks]
    least = min(tried, default=inf)
    points = [CurvePoint(0.0, clean)]
    for radius in sorted(set(radii) - {0.0}):
        if radius >= least:
            points.append(CurvePoint(radius, _unreached(model, model.attacks, radius)))
    return tuple(points)


def certified_curve(model: ModelEvaluation, method: str) -> tuple[CurvePoint, ...]:
    """Share of samples with a proven label against the radius; radius 0, clean, comes first."""
    clean = clean_rate(model)
    points = [CurvePoint(0.0, clean)]
    points += [
        CurvePoint(row.radius, Rate(len(row.certified), clean.total))
        for row in model.certified
        if row.method == method and row.radius > 0
    ]
    return tuple(sorted(points, key=lambda point: point.radius))


def success_rate(model: ModelEvaluation, row: AttackRow) -> Rate | None:
    """Of the samples that are right as they are, those that the attack makes wrong.

    None where no sample is right.
    """
    # A tie may be right in one row and wrong in another that another machine has found.
    wrong = _clean(model).wrong
    try:
        return attack_success_rate(clean_rate(model).total, len(wrong), len({*wrong, *row.broken}))
    except NotMeasured:
        return None


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
        scores.append(CorruptionScore(name, accuracy, residual, kept, ratio, relative))
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


def middle_radius(evaluation: Evaluation) -> float | None:
    """The radius that a summary takes; the lower one of two in the middle, None without any."""
    radii = sorted(radius for radius in evaluation.radii if radius > 0)
    return radii[(len(radii) - 1) // 2] if radii else None


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
    clean, trained = _clean(model), clean_row(model, "train")
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


def _clean(model: ModelEvaluation) -> CleanRow:
    row = clean_row(model)
    if row is None:
        raise BadSetting(f"the evaluation of '{model.model.name}' has no clean test samples")
    return row


def radii_of(model: ModelEvaluation) -> list[float]:
    """The radii above 0 that a network has rows of, ascending."""
    radii = {row.radius for row in model.attacks} | {row.radius for row in model.certified}
    return sorted(radius for radius in radii if radius is not None and radius > 0)


def reached(model: ModelEvaluation, rows: Sequence[AttackRow], radius: float) -> frozenset[int]:
    """Positions of the samples that are wrong, or that one of these attacks breaks by then."""
    return frozenset(_clean(model).wrong) | {
        place
        for row in rows
        for place, reach in enumerate(row.reach)
        if reach is not None and reach <= radius
    }


def _unreached(model: ModelEvaluation, rows: Sequence[AttackRow], radius: float) -> Rate:
    """Samples that keep their label as far as any of these attacks could see."""
    total = clean_rate(model).total
    return Rate(total - len(reached(model, rows, radius)), total)


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
