"""A linear or mixed-integer program as plain arrays, and bounds that any multipliers prove."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from sensverify.errors import BadShape, Unbounded

UNIT = np.finfo(np.float64).eps / 2
"""Half the distance from 1 to the next number: the relative error of one rounding."""


@dataclass(frozen=True, eq=False)
class Problem:
    """``row_lower <= matrix @ x <= row_upper, lower <= x <= upper``, some of x integers.

    Parameters
    ----------
    lower, upper : numpy array, shape ``[columns]``
        Finite.
    integer : boolean numpy array, shape ``[columns]``
    matrix : CSR matrix, shape ``[rows, columns]``
    row_lower, row_upper : numpy array, shape ``[rows]``
        Infinite where there is no such side.

    Raises
    ------
    BadShape
        The parts do not fit together.
    Unbounded
        A number is NaN, or infinite where it must not be.
    """

    lower: np.ndarray
    upper: np.ndarray
    integer: np.ndarray
    matrix: csr_matrix
    row_lower: np.ndarray
    row_upper: np.ndarray

    def __post_init__(self) -> None:
        rows, columns = self.matrix.shape
        sides = (self.lower, self.upper, self.integer, self.row_lower, self.row_upper)
        if [len(side) for side in sides] != [columns] * 3 + [rows] * 2:
            raise BadShape(f"the sides of a program do not fit its matrix of {rows} x {columns}")
        finite = (self.lower, self.upper, self.matrix.data)
        sides_ok = (self.row_lower < np.inf).all() and (self.row_upper > -np.inf).all()
        if not (all(np.isfinite(part).all() for part in finite) and sides_ok):
            raise Unbounded(
                "the encoding of the network holds a number that is not finite", "use a smaller box"
            )

    @property
    def columns(self) -> int:
        """The number of unknowns."""
        return len(self.lower)

    @property
    def rows(self) -> int:
        """The number of constraints, those on single columns aside."""
        return len(self.row_lower)

    def dual_bound(self, cost: np.ndarray, multipliers: np.ndarray | None = None) -> float:
        """A lower bound on ``cost @ x``, proven by weak duality whatever the multipliers.

        Parameters
        ----------
        cost : numpy array, shape ``[columns]``
        multipliers : numpy array, shape ``[rows]``, optional
            One for every row, positive ones for its lower side; NaN and those of a side that a
            row does not have count as zero. Default: all zero, which is interval arithmetic.

        Returns
        -------
        float
            ``sum_i min(y_i a_i, y_i b_i) + sum_j min(d_j l_j, d_j u_j)`` with ``d = cost - A' y``,
            less what rounding may have added. It holds for the program without its integrality,
            so with it too. -inf where it overflows. SOUND. Source: Neumaier & Shcherbina 2004,
            *Safe bounds in linear and mixed-integer linear programming*, Section 3.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            total, size = self._dual_terms(cost, self.usable(multipliers))
            # The longest sum has as many terms as there are rows and columns; each product, and
            # each addition, adds one rounding.
            terms = self.rows + self.columns + 4
            bound = total - 2 * terms * UNIT * size
        return float(bound) if np.isfinite(bound) else -np.inf

    def usable(self, multipliers: np.ndarray | None) -> np.ndarray:
        """Multipliers as a bound counts them, ``[rows]``: see `dual_bound`."""
        if multipliers is None or multipliers.shape != (self.rows,):
            return np.zeros(self.rows)
        y = np.where(np.isfinite(multipliers), multipliers, 0.0)
        y = np.where((y > 0) & np.isinf(self.row_lower), 0.0, y)
        return np.where((y < 0) & np.isinf(self.row_upper), 0.0, y)

    def _dual_terms(self, cost: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """The bound, and the sum of the magnitudes that went into it."""
        side = np.where(y > 0, self.row_lower, np.where(y < 0, self.row_upper, 0.0))
        rows = y * side
        used = np.flatnonzero(y)
        part = self.matrix[used]
        reduced = cost - part.T @ y[used]
        sizes = np.abs(cost) + abs(part).T @ np.abs(y[used])
        columns = np.minimum(reduced * self.lower, reduced * self.upper)
        largest = np.maximum(np.abs(self.lower), np.abs(self.upper))
        return rows.sum() + columns.sum(), np.abs(rows).sum() + (sizes * largest).sum()

    def relaxed(self) -> Problem:
        """The same program with every column continuous."""
        return replace(self, integer=np.zeros_like(self.integer))
