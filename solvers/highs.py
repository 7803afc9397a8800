"""HiGHS, with every status looked at: one program, many costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import Any

import highspy
import numpy as np

from sensverify.errors import BackendFailure
from sensverify.runs.watch import Watch
from sensverify.solvers.encoding.problem import Problem
from sensverify.solvers.scaling import scale

Improving = Callable[[np.ndarray], bool]
"""Called with every better point that a mixed-integer solve finds, ``[columns]``; True stops it."""

TOLERANCE = 1e-9
"""HiGHS's feasibility tolerances, on columns between zero and one."""

SLACK = 1e-8
"""Taken from bounds that rest on HiGHS's word, times the largest coefficient of the scaled cost:
its tolerances let a point break every row a little, and the optimum with it."""

MIP_OPTIONS = {
    # The encoding has left little for presolve to find: 1.3 times as fast without, and heuristics
    # that find nothing on networks cost as much as the rest: points come from elsewhere.
    "presolve": "off",
    "mip_heuristic_run_feasibility_jump": False,
    "mip_heuristic_run_rins": False,
    "mip_heuristic_run_rens": False,
    "mip_heuristic_run_root_reduced_cost": False,
}


class Status(Enum):
    """The outcome of a solve."""

    OPTIMAL = "optimal"
    STOPPED = "stopped"
    """By the time, a limit, a stop signal, or trouble with numbers; a bound may be known."""
    INFEASIBLE = "infeasible"


@dataclass(frozen=True, eq=False)
class Solution:
    """The minimum of a cost, as far as it is known.

    Parameters
    ----------
    status : Status
    bound : float or None
        The minimum is at least this. Without integer columns proven from the multipliers, so
        SOUND; with them HiGHS's own claim less `SLACK`, so SOLVER. None: nothing is known.
    point : numpy array, shape ``[columns]``, or None
        Feasible within HiGHS's tolerances.
    nodes : int
        Of HiGHS's own tree.
    multipliers : numpy array, shape ``[rows]``, or None
        Without integer columns: those that the bound follows from; see `Problem.dual_bound`.
    """

    status: Status
    bound: float | None = None
    point: np.ndarray | None = None
    nodes: int = 0
    multipliers: np.ndarray | None = None


