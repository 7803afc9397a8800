"""Accuracy against radius as lines with names, the same on the page, in a terminal and in files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sensverify.evaluation.curves import (
    CurvePoint,
    attack_curve,
    attack_names,
    certified_curve,
    method_names,
    middle_radius,
    worst_curve,
)
from sensverify.evaluation.results import (
    AttackRow,
    CorruptionRow,
    Evaluation,
    ModelEvaluation,
)

WORST = "worst of all attacks"


@dataclass(frozen=True)
class Line:
    """One curve of one network.

    Parameters
    ----------
    kind : ``attack``, ``worst`` or ``certified``
    name : str
        The attack or the method with its settings; `WORST`.
    points : tuple of CurvePoint
        By ascending radius, the clean accuracy at radius 0 first.
    """

    kind: Literal["attack", "worst", "certified"]
    name: str
    points: tuple[CurvePoint, ...]

    def at(self, radius: float) -> CurvePoint | None:
        """The point at a radius, if it has one."""
        return next((point for point in self.points if point.radius == radius), None)


def all_radii(evaluation: Evaluation) -> tuple[float, ...]:
    """Every radius above 0 that was asked for or that a row has, ascending."""
    found = set(evaluation.radii)
    for model in evaluation.models:
        found |= {row.radius for row in model.attacks if row.radius is not None}
        found |= {row.radius for row in model.certified}
    return tuple(sorted(radius for radius in found if radius > 0))


def accuracy_lines(evaluation: Evaluation, model: ModelEvaluation) -> tuple[Line, ...]:
    """Attacks, all of them together, then certified; those with nothing beyond clean left out."""
    lines = [Line("attack", name, attack_curve(model, name)) for name in attack_names(model)]
    if lines:
        lines.append(Line("worst", WORST, worst_curve(model, all_radii(evaluation))))
    lines += [Line("certified", name, certified_curve(model, name)) for name in method_names(model)]
    return tuple(line for line in lines if len(line.points) > 1)


def best_certified(evaluation: Evaluation, lines: tuple[Line, ...]) -> Line | None:
    """The method that proves most at the middle radius, the first of equals."""
    radius = middle_radius(evaluation)

    def proven(line: Line) -> int:
        point = None if radius is None else line.at(radius)
        return -1 if point is None else point.rate.count

    return max((line for line in lines if line.kind == "certified"), key=proven, default=None)


def hardest_attack(evaluation: Evaluation, model: ModelEvaluation) -> AttackRow | None:
    """The row with the fewest right samples at the middle radius, or at any if there is none."""
    middle = middle_radius(evaluation)
    boxed = [row for row in model.attacks if row.radius is not None]
    there = [row for row in boxed if row.radius == middle] or boxed
    return max(there, key=lambda row: len(row.broken), default=None)


def hardest_corruption(model: ModelEvaluation) -> CorruptionRow | None:
    """The row with the fewest right samples."""
    rows = model.corruptions
    return min(rows, key=lambda row: row.classified.accuracy.share, default=None)
