"""Linear programs through cvxpy: slow, and another solver's opinion."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from sensverify.errors import BackendFailure, BackendMissing
from sensverify.runs.watch import Watch
from sensverify.solvers.encoding.problem import Problem
from sensverify.solvers.highs import Solution, Status
from sensverify.solvers.scaling import scale

ACCURACY = 1e-10
"""Clarabel's tolerances, on columns between zero and one."""


class Cvxpy:
    """A linear program stated in cvxpy, solved by Clarabel for one cost after the other.

    Parameters
    ----------
    problem : Problem
        Without integer columns.

    Raises
    ------
    BackendMissing
        cvxpy is not installed.
    """

    def __init__(self, problem: Problem) -> None:
        try:
            import cvxpy
        except ImportError as error:
            raise BackendMissing(
                f"backend cvxpy needs the package cvxpy ({error})",
                "install it with pip install cvxpy",
            ) from None
        self._cvxpy = cvxpy
        self._scaled = scale(problem)
        self._cost = cvxpy.Parameter(problem.columns)
        self._x = cvxpy.Variable(problem.columns)
        inner = self._scaled.problem
        self._sides = [
            (np.flatnonzero(np.isfinite(inner.row_lower)), 1.0, inner.row_lower),
            (np.flatnonzero(np.isfinite(inner.row_upper)), -1.0, inner.row_upper),
        ]
        self._rows = [
            sign * (inner.matrix[rows] @ self._x) >= sign * ends[rows]
            for rows, sign, ends in self._sides
            if len(rows)
        ]
        columns = [self._x >= inner.lower, self._x <= inner.upper]
        objective = cvxpy.Minimize(self._cost @ self._x)
        self._problem: Any = cvxpy.Problem(objective, [*self._rows, *columns])

    def minimise(self, cost: np.ndarray, *, watch: Watch) -> Solution:
        """Minimise ``cost @ x``; the bound is proven from the multipliers, whatever the status.

        Raises
        ------
        BackendFailure
            The solver failed.
        """
        scaled, factor, _ = self._scaled.cost(cost)
        original = self._scaled.original
        if watch.over:
            return Solution(Status.STOPPED, original.dual_bound(cost))
        self._cost.value = scaled
        options: dict[str, float] = {} if not isfinite(watch.left) else {"time_limit": watch.left}
        try:
            self._problem.solve(
                solver=self._cvxpy.CLARABEL,
                tol_gap_abs=ACCURACY,
                tol_gap_rel=ACCURACY,
                tol_feas=ACCURACY,
                **options,
            )
        except self._cvxpy.error.SolverError as error:
            raise BackendFailure(f"cvxpy's solver failed: {error}") from None
        multipliers = self._scaled.multipliers(self._multipliers(), factor)
        bound = original.dual_bound(cost, multipliers)
        # Only the exact word: cvxpy counts inaccurate and stopped solves as solved.
        if self._problem.status != self._cvxpy.OPTIMAL or self._x.value is None:
            return Solution(Status.STOPPED, bound, multipliers=multipliers)
        point = self._scaled.point(self._x.value)
        return Solution(Status.OPTIMAL, bound, point, multipliers=multipliers)

    def _multipliers(self) -> np.ndarray:
        total = np.zeros(self._scaled.problem.rows)
        constraints = iter(self._rows)
        for rows, sign, _ in self._sides:
            if len(rows):
                values = next(constraints).dual_value
                if values is not None:
                    total[rows] += sign * np.maximum(values, 0)
        return total
