"""Programs compute what their networks do: in float64, and without rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from flint import fmpq
from hypothesis import assume, given, settings

from sensverify.bounds import forward_pass
from sensverify.certificates import StoredModel, certify_bounds
from sensverify.certificates.check.arithmetic import ARITHMETICS
from sensverify.certificates.check.program import Linear, Nonlinear, Program, program_of
from sensverify.certificates.check.ranges import Evaluation, Machine
from sensverify.core.proof import Cells, Proof
from sensverify.errors import BadShape
from sensverify.models import resolve
from sensverify.network import Network
from sensverify.network.operators import (
    Abs,
    BatchNorm,
    Clip,
    LeakyRelu,
    Max,
    Relu,
    Sigmoid,
    Tanh,
)
from tests.certificates.divided_networks import divided_networks
from tests.certificates.exact_values import values_at
from tests.contracts.networks import NETWORKS, Case, cases

FAMILIES = NETWORKS | {"divided": divided_networks()}


def plain(step: Nonlinear, x: np.ndarray) -> np.ndarray:
    """A nonlinear step in float64."""
    operator = step.function.operator
    if isinstance(operator, Max):
        return x.reshape(len(x), step.size, step.window).max(axis=2)
    if isinstance(operator, LeakyRelu):
        return np.where(x > 0, x, step.function.slope * x)
    if isinstance(operator, Clip):
        return np.minimum(np.maximum(x, operator.low), operator.high)
    functions = {Relu: lambda v: np.maximum(v, 0), Abs: np.abs, Tanh: np.tanh}
    functions[Sigmoid] = lambda v: 0.5 + 0.5 * np.tanh(v / 2)
    return functions[type(operator)](x)


def computed(program: Program, x: np.ndarray) -> list[np.ndarray]:
    """All values, step by step."""
    machine = Machine(program, ARITHMETICS["rigorous"]())
    values = [x]
    for position, step in enumerate(program.steps[1:], start=1):
        if isinstance(step, Nonlinear):
            values.append(plain(step, values[step.source]))
            continue
        assert isinstance(step, Linear)
        terms = machine.terms[position]
        result = sum(part.apply(machine.arithmetic, values[source]) for source, part in terms)
        values.append(result if step.constant is None else result + step.constant)
    return values


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_compute_what_the_network_does(family: str) -> None:
    @given(cases(FAMILIES[family]))
    @settings(max_examples=40)
    def check(case: Case) -> None:
        program = program_of(case.network)
        x = case.box.lower.reshape(case.box.batch, -1)
        expected = forward_pass(case.network, torch.from_numpy(case.box.lower)).numpy()
        values = computed(program, x)
        assert [value.shape[1] for value in values] == list(program.sizes)
        size = max(1.0, *(np.abs(value).max() for value in values))
        np.testing.assert_allclose(
            values[-1], expected.reshape(len(x), -1), rtol=1e-12, atol=1e-12 * size
        )

    check()


def pulled(program: Program) -> None:
    """Rows through each map are the rows times its matrix, and so are columns."""
    rng, machine = np.random.default_rng(0), Machine(program, ARITHMETICS["exact"]())
    for position, step in enumerate(program.steps):
        if not isinstance(step, Linear):
            continue
        for source, part in machine.terms[position]:
            width, arithmetic = program.sizes[source], machine.arithmetic
            matrix = part.matrix(arithmetic)
            rows = arithmetic.numbers(rng.integers(-3, 4, (2, 3, step.size)).astype(float))
            column = arithmetic.numbers(rng.integers(-3, 4, (2, width)).astype(float))
            assert (part.pull(arithmetic, rows) == arithmetic.matmul(rows, matrix)).all()
            assert (part.apply(arithmetic, column) == arithmetic.matmul(column, matrix.T)).all()
            cut_and_compared(part, matrix, arithmetic, rng)


def cut_and_compared(part, matrix, arithmetic, rng: np.random.Generator) -> None:
    """A map of some outputs is that part of the matrix."""
    chosen = np.flatnonzero(rng.random(len(matrix)) < 0.5)
    columns = part.support(chosen)
    others = np.setdiff1d(np.arange(matrix.shape[1]), columns)
    assert not (matrix[np.ix_(chosen, others)] != 0).any()
    extra = np.union1d(columns, rng.integers(0, matrix.shape[1], 2))
    smaller = part.cut(arithmetic, chosen, extra).matrix(arithmetic)
    assert (smaller == matrix[np.ix_(chosen, extra)]).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_maps_are_matrices(family: str) -> None:
    @given(FAMILIES[family])
    @settings(max_examples=10)
    def check(network: Network) -> None:
        program = program_of(network)
        assume(max(program.sizes) <= 300)
        pulled(program)

    check()


def at_points(program: Program, points: np.ndarray, name: str) -> Evaluation:
    """Intervals of points."""
    evaluation = Evaluation(Machine(program, ARITHMETICS[name]()), points, points)
    for position, step in program.nonlinear:
        evaluation.run(step.source)
        found = evaluation.interval(step.source)
        evaluation.relax(position, step, *found, step.function.rule_slopes(*found))
    evaluation.run(len(program.steps) - 1)
    return evaluation


@pytest.mark.parametrize("name", ARITHMETICS)
@pytest.mark.parametrize("family", FAMILIES)
def test_intervals_of_points_hold_their_values(family: str, name: str) -> None:
    @given(cases(FAMILIES[family]))
    @settings(max_examples=12)
    def check(case: Case) -> None:
        program, points = program_of(case.network), case.box.lower.reshape(case.box.batch, -1)
        assume(max(program.sizes) <= 120)
        evaluation = at_points(program, points, name)
        low, high = evaluation.interval(len(program.steps) - 1)
        for values, below, above in zip(values_at(case.network, points), low, high, strict=True):
            for (start, end), lower, upper in zip(values, below, above, strict=True):
                assert fmpq(*lower.as_integer_ratio()) <= end
                assert fmpq(*upper.as_integer_ratio()) >= start

    check()


@given(cases(divided_networks()))
@settings(max_examples=25)
def test_what_is_linear_is_known_exactly(case: Case) -> None:
    """In rational numbers nothing is lost, but for roots."""
    points = case.box.lower.reshape(case.box.batch, -1)
    # The interval that a nonlinear step starts from is rounded to float64.
    assume(not any(isinstance(n.operator, Relu | LeakyRelu) for n in case.network.nodes))
    program = program_of(case.network)
    evaluation = at_points(program, points, "exact")
    roots = any(isinstance(node.operator, BatchNorm) for node in case.network.nodes)
    low, high = evaluation.low[-1], evaluation.high[-1]
    for cell, values in enumerate(values_at(case.network, points)):
        for place, (start, end) in enumerate(values):
            assert low[cell, place] <= end
            assert high[cell, place] >= start
            gap = high[cell, place] - low[cell, place]
            assert gap <= fmpq(1, 10**10) * (1 + abs(end)) if roots else gap == 0


@pytest.mark.parametrize(
    ("boxes", "rows"),
    [((2, 5), (1, 2, 3)), ((2, 4), (1, 2, 4)), ((2, 4), (3, 2, 3)), ((2, 4), (2, 3))],
)
def test_what_does_not_fit_a_model_is_refused(
    boxes: tuple[int, ...], rows: tuple[int, ...]
) -> None:
    stored = StoredModel.read(resolve("iris").path)
    proof = Proof.of(Cells.roots(np.arange(2)), entries=stored.program.entries)
    with pytest.raises(BadShape, match="do not fit"):
        certify_bounds(stored, np.zeros(boxes), np.ones(boxes), np.ones(rows), proof)
