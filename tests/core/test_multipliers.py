"""Multipliers of linear constraints against linear programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from sensverify.core.multipliers import best_multipliers

Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def case(seed: int, features: int, constraints: int, *, whole: bool = False) -> Case:
    """Constraints with room at a point of the box, and functions; in whole numbers maybe."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(constraints, features))
    rows = random.normal(size=(9, features))
    point, reach = random.random(features), 0.3
    equal = np.zeros(constraints, bool)
    equal[0] = seed % 2 == 1
    matrix[0] = 1.0
    if whole:
        # Many reduced costs are 0 at once.
        matrix, rows, point, reach = np.round(matrix), np.round(rows), np.round(point * 4) / 4, 0.5
    limits = matrix @ point + np.where(equal, 0.0, 0.05)
    return matrix, limits, equal, rows, point - reach, point + reach


def least(matrix: Any, limits: Any, equal: Any, row: Any, low: Any, high: Any) -> float:
    some = {"A_ub": matrix[~equal], "b_ub": limits[~equal]} if (~equal).any() else {}
    if equal.any():
        some |= {"A_eq": matrix[equal], "b_eq": limits[equal]}
    done = linprog(row, bounds=np.stack([low, high], axis=1), method="highs", **some)
    assert done.status == 0
    return float(done.fun)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("constraints", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("features", [6, 40])
@pytest.mark.parametrize("seed", range(4))
def test_they_prove_what_a_linear_program_does(
    seed: int, features: int, constraints: int, whole: bool
) -> None:
    matrix, limits, equal, rows, low, high = case(seed, features, constraints, whole=whole)
    ends = low[None, None], high[None, None]
    found, points = best_multipliers(matrix[None], limits[None], equal, rows[None], ends)
    multipliers, points = found[0], points[0]
    assert bool((multipliers[:, ~equal] >= 0).all())
    cost = rows + multipliers @ matrix
    proven = (np.maximum(cost, 0) * low + np.minimum(cost, 0) * high).sum(axis=1)
    proven -= multipliers @ limits
    best = [least(matrix, limits, equal, row, low, high) for row in rows]
    np.testing.assert_allclose(proven, best, rtol=1e-7, atol=1e-7)
    # The points are those where the functions are least.
    assert bool(((points >= low) & (points <= high)).all())
    np.testing.assert_allclose((points * rows).sum(axis=1), best, rtol=1e-6, atol=1e-6)
    over = points @ matrix.T - limits
    assert float(over.max()) < 1e-7
    assert float(abs(over[:, equal]).max(initial=0.0)) < 1e-7


@pytest.mark.parametrize("scale", [1e-200, 1e200, np.inf, np.nan])
def test_numbers_of_any_size_give_finite_multipliers(scale: float) -> None:
    matrix, limits, equal, rows, low, high = case(0, 6, 3)
    ends = low[None, None], high[None, None]
    multipliers, points = best_multipliers(
        matrix[None], limits[None], equal, scale * rows[None], ends
    )
    assert bool(np.isfinite(multipliers).all())
    assert bool((multipliers[..., ~equal] >= 0).all())
    assert bool(((points >= low) & (points <= high)).all())


def test_many_functions_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, limits, equal, rows, low, high = case(1, 6, 3)
    asked = matrix[None], limits[None], equal, rows[None], (low[None, None], high[None, None])
    whole = best_multipliers(*asked)
    monkeypatch.setattr("sensverify.core.multipliers._NUMBERS", 40)
    parts = best_multipliers(*asked)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_a_set_without_inputs_gives_multipliers_all_the_same() -> None:
    # x <= -1 and x >= 1.
    matrix, limits = np.array([[[1.0], [-1.0]]]), np.array([[-1.0, -1.0]])
    ends = np.full((1, 1, 1), -2.0), np.full((1, 1, 1), 2.0)
    found, _ = best_multipliers(matrix, limits, np.zeros(2, bool), np.ones((1, 1, 1)), ends)
    assert bool(np.isfinite(found).all())
    assert bool((found >= 0).all())
