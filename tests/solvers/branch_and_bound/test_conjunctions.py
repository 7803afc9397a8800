"""Conjunctions over outputs that depend on different inputs: no row may starve the others."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.linalg import block_diag

from sensverify.bounds import forward_pass
from sensverify.core.queries import Verdict
from sensverify.network import Network
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.branch_and_bound.choosing import deciding_rows, likely_points, shares
from tests.solvers.branch_and_bound.cases import chain, exact_ends, least_violation, query, unit_box

both_splits = pytest.mark.parametrize("split", ["inputs", "neurons"])

Layers = list[tuple[np.ndarray, np.ndarray]]

ABS = [
    (np.array([[1.0], [-1.0]]), np.zeros(2)),
    (np.array([[1.0, 1.0]]), np.zeros(1)),
]
"""``|x|``"""


def beside(parts: list[Layers]) -> Network:
    """Networks beside each other: every output depends on its own part's inputs."""
    joined = [
        (block_diag(*(weight for weight, _ in layer)), np.concatenate([bias for _, bias in layer]))
        for layer in zip(*parts, strict=True)
    ]
    return chain(*joined)


def part(rng: np.random.Generator, *sizes: int) -> Layers:
    return [(rng.normal(size=(b, a)), rng.normal(size=b) / 2) for a, b in pairwise(sizes)]


def windows(ends: list[tuple[float, float]]) -> tuple[np.ndarray, list[float]]:
    """Rows and limits of ``low <= y_i <= high``."""
    rows = np.concatenate([[row, -row] for row in np.eye(len(ends))])
    return rows, [limit for low, high in ends for limit in (high, -low)]


def decided(
    network: Network, rows: np.ndarray, limits: list[float], parts: list, split: str
) -> Verdict:
    asked = query(unit_box(network.input_shape[0]), rows, limits, parts)
    decision = BranchAndBound(split=split, seconds=60.0).decide(network, asked)
    if decision.witness is not None:
        outputs = forward_pass(network, torch.tensor(decision.witness[None])).numpy()
        assert bool(asked.met_by(outputs).all())
    return decision.verdict


@both_splits
@pytest.mark.parametrize(
    "ends",
    [
        [(0.2, 0.3), (0.6, 0.7)],
        [(0.2, 0.5), (0.3, 0.7)],
        [(-1.0, 0.3), (0.4, 0.6)],
        [(0.41, 0.4101), (0.71, 0.7101), (0.1, 0.1001)],
    ],
)
def test_windows_that_some_inputs_meet(split: str, ends: list[tuple[float, float]]) -> None:
    network = beside([ABS] * len(ends))
    every = [list(range(2 * len(ends)))]
    assert decided(network, *windows(ends), every, split) is Verdict.SAT


@both_splits
def test_a_window_that_many_inputs_meet_beside_one_that_none_does(split: str) -> None:
    """``|x1| - |x1|`` by neurons of its own: it takes splits of x1 to see that this is 0."""
    zero = [
        (np.repeat(ABS[0][0], 2, axis=0), np.zeros(4)),
        (np.array([[1.0, -1, 1, -1]]), ABS[1][1]),
    ]
    network = beside([ABS, zero])
    rows, limits = windows([(0.2, 0.9), (0.01, 2.0)])
    assert decided(network, rows, limits, [[0, 1, 2, 3]], split) is Verdict.UNSAT
    # Either window alone can be met, or not, whatever the other asks for.
    assert decided(network, rows, limits, [[0, 1]], split) is Verdict.SAT
    assert decided(network, rows, limits, [[2, 3]], split) is Verdict.UNSAT


@both_splits
@pytest.mark.parametrize("seed", range(6))
def test_random_windows_over_separate_inputs(split: str, seed: int) -> None:
    """Truth: each part on its own, over all of its activation patterns."""
    rng = np.random.default_rng(seed)
    parts = [part(rng, 2, 4, 1) for _ in range(2 + seed % 2)]
    ends, met = [], []
    for layers in parts:
        low, high = exact_ends(chain(*layers), unit_box(2), [[1.0]])[0, 0]
        width = 0.03 * (high - low)
        middle = low + rng.uniform(0.1, 0.9) * (high - low)
        if rng.random() < 0.25:
            middle = high + 1.1 * width if rng.random() < 0.5 else low - 1.1 * width
        ends.append((middle - width, middle + width))
        met.append(low <= ends[-1][1] and ends[-1][0] <= high)
    expected = Verdict.SAT if all(met) else Verdict.UNSAT
    every = [list(range(2 * len(ends)))]
    assert decided(beside(parts), *windows(ends), every, split) is expected


