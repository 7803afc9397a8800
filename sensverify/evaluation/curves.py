"""Accuracy of an evaluation's networks against the radius: clean, under attacks, certified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from sensverify.classification.rates import Rate
from sensverify.classification.shift import (
    attack_success_rate,
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
    return clean_test_row(model).classified.accuracy


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
            left = clean.total - len({*clean_test_row(model).wrong, *row.broken})
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


def success_rate(model: ModelEvaluation, row: AttackRow, *, of_all: bool = False) -> Rate | None:
    """Of the samples that are right as they are, those that the attack makes wrong.

    Or, ``of_all`` samples, those that are wrong with it or without, see
    `sensverify.classification.shift.attack_success_rate`. None where no sample is right.
    """
    # A tie may be right in one row and wrong in another that another machine has found.
    wrong = clean_test_row(model).wrong
    try:
        broken = {*wrong, *row.broken}
        of = "all" if of_all else "right"
        return attack_success_rate(clean_rate(model).total, len(wrong), len(broken), of=of)
    except NotMeasured:
        return None


def middle_radius(evaluation: Evaluation) -> float | None:
    """The radius that a summary takes; the lower one of two in the middle, None without any."""
    radii = sorted(radius for radius in evaluation.radii if radius > 0)
    return radii[(len(radii) - 1) // 2] if radii else None


def clean_test_row(model: ModelEvaluation) -> CleanRow:
    """The predictions on the test samples as they are.

    Raises
    ------
    BadSetting
        The evaluation has no such row.
    """
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
    return frozenset(clean_test_row(model).wrong) | {
        place
        for row in rows
        for place, reach in enumerate(row.reach)
        if reach is not None and reach <= radius
    }


def _unreached(model: ModelEvaluation, rows: Sequence[AttackRow], radius: float) -> Rate:
    """Samples that keep their label as far as any of these attacks could see."""
    total = clean_rate(model).total
    return Rate(total - len(reached(model, rows, radius)), total)
