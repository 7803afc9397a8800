"""Leaves of the search over ReLUs: a linear program has the last word."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.cuts import cut_nodes
from sensverify.solvers.branch_and_bound.leaves import leaf_bound
from sensverify.solvers.branch_and_bound.line_problem import LineProblem
from sensverify.solvers.branch_and_bound.neuron_nodes import NeuronNodes, split_lines
from tests.solvers.branch_and_bound.cases import chain, pieces, random_chain, tensors, unit_box

LIMIT = 0.25


def leaves(network: Network, row: list[float]) -> tuple[LineProblem, list[float | None]]:
    """All sign patterns as leaves, and the minima of their linear programs; None where empty."""
    live, box = tensors(network, unit_box(network.input_shape[0]))
    minima: list[float | None] = []
    patterns = []
    for number, (table, weight, bias) in enumerate(pieces(network)):
        done = linprog(
            np.array(row) @ weight,
            A_ub=table[:, :-1],
            b_ub=table[:, -1],
            bounds=[(-1.0, 1.0)] * network.input_shape[0],
            options={"presolve": False},
        )
        minima.append(done.fun + np.array(row) @ bias if done.status == 0 else None)
        patterns.append(number)
    relus = list(LayerBounds(live, box, Slope.ADAPTIVE).fill().pre_activations)
    layers = LayerBounds(live, box, Slope.ADAPTIVE).fill()
    count = len(minima)
    place = torch.zeros(count, dtype=torch.int64)
    nodes = NeuronNodes.roots(layers, place, torch.zeros(count, dtype=torch.float64), 1)
    for position, signs in zip(relus, signs_of(network, relus), strict=True):
        nodes.low[position][signs > 0] = 0.0
        nodes.high[position][signs < 0] = 0.0
    relaxations, intervals, _ = split_lines(layers, place, nodes)
    rows = torch.tensor([[row]], dtype=torch.float64).expand(count, 1, -1)
    ones = torch.ones(count, 1, dtype=torch.float64)
    parts = (live, box[place], relaxations, rows, LIMIT * ones, ones > 0, intervals)
    return LineProblem(*parts, cut_nodes(nodes.cuts)), minima


def signs_of(network: Network, relus: list[int]) -> Iterator[Tensor]:
    """In the order of `pieces`: the first neuron changes slowest, inactive first."""
    sizes = [network.nodes[p].shape[0] for p in relus]
    total = sum(sizes)
    numbers = np.arange(2**total)
    bits = (numbers[:, None] >> np.arange(total - 1, -1, -1)) & 1
    first = 0
    for size in sizes:
        yield torch.tensor(2 * bits[:, first : first + size] - 1, dtype=torch.int8)
        first += size


@pytest.mark.parametrize("seed", range(3))
def test_leaves_are_bounded_as_tightly_as_their_programs_allow(seed: int) -> None:
    network = random_chain(seed, 2, 3, 2, 2)
    problem, minima = leaves(network, [1.0, -0.5])
    assert any(least is not None for least in minima)
    assert any(least is None for least in minima)
    for item, least in enumerate(minima):
        leaf = leaf_bound(problem, item, 1.0, Watch())
        if least is not None:
            assert leaf.bound + LIMIT <= least + 1e-9
            assert leaf.bound + LIMIT >= least - 1e-6
        if leaf.point is not None:
            assert bool((np.abs(leaf.point) <= 1).all())


def test_a_price_that_is_too_low_is_still_sound() -> None:
    problem, minima = leaves(random_chain(0, 2, 3, 2, 2), [1.0, -0.5])
    for item, least in enumerate(minima):
        bound = leaf_bound(problem, item, 1e-9, Watch()).bound
        assert least is None or bound + LIMIT <= least + 1e-9


def test_a_watch_that_is_over_proves_little_and_nothing_wrong() -> None:
    problem, minima = leaves(random_chain(1, 2, 3, 2, 2), [1.0, -0.5])
    for item, least in enumerate(minima):
        bound = leaf_bound(problem, item, 1.0, Watch(0.0)).bound
        assert least is None or bound + LIMIT <= least + 1e-9


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 1e305])
def test_numbers_that_overflow_prove_nothing(scale: float) -> None:
    problem, _ = leaves(random_chain(0, 2, 3, 2), [1.0, 1.0])
    bound = leaf_bound(problem, 0, scale, Watch()).bound
    assert bound < np.inf
    network = chain(([[1e200, 0], [0, 1e200]], [1e200, 1e200]), ([[1e200, 1e200]], None))
    problem, _ = leaves(chain((np.eye(2), None), (np.eye(2), None)), [1.0, 1.0])
    live, _ = tensors(network, unit_box(2))
    wrong = LineProblem(
        live,
        problem.box,
        problem.relaxations,
        torch.ones(4, 1, 1, dtype=torch.float64),
        problem.limits,
        problem.present,
        cuts=problem.cuts,
    )
    leaf = leaf_bound(wrong, 3, 1.0, Watch())
    assert (leaf.bound, leaf.point, leaf.multipliers) == (-np.inf, None, None)