class Highs:
    """A program held by HiGHS; only its cost changes, so each solve starts where the last ended.

    Parameters
    ----------
    problem : Problem
    threads : int
        Above 1, HiGHS's pool of threads, which the whole process shares, is made anew.
    seed : int

    Raises
    ------
    BackendFailure
        HiGHS refused the program or a setting.
    """

    def __init__(self, problem: Problem, *, threads: int = 1, seed: int = 0) -> None:
        self._scaled = scale(problem)
        self._integer = bool(problem.integer.any())
        self._core: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        # First, since a refusal is printed otherwise.
        self._set("output_flag", False)
        self._set("random_seed", seed % 2**31)
        self._set("primal_feasibility_tolerance", TOLERANCE)
        self._set("dual_feasibility_tolerance", TOLERANCE)
        if threads > 1:
            self._set("threads", threads)
            self._set("parallel", "on")
        else:
            self._set("parallel", "off")
        if self._integer:
            self._set("mip_feasibility_tolerance", TOLERANCE)
            self._set("mip_rel_gap", 0.0)
            for name, value in MIP_OPTIONS.items():
                self._set(name, value)
        self._check(self._core.passModel(_model(self._scaled.problem)), "take the program")
        self._columns = np.arange(problem.columns, dtype=np.int32)
        self._stop: Callable[[Any], bool] = lambda event: False
        self._improving: Improving | None = None
        self._error: BaseException | None = None
        self._core.cbMipInterrupt += self._interrupt
        self._core.cbSimplexInterrupt += self._interrupt
        self._core.cbMipImprovingSolution += self._improved

    def minimise(
        self,
        cost: np.ndarray,
        *,
        watch: Watch,
        gap: float = 0.0,
        enough: float | None = None,
        improving: Improving | None = None,
        start: np.ndarray | None = None,
    ) -> Solution:
        """Minimise ``cost @ x``.

        Parameters
        ----------
        cost : numpy array, shape ``[columns]``
        watch : Watch
            The solve stops when it is over.
        gap : float
            With integer columns: how far the bound may stay below the point found, absolute.
        enough : float, optional
            With integer columns: stop once the bound is proven to be at least this.
        improving : callable, optional
            With integer columns: sees every better point.
        start : numpy array, shape ``[columns]``, optional
            With integer columns: a feasible point to begin with.

        Raises
        ------
        BackendFailure
            The cost is not finite, or HiGHS failed.
        """
        # HiGHS takes NaN and returns what it likes.
        if cost.shape != (len(self._columns),) or not np.isfinite(cost).all():
            raise BackendFailure("HiGHS was given a cost that is not finite or does not fit")
        scaled, factor, constant = self._scaled.cost(cost)
        self._check(
            self._core.changeColsCost(len(self._columns), self._columns, scaled), "take a cost"
        )
        if self._integer:
            self._set("mip_abs_gap", max(gap / factor, 0.0))
            if start is not None:
                self._begin(start)
        if watch.over:
            # What HiGHS holds belongs to an earlier cost.
            if self._integer:
                return Solution(Status.STOPPED)
            original = self._scaled.original
            none = np.zeros(original.rows)
            return Solution(Status.STOPPED, original.dual_bound(cost, none), multipliers=none)
        target = None if enough is None else (enough - constant) / factor + SLACK
        self._stop = _stop_rule(watch, target)
        self._improving = improving
        status = self._run(watch)
        if self._integer:
            return self._mixed(status, factor, constant)
        return self._linear(status, cost, factor)

    def _run(self, watch: Watch) -> highspy.HighsModelStatus:
        # The clock of linear solves runs on from one to the next; that of mixed-integer ones does
        # not. The callbacks ask the watch as well.
        used = 0.0 if self._integer else self._core.getRunTime()
        self._set("time_limit", min(used + watch.left, 1e9))
        done = self._core.run()
        if done == highspy.HighsStatus.kError:
            # A pool of another number of threads, from elsewhere in this process.
            self._core.resetGlobalScheduler(True)
            done = self._core.run()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        self._check(done, "solve a program")
        status = self._core.getModelStatus()
        if status == highspy.HighsModelStatus.kUnboundedOrInfeasible:
            # Presolve could not tell which.
            self._set("presolve", "off")
            self._check(self._core.run(), "solve a program without presolve")
            status = self._core.getModelStatus()
            self._set("presolve", "choose")
        return status

    def _linear(self, status: Any, cost: np.ndarray, factor: float) -> Solution:
        """Any multipliers prove a bound, so HiGHS's word counts for nothing here."""
        outcome = _outcome(status)
        if outcome is Status.INFEASIBLE:
            return Solution(outcome)
        multipliers = point = None
        solution = self._core.getSolution()
        if solution.dual_valid:
            scaled = np.asarray(solution.row_dual, dtype=np.float64)
            multipliers = self._scaled.multipliers(scaled, factor)
        if outcome is Status.OPTIMAL:
            point = self._point()
        original, none = self._scaled.original, np.zeros(self._scaled.original.rows)
        candidates = [none] if multipliers is None else [none, original.usable(multipliers)]
        bounds = [original.dual_bound(cost, candidate) for candidate in candidates]
        bound = max(bounds)
        best = candidates[bounds.index(bound)]
        if not isfinite(bound):
            return Solution(outcome, None, point)
        return Solution(outcome, bound, point, multipliers=best)

    def _mixed(self, status: Any, factor: float, constant: float) -> Solution:
        outcome = _outcome(status)
        if outcome is Status.INFEASIBLE:
            return Solution(outcome)
        info = self._core.getInfo()
        if not info.valid:
            return Solution(Status.STOPPED)
        point = self._point()
        claims = [info.mip_dual_bound]
        if point is not None:
            # A bound above a point is no bound; where HiGHS leaves the bound at zero, the
            # objective of an optimum is what stands.
            claims.append(info.objective_function_value)
        claim = min(claims)
        # NaN and infinity fail this.
        if not all(abs(value) < 1e100 for value in claims):
            return Solution(Status.STOPPED, None, point, max(0, info.mip_node_count))
        bound = factor * (claim - SLACK) + constant
        return Solution(outcome, float(bound), point, max(0, info.mip_node_count))

    def _point(self) -> np.ndarray | None:
        solution = self._core.getSolution()
        if not solution.value_valid:
            return None
        values = np.asarray(solution.col_value, dtype=np.float64)
        if values.shape != self._columns.shape or not np.isfinite(values).all():
            return None
        return self._scaled.point(values)

    def _begin(self, start: np.ndarray) -> None:
        solution = highspy.HighsSolution()
        solution.col_value = self._scaled.start(start)
        solution.value_valid = True
        self._check(self._core.setSolution(solution), "take a point to start from")

    def _interrupt(self, event: Any) -> None:
        stop = True
        try:
            stop = self._error is not None or self._stop(event)
        except BaseException as error:
            self._error = error
        # HiGHS keeps the answer from one call, and one run, to the next.
        event.data_in.user_interrupt = stop

    def _improved(self, event: Any) -> None:
        if self._improving is None or self._error is not None:
            return
        try:
            values = np.array(event.data_out.mip_solution, dtype=np.float64)
            if np.isfinite(values).all() and self._improving(self._scaled.point(values)):
                self._stop = lambda event: True
        except BaseException as error:
            self._error = error

    def _set(self, name: str, value: object) -> None:
        self._check(self._core.setOptionValue(name, value), f"take {value!r} as option {name}")

    def _check(self, status: Any, what: str) -> None:
        if status not in (highspy.HighsStatus.kOk, highspy.HighsStatus.kWarning):
            raise BackendFailure(
                f"HiGHS {self._core.version()} could not {what}: it answered {status}"
            )