@both_splits
@pytest.mark.parametrize("seed", range(6))
def test_disjunctions_of_conjunctions(split: str, seed: int) -> None:
    """Rows across the parts, too; truth: linear programs over all activation patterns."""
    rng = np.random.default_rng(100 + seed)
    network = beside([part(rng, 1, 3, 1), part(rng, 1, 3, 1)])
    rows = np.concatenate([np.eye(2), -np.eye(2), rng.normal(size=(2, 2))])
    places = rng.uniform(-1, 1, size=(40, 2))
    values = forward_pass(network, torch.tensor(places)).numpy() @ rows.T
    limits = np.quantile(values, rng.uniform(0.02, 0.4, size=len(rows)), axis=0).diagonal()
    alternatives = [sorted(rng.choice(len(rows), size=3, replace=False).tolist()) for _ in range(3)]
    least = min(
        least_violation(network, unit_box(2), rows[a], limits[a]) for a in map(list, alternatives)
    )
    assert abs(least) > 1e-7
    expected = Verdict.SAT if least < 0 else Verdict.UNSAT
    assert decided(network, rows, limits.tolist(), alternatives, split) is expected


def test_neurons_that_no_row_depends_on_are_not_split() -> None:
    """A hundred patterns of one part, beside 2**36 of parts that nothing is asked about."""
    rng = np.random.default_rng(5)
    parts = [part(rng, 3, 8, 1), *(part(rng, 3, 12, 1) for _ in range(3))]
    low, high = exact_ends(chain(*parts[0]), unit_box(3), [[1.0]])[0, 0]
    network, row = beside(parts), np.eye(4)[:1]
    for limit, expected in ((low - 1e-3 * (high - low), Verdict.UNSAT), (low + 1e-3, Verdict.SAT)):
        assert decided(network, row, [limit], [[0]], "neurons") is expected


def test_rows_take_turns_and_those_that_hold_take_none() -> None:
    groups = ((0, 1, 2),)
    below = torch.tensor([[1.0, 1.0, 0.01]], dtype=torch.float64)
    above = torch.tensor([[1.0, 1.0, -0.5]], dtype=torch.float64)
    turns, ones = torch.zeros(1, 3, dtype=torch.int16), torch.ones(3, dtype=torch.float64)
    seen = []
    for _ in range(6):
        row = int(deciding_rows(below, above, turns, ones, groups))
        turns[0, row] += 1
        seen.append(row)
    assert seen == [0, 1, 0, 1, 0, 1]
    # Of rows that all hold, the nearest to its limit; without upper bounds likewise.
    assert int(deciding_rows(below, -above.abs(), turns, ones, groups)) == 2
    assert int(deciding_rows(below, None, turns, ones, groups)) == 2
    # A row that is asked for more urgently comes more often.
    urgent = torch.tensor([1.0, 8.0, 1.0], dtype=torch.float64)
    turns.zero_()
    for _ in range(9):
        turns[0, int(deciding_rows(below, above, turns, urgent, groups))] += 1
    assert turns.tolist() == [[1, 8, 0]]


def test_the_share_of_a_row_that_violates_it() -> None:
    inf = float("inf")
    below = torch.tensor([[3.0, 0.0, 1.0, inf, 0.0]])
    above = torch.tensor([[1.0, 2.0, -1.0, inf, 0.0]])
    assert shares(below, above).tolist() == [[0.25, 1.0, 0.0, 0.5, 0.0]]


def test_a_likely_point_is_in_the_middle_of_what_does_not_matter() -> None:
    lower, upper = torch.tensor([[-1.0, 0.0, 4.0]]), torch.tensor([[1.0, 2.0, 8.0]])
    lines = torch.tensor([[[1.0, 0.0, 0.0], [0.0, -100.0, 0.0]]])
    both = likely_points(lower, upper, lines, torch.tensor([[0.5, 0.5]]))
    assert both.tolist() == [[-1.0, 2.0, 6.0]]
    one = likely_points(lower, upper, lines, torch.tensor([[1.0, 0.0]]))
    assert one.tolist() == [[-1.0, 1.0, 6.0]]
