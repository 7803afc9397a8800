"""What HiGHS says is looked at, whatever it says."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import highspy
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, random_array

from sensverify.errors import BackendFailure
from sensverify.runs.watch import Watch
from sensverify.solvers import highs
from sensverify.solvers.encoding import Problem
from sensverify.solvers.highs import Highs, Status
from sensverify.solvers.reference import Cvxpy

INFINITY = np.inf


def program(
    rows: list[list[float]],
    row_lower: list[float],
    row_upper: list[float],
    *,
    integer: list[bool] | None = None,
    lower: float = 0.0,
    upper: float = 10.0,
) -> Problem:
    matrix = csr_matrix(np.array(rows, dtype=float))
    columns = matrix.shape[1]
    return Problem(
        np.full(columns, lower),
        np.full(columns, upper),
        np.array(integer or [False] * columns),
        matrix,
        np.array(row_lower, dtype=float),
        np.array(row_upper, dtype=float),
    )


THREE_LINES = program([[1, 1]], [4.5], [INFINITY], integer=[False, True])
"""min 2x + 3z, x + z >= 4.5: HiGHS 1.14.0 proves 15 to be the optimum; it is 9."""


def hard_program(size: int = 60) -> Problem:
    """A multi-row knapsack that takes minutes."""
    rng = np.random.default_rng(0)
    rows = np.floor(100 * rng.random((40, size)))
    return program(
        rows.tolist(),
        [-INFINITY] * 40,
        (rows.sum(axis=1) / 2).tolist(),
        integer=[True] * size,
        upper=1.0,
    )


def test_the_installed_highs_solves_the_three_lines_itself() -> None:
    solver = highspy.Highs()
    solver.silent()
    x, z = solver.addVariable(0, 10), solver.addIntegral(0, 10)
    solver.addConstr(x + z >= 4.5)
    solver.minimize(2 * x + 3 * z)
    assert solver.getInfo().objective_function_value == pytest.approx(9)


def test_three_lines_through_the_wrapper() -> None:
    solution = Highs(THREE_LINES).minimise(np.array([2.0, 3.0]), watch=Watch())
    assert solution.status is Status.OPTIMAL
    assert solution.bound == pytest.approx(9, abs=1e-6)
    assert solution.bound <= 9
    assert solution.point == pytest.approx([4.5, 0])


def test_without_integer_columns_the_bound_is_the_optimum() -> None:
    # HiGHS leaves mip_dual_bound at 0 here, with status optimal.
    problem = program([[1, 1]], [4.5], [INFINITY])
    solver = Highs(problem)
    solution = solver.minimise(np.array([2.0, 3.0]), watch=Watch())
    assert solver._core.getInfo().mip_dual_bound == 0
    assert solution.bound == pytest.approx(9, abs=1e-9)
    assert solution.bound <= 9


def test_integer_columns_that_presolve_removes() -> None:
    fixed = Problem(
        np.array([0.0, 2.0]),
        np.array([10.0, 2.0]),
        np.array([False, True]),
        csr_matrix(np.array([[1.0, 1.0]])),
        np.array([4.5]),
        np.array([INFINITY]),
    )
    solution = Highs(fixed).minimise(np.array([2.0, 3.0]), watch=Watch())
    assert solution.bound == pytest.approx(11, abs=1e-6)
    assert solution.bound <= 11


def test_costs_change_and_the_program_stays() -> None:
    solver = Highs(THREE_LINES)
    cases = (((2, 3), 9), ((3, 2), 9.5), ((-1, -1), -20), ((0, 0), 0), ((0, 1), 0))
    for cost, optimum in cases:
        solution = solver.minimise(np.array(cost, dtype=float), watch=Watch())
        assert solution.status is Status.OPTIMAL
        assert solution.bound == pytest.approx(optimum, abs=1e-6), cost


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_costs_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(BackendFailure, match="not finite"):
        Highs(THREE_LINES).minimise(np.array([2.0, bad]), watch=Watch())
    with pytest.raises(BackendFailure, match="does not fit"):
        Highs(THREE_LINES).minimise(np.array([2.0]), watch=Watch())


def test_an_infeasible_program() -> None:
    for integer in ([False, False], [False, True]):
        problem = program([[1, 1]], [25.0], [INFINITY], integer=integer)
        solution = Highs(problem).minimise(np.array([1.0, 1.0]), watch=Watch())
        assert solution.status is Status.INFEASIBLE
        assert solution.bound is None
        assert solution.point is None


def test_unknown_options_and_values_are_refused() -> None:
    solver = Highs(THREE_LINES)
    with pytest.raises(BackendFailure, match="option no_such_option"):
        solver._set("no_such_option", 1)
    with pytest.raises(BackendFailure, match="option time_limit"):
        solver._set("time_limit", -1.0)


def test_random_linear_programs_agree_with_scipy_and_cvxpy() -> None:
    rng = np.random.default_rng(0)
    for size in (3, 8, 20):
        matrix = csr_matrix(random_array((size, size), density=0.5, rng=rng))
        inside = rng.random(size)
        right = matrix @ inside
        problem = Problem(
            np.zeros(size), np.ones(size), np.zeros(size, bool), matrix, right - 0.1, right + 0.2
        )
        solver, reference = Highs(problem), Cvxpy(problem)
        for _ in range(4):
            cost = rng.normal(size=size)
            known = linprog(
                cost,
                A_ub=np.concatenate([matrix.toarray(), -matrix.toarray()]),
                b_ub=np.concatenate([right + 0.2, 0.1 - right]),
                bounds=(0, 1),
            )
            for one in (solver, reference):
                solution = one.minimise(cost, watch=Watch())
                assert solution.status is Status.OPTIMAL
                assert solution.bound == pytest.approx(known.fun, abs=1e-7)
                assert solution.bound <= known.fun + 1e-12
                assert cost @ solution.point == pytest.approx(known.fun, abs=1e-7)


def test_small_boxes_are_solved_as_precisely_as_large_ones() -> None:
    for width in (1e-8, 1.0, 1e6):
        problem = Problem(
            np.full(2, 3.0),
            np.array([3.0 + width, 3.0 + width]),
            np.zeros(2, bool),
            csr_matrix(np.array([[1.0, 1.0]])),
            np.array([6 + 0.25 * width]),
            np.array([INFINITY]),
        )
        solution = Highs(problem).minimise(np.array([1.0, 2.0]), watch=Watch())
        assert solution.bound == pytest.approx(9 + 0.25 * width, abs=1e-6 * width + 1e-13)


def test_coefficients_that_highs_would_drop_widen_their_row() -> None:
    # x - 1e-10 y >= 1 with y up to 1e8... scaled, the second term is 0.01 and stays; up to 1 it
    # would be dropped, and the row keeps room for it.
    tight = program([[1, -1e-10]], [1.0], [INFINITY], integer=[False, True])
    solution = Highs(tight).minimise(np.array([1.0, 0.0]), watch=Watch())
    assert 1 - 1e-6 <= solution.bound <= 1


def test_a_stopped_mixed_solve_gives_its_dual_bound() -> None:
    problem = hard_program()
    cost = -np.random.default_rng(1).random(problem.columns)
    solver = Highs(problem)
    bounds = []
    for seconds in (0.3, 0.6):
        began = time.perf_counter()
        solution = solver.minimise(cost, watch=Watch(seconds))
        assert time.perf_counter() - began < seconds + 60
        assert solution.status is Status.STOPPED
        assert solution.bound is not None
        assert solution.bound <= cost @ solution.point
        bounds.append(solution.bound)
    assert (np.array(bounds) < 0).all()


def test_no_time_at_all() -> None:
    watch = Watch(0.0)
    cost = np.array([2.0, 3.0])
    mixed = Highs(THREE_LINES).minimise(cost, watch=watch)
    assert (mixed.status, mixed.bound, mixed.point) == (Status.STOPPED, None, None)
    linear = Highs(program([[1, 1]], [4.5], [INFINITY])).minimise(cost, watch=watch)
    assert linear.status is Status.STOPPED
    assert linear.bound is not None
    assert linear.bound <= 0


def test_a_stop_from_another_thread() -> None:
    problem = hard_program()
    cost = -np.random.default_rng(1).random(problem.columns)
    watch = Watch(60.0)
    solver = Highs(problem)
    timer = threading.Timer(0.3, watch.stop)
    timer.start()
    began = time.perf_counter()
    solution = solver.minimise(cost, watch=watch)
    assert time.perf_counter() - began < 50
    assert solution.status is Status.STOPPED
    # The next solve is not stopped with it.
    easy = solver.minimise(np.zeros(problem.columns), watch=Watch(30.0))
    assert easy.status is Status.OPTIMAL


def test_enough_is_enough() -> None:
    problem = hard_program()
    cost = -np.random.default_rng(1).random(problem.columns)
    began = time.perf_counter()
    solution = Highs(problem).minimise(cost, watch=Watch(60.0), enough=-1e3)
    assert time.perf_counter() - began < 50
    assert solution.bound is not None
    assert solution.bound >= -1e3


def test_improving_points_are_shown_and_can_stop_the_solve() -> None:
    problem = hard_program()
    cost = -np.random.default_rng(1).random(problem.columns)
    seen = []

    def improving(point: np.ndarray) -> bool:
        seen.append(point)
        return True

    solution = Highs(problem).minimise(cost, watch=Watch(60.0), improving=improving)
    assert solution.status is Status.STOPPED
    assert seen
    assert (problem.matrix @ seen[0] <= problem.row_upper + 1e-6).all()


def test_errors_in_callbacks_come_out() -> None:
    def improving(point: np.ndarray) -> bool:
        raise ZeroDivisionError("in a callback")

    problem = hard_program()
    cost = -np.random.default_rng(1).random(problem.columns)
    with pytest.raises(ZeroDivisionError):
        Highs(problem).minimise(cost, watch=Watch(30.0), improving=improving)


def test_another_number_of_threads_in_the_same_process() -> None:
    for threads in (1, 2, 1):
        solver = Highs(THREE_LINES, threads=threads)
        assert solver.minimise(np.array([2.0, 3.0]), watch=Watch()).bound == pytest.approx(9)


class FakeHighs:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.answer = highspy.HighsStatus.kOk
        self.status = highspy.HighsModelStatus.kOptimal
        self.info = SimpleNamespace(
            valid=True, mip_dual_bound=7.0, objective_function_value=8.0, mip_node_count=1
        )
        self.solution = SimpleNamespace(
            value_valid=True, dual_valid=True, col_value=[1.0, 1.0], row_dual=[2.0]
        )
        self.refused: str | None = None
        self.cbMipInterrupt = self.cbSimplexInterrupt = self.cbMipImprovingSolution = _Event()

    def setOptionValue(self, name: str, value: object) -> highspy.HighsStatus:
        refused = name == self.refused
        return highspy.HighsStatus.kError if refused else highspy.HighsStatus.kOk

    def passModel(self, model: object) -> highspy.HighsStatus:
        return self.answer

    def changeColsCost(self, *args: object) -> highspy.HighsStatus:
        return self.answer

    def run(self) -> highspy.HighsStatus:
        return self.answer

    def getRunTime(self) -> float:
        return 0.0

    def resetGlobalScheduler(self, blocking: bool) -> None:
        pass

    def getModelStatus(self) -> highspy.HighsModelStatus:
        return self.status

    def getInfo(self) -> SimpleNamespace:
        return self.info

    def getSolution(self) -> SimpleNamespace:
        return self.solution

    def version(self) -> str:
        return "fake"


class _Event:
    def __iadd__(self, callback: object) -> _Event:
        return self


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeHighs:
    core = FakeHighs()
    monkeypatch.setattr(highs.highspy, "Highs", lambda: core)
    return core


COST = np.array([2.0, 3.0])
CONTINUOUS = program([[1, 1]], [4.5], [INFINITY])


@pytest.mark.parametrize(
    "status",
    [
        "kNotset",
        "kLoadError",
        "kModelError",
        "kPresolveError",
        "kSolveError",
        "kPostsolveError",
        "kUnbounded",
        "kUnboundedOrInfeasible",
        "kMemoryLimit",
    ],
)
def test_statuses_that_say_nothing_are_failures(fake: FakeHighs, status: str) -> None:
    fake.status = getattr(highspy.HighsModelStatus, status)
    for problem in (THREE_LINES, CONTINUOUS):
        with pytest.raises(BackendFailure, match="says nothing"):
            Highs(problem).minimise(COST, watch=Watch())


def test_an_error_from_any_call_is_a_failure(fake: FakeHighs) -> None:
    fake.refused = "mip_rel_gap"
    with pytest.raises(BackendFailure, match="option mip_rel_gap"):
        Highs(THREE_LINES)
    fake.refused = None
    solver = Highs(THREE_LINES)
    fake.answer = highspy.HighsStatus.kError
    with pytest.raises(BackendFailure, match="take a cost"):
        solver.minimise(COST, watch=Watch())
    with pytest.raises(BackendFailure, match="take the program"):
        Highs(THREE_LINES)


def test_a_lying_linear_solver_cannot_move_the_bound(fake: FakeHighs) -> None:
    fake.info.objective_function_value = 1e6
    for dual in ([2.0], [1e9], [-5.0], [np.nan], [np.inf], [], [1.0, 2.0]):
        fake.solution.row_dual = dual
        bound = Highs(CONTINUOUS).minimise(COST, watch=Watch()).bound
        assert bound is not None
        assert bound <= 9


@pytest.mark.parametrize("dual", [np.nan, np.inf, -np.inf, 1e200])
def test_a_dual_bound_that_is_no_number_proves_nothing(fake: FakeHighs, dual: float) -> None:
    for status in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kTimeLimit):
        fake.status = status
        fake.info.mip_dual_bound = dual
        solution = Highs(THREE_LINES).minimise(COST, watch=Watch())
        assert solution.status is Status.STOPPED
        assert solution.bound is None


def test_a_dual_bound_above_the_point_is_not_believed(fake: FakeHighs) -> None:
    fake.info.mip_dual_bound, fake.info.objective_function_value = 100.0, 8.0
    low = Highs(THREE_LINES).minimise(COST, watch=Watch()).bound
    fake.info.mip_dual_bound = 8.0
    same = Highs(THREE_LINES).minimise(COST, watch=Watch()).bound
    assert low == same


def test_points_with_nan_are_left_out(fake: FakeHighs) -> None:
    fake.solution.col_value = [np.nan, 1.0]
    for problem in (THREE_LINES, CONTINUOUS):
        assert Highs(problem).minimise(COST, watch=Watch()).point is None
    fake.solution.col_value = [1.0]
    assert Highs(THREE_LINES).minimise(COST, watch=Watch()).point is None


def test_information_that_is_not_valid_proves_nothing(fake: FakeHighs) -> None:
    fake.info.valid = False
    assert Highs(THREE_LINES).minimise(COST, watch=Watch()).bound is None