_STOPPED = (
    highspy.HighsModelStatus.kTimeLimit,
    highspy.HighsModelStatus.kInterrupt,
    highspy.HighsModelStatus.kIterationLimit,
    highspy.HighsModelStatus.kSolutionLimit,
    highspy.HighsModelStatus.kObjectiveBound,
    highspy.HighsModelStatus.kObjectiveTarget,
    highspy.HighsModelStatus.kUnknown,
)


def _outcome(status: Any) -> Status:
    """The meaning of a model status; a program of finite columns is never unbounded.

    Raises
    ------
    BackendFailure
        HiGHS failed, or says what cannot be.
    """
    if status in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kModelEmpty):
        return Status.OPTIMAL
    if status == highspy.HighsModelStatus.kInfeasible:
        return Status.INFEASIBLE
    if status in _STOPPED:
        return Status.STOPPED
    raise BackendFailure(f"HiGHS ended with {status}, which says nothing about the program")


def _stop_rule(watch: Watch, enough: float | None) -> Callable[[Any], bool]:
    def stop(event: Any) -> bool:
        if watch.over:
            return True
        return enough is not None and event.data_out.mip_dual_bound >= enough

    return stop


def _model(problem: Problem) -> highspy.HighsLp:
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = problem.columns, problem.rows
    model.col_cost_ = np.zeros(problem.columns)
    model.col_lower_, model.col_upper_ = problem.lower, problem.upper
    model.row_lower_, model.row_upper_ = problem.row_lower, problem.row_upper
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.num_col_, model.a_matrix_.num_row_ = problem.columns, problem.rows
    model.a_matrix_.start_ = problem.matrix.indptr
    model.a_matrix_.index_ = problem.matrix.indices
    model.a_matrix_.value_ = problem.matrix.data
    if problem.integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        model.integrality_ = [kinds[int(kind)] for kind in problem.integer]
    return model
