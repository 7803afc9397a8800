"""Linear programs over an input set: their columns are weights of points of it.

The multipliers of each program say which point is to join, until none improves it (Dantzig and
Wolfe 1960, *Decomposition principle for linear programs*). So a set needs no rows of its own, only
the least value of a linear function on it; a round one is approached from inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Affine:
    """Affine functions of the input.

    Parameters
    ----------
    slopes : numpy array, shape ``[functions, features]``
    constants : numpy array, shape ``[functions]``
    """

    slopes: np.ndarray
    constants: np.ndarray

    def __len__(self) -> int:
        return len(self.slopes)

    def at(self, point: np.ndarray) -> np.ndarray:
        """Values at a point, without the constants, ``[functions]``."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self.slopes @ point)

    def most(self, reach: np.ndarray) -> float:
        """More than the magnitude of any function where inputs are no larger than ``reach``."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.abs(self.constants).max(initial=0.0)) + float(
                (np.abs(self.slopes) * reach).sum(axis=1).max(initial=0.0)
            )


class WeightsOfPoints:
    """The least value of the largest of some rows, where cuts are at least 0, over points so far.

    Nothing here proves anything: multipliers are evaluated by whoever asked for them.

    Parameters
    ----------
    cuts, rows : Affine
    price : float
        Of breaking the cuts, by the largest amount.
    """

    def __init__(self, cuts: Affine, rows: Affine, price: float) -> None:
        import highspy

        self._cuts, self._rows, self._points = cuts, rows, list[np.ndarray]()
        self._solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        self._error, self._optimal = highspy.HighsStatus.kError, highspy.HighsModelStatus.kOptimal
        endless = highspy.kHighsInf
        self._solver.setOptionValue("output_flag", False)
        # Not one thread: HiGHS refuses where this process has a pool of another number.
        self._solver.setOptionValue("parallel", "off")
        # Rows: the cuts; the rows, as ``v - row >= constant``; the weights are 1 in all.
        model = highspy.HighsLp()
        count, below = len(cuts) + len(rows) + 1, len(cuts) + len(rows)
        model.num_col_, model.num_row_ = 2, count
        model.col_cost_ = np.array([price, 1.0])
        model.col_lower_, model.col_upper_ = np.array([0.0, -endless]), np.full(2, endless)
        model.row_lower_ = np.concatenate([-cuts.constants, rows.constants, [1.0]])
        model.row_upper_ = np.append(np.full(below, endless), 1.0)
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_ = np.array([0, len(cuts), below])
        model.a_matrix_.index_, model.a_matrix_.value_ = np.arange(below), np.ones(below)
        finite = np.isfinite(model.row_lower_).all() and np.isfinite(price)
        self._usable = bool(finite) and self._solver.passModel(model) != self._error
        self._places = np.arange(count, dtype=np.int32)

    def add(self, point: np.ndarray) -> None:
        """A further point of the set, ``[features]``."""
        column = np.concatenate([self._cuts.at(point), -self._rows.at(point), [1.0]])
        self._points.append(point)
        self._usable = (
            self._usable
            and bool(np.isfinite(column).all())
            and self._solver.addCol(0.0, 0.0, 1.0, len(column), self._places, column) != self._error
        )

    def solved(self) -> tuple[float, np.ndarray, np.ndarray] | None:
        """The least value, the input where it is taken, and the multipliers of cuts and rows.

        None where HiGHS has no solution.
        """
        solver = self._solver
        if (
            not self._usable
            or solver.run() == self._error
            or solver.getModelStatus() != self._optimal
        ):
            return None
        found = solver.getSolution()
        multipliers = np.array(found.row_dual, dtype=np.float64)[:-1]
        weights = np.clip(np.array(found.col_value, dtype=np.float64)[2:], 0.0, 1.0)
        if not (np.isfinite(multipliers).all() and np.isfinite(weights).all()):
            return None
        return float(solver.getObjectiveValue()), weights @ np.stack(self._points), multipliers
