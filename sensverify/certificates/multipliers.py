"""Multipliers of input sets for whoever proposes: the best ones, by linear programs.

Whoever checks evaluates the multipliers that a certificate holds, so that nothing of the solver is
believed. Those of hidden layers are in no certificate, and are chosen by the checker's own rule.
"""

from __future__ import annotations

import numpy as np

from sensverify.certificates.check.sets import InputSets

_SOLVED = 1 << 20
"""Coefficients, in all rows of one call, up to which programs are solved."""


def best_multipliers(
    sets: InputSets, coefficient: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Multipliers ``[cells, rows, multipliers]``, at least as good as `InputSets.chosen`.

    Parameters
    ----------
    sets : InputSets
    coefficient : numpy array ``[cells, rows, features]``, float64
    low, high : numpy arrays ``[cells, 1, features]``, float64
    """
    found = sets.chosen(coefficient, low, high)
    if sets.multipliers < 2 or coefficient.size > _SOLVED:
        return found
    solved = np.zeros_like(found)
    for cell, rows in enumerate(coefficient):
        for number, row in enumerate(rows):
            solved[cell, number] = _solved(sets, cell, row, (low[cell, 0], high[cell, 0]))
    better = _dual(sets, solved, coefficient, low, high) > _dual(
        sets, found, coefficient, low, high
    )
    return np.where(better[..., None], solved, found)


def _solved(
    sets: InputSets, cell: int, row: np.ndarray, ends: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Multipliers of one row by HiGHS; zeros where it gives none that are finite."""
    from scipy.optimize import linprog

    assert sets.matrix is not None
    assert sets.limits is not None
    assert sets.equal is not None
    matrix, limits, equal = sets.matrix[cell], sets.limits[cell], sets.equal == 1
    size = abs(row).max(initial=0.0)
    result = np.zeros(len(equal))
    if not (size > 0 and np.isfinite(size)):
        return result
    parts = {
        name: values if len(values) else None
        for name, values in (
            *(("A_ub", matrix[~equal]), ("b_ub", limits[~equal])),
            *(("A_eq", matrix[equal]), ("b_eq", limits[equal])),
        )
    }
    found = linprog(row / size, **parts, bounds=np.stack(ends, axis=1), method="highs")
    if found.status != 0:
        return result
    result[~equal] = np.maximum(-found.ineqlin.marginals * size, 0.0)
    result[equal] = -found.eqlin.marginals * size
    return result if np.isfinite(result).all() else np.zeros(len(equal))


def _dual(
    sets: InputSets,
    multipliers: np.ndarray,
    coefficient: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """Values that multipliers prove, about, ``[cells, rows]``."""
    assert sets.matrix is not None
    assert sets.limits is not None
    cost = coefficient + multipliers @ sets.matrix
    value = (np.maximum(cost, 0) * low + np.minimum(cost, 0) * high).sum(axis=-1)
    return np.asarray(value - (multipliers * sets.limits[:, None]).sum(axis=-1))
