"""Programs with every column between zero and about one: what a solver's tolerances are made for.

Solvers take absolute tolerances of 1e-6 to 1e-9, whatever the size of what they solve; a box of
radius 1e-5 would drown in them. Factors are powers of two, so scaling rounds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags

from sensverify.solvers.encoding.problem import UNIT, Problem

DROPPED = 1e-9
"""Solvers drop coefficients of a magnitude up to this; they are taken out before, soundly."""


@dataclass(frozen=True, eq=False)
class Scaled:
    """``x = origin + column_scale * t`` in a program whose rows are multiplied by ``row_scale``.

    Parameters
    ----------
    original, problem : Problem
        The program over x, and a relaxation of it by rounding over t.
    origin, column_scale : numpy array, shape ``[columns]``
    row_scale : numpy array, shape ``[rows]``
    """

    original: Problem
    problem: Problem
    origin: np.ndarray
    column_scale: np.ndarray
    row_scale: np.ndarray

    def cost(self, cost: np.ndarray) -> tuple[np.ndarray, float, float]:
        """A cost over t, a factor and a constant: ``cost @ x = factor * over_t @ t + constant``."""
        scaled = cost * self.column_scale
        largest = float(np.abs(scaled).max(initial=0.0))
        factor = float(_power(np.array(largest)))
        return scaled / factor, factor, float(cost @ self.origin)

    def point(self, t: np.ndarray) -> np.ndarray:
        """x, inside of its ends."""
        x = self.origin + self.column_scale * t
        return np.clip(x, self.original.lower, self.original.upper)

    def start(self, x: np.ndarray) -> np.ndarray:
        """t, inside of its ends."""
        t = (x - self.origin) / self.column_scale
        return np.clip(t, self.problem.lower, self.problem.upper)

    def multipliers(self, scaled: np.ndarray, factor: float) -> np.ndarray:
        """Multipliers of the original rows from those of the scaled ones."""
        return factor * scaled * self.row_scale


def scale(problem: Problem) -> Scaled:
    """Scale a program; what is lost to rounding and dropping widens its rows."""
    width = problem.upper - problem.lower
    column_scale = np.where(problem.integer, 1.0, _power(width))
    origin = np.where(problem.integer, 0.0, problem.lower)
    matrix = csr_matrix(problem.matrix @ diags(column_scale))
    moved = problem.matrix @ origin
    sizes = abs(problem.matrix) @ np.abs(origin)
    ends = np.stack([problem.row_lower, problem.row_upper])
    with np.errstate(invalid="ignore"):
        lost = np.where(np.isinf(ends), 0.0, np.abs(ends)) + sizes
    lost *= 2 * UNIT * (np.diff(problem.matrix.indptr) + 2)
    row_lower, row_upper = ends[0] - moved - lost[0], ends[1] - moved + lost[1]
    largest = abs(matrix).max(axis=1).toarray().reshape(-1) if matrix.nnz else np.zeros(len(moved))
    row_scale = 1 / _power(largest)
    matrix = csr_matrix(diags(row_scale) @ matrix)
    lower = np.where(problem.integer, problem.lower, 0.0)
    upper = np.where(problem.integer, problem.upper, width / column_scale)
    kept, below, above = _without_small(matrix, lower, upper)
    scaled = Problem(
        lower,
        upper,
        problem.integer,
        kept,
        row_lower * row_scale - above,
        row_upper * row_scale - below,
    )
    return Scaled(problem, scaled, origin, column_scale, row_scale)


def _power(values: np.ndarray) -> np.ndarray:
    """The powers of two nearest to values above zero; 1 for zero, and kept away from overflow."""
    with np.errstate(divide="ignore"):
        exponent = np.rint(np.log2(values))
    return np.exp2(np.where(values > 0, np.clip(exponent, -900, 900), 0.0))


def _without_small(
    matrix: csr_matrix, lower: np.ndarray, upper: np.ndarray
) -> tuple[csr_matrix, np.ndarray, np.ndarray]:
    """The matrix without its smallest entries, and the least and most these came to, by row."""
    small = np.abs(matrix.data) <= DROPPED
    if not small.any():
        zeros = np.zeros(matrix.shape[0])
        return matrix, zeros, zeros
    # Copies: scipy sorts the entries of an operand in place, and would unsort what shares them.
    part, kept = matrix.copy(), matrix.copy()
    part.data[~small], kept.data[small] = 0.0, 0.0
    kept.eliminate_zeros()
    positive, negative = part.maximum(0), part.minimum(0)
    below = positive @ lower + negative @ upper
    above = positive @ upper + negative @ lower
    return kept, below, above
