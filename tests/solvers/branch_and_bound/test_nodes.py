"""Sub-boxes and sub-problems: parts cover the whole, and keep what is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope
from sensverify.network.operators import Relu
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.frontier import SubBoxes
from sensverify.solvers.branch_and_bound.input_tree import InputTree
from sensverify.solvers.branch_and_bound.optimising import Choices
from sensverify.solvers.branch_and_bound.relu_nodes import (
    ReluNodes,
    free_neurons,
    neuron_scores,
    split_relaxations,
)
from sensverify.solvers.branch_and_bound.sub_boxes import lines_below, root_bounds
from tests.contracts.networks import node_values
from tests.solvers.branch_and_bound.cases import points_in, random_chain, tensors, unit_box

NO_RECORD = InputTree(Entries({}, np.zeros(0, np.int64), 1), 0)


def sub_boxes(lower: list[list[float]], upper: list[list[float]], feature: list[int]) -> SubBoxes:
    ends = [torch.tensor(end, dtype=torch.float64) for end in (lower, upper)]
    places = torch.arange(len(feature))
    signs = {2: torch.ones(len(feature), 3, dtype=torch.int8)}
    turns = torch.zeros(len(feature), 1, dtype=torch.int16)
    return SubBoxes(*ends, places, ends[0] * 0, torch.tensor(feature), places, turns, signs)


def test_halves_cover_their_box() -> None:
    boxes = sub_boxes([[0, 0], [-1, 2]], [[1, 4], [3, 2]], [1, 0])
    halves = boxes.halves(NO_RECORD)
    assert halves.lower.tolist() == [[0, 0], [-1, 2], [0, 2], [1, 2]]
    assert halves.upper.tolist() == [[1, 2], [1, 2], [1, 4], [3, 2]]
    assert halves.problem.tolist() == [0, 1, 0, 1]
    assert halves.signs[2].shape == (4, 3)


def test_a_feature_without_a_number_between_its_ends_is_not_split() -> None:
    one = float(np.nextafter(1.0, 2.0))
    boxes = sub_boxes([[0], [1], [1], [-1e308]], [[0], [one], [2], [1e308]], [0] * 4)
    assert boxes.splittable().tolist() == [False, False, True, True]
    assert boxes.halves(NO_RECORD).upper[3].tolist() == [0.0]


def test_boxes_are_taken_and_joined_with_all_that_is_known() -> None:
    boxes = sub_boxes([[0], [1], [2]], [[1], [2], [3]], [0] * 3)
    both = boxes[torch.tensor([2])] + boxes[torch.tensor([0, 1])]
    assert both.lower.flatten().tolist() == [2, 0, 1]
    assert both.problem.tolist() == [2, 0, 1]
    assert both.signs[2].shape == (3, 3)
    assert len(both) == 3
    assert boxes.bytes_each == 8 * 6 + 2 + 3


@pytest.mark.parametrize("seed", range(3))
def test_lines_on_parts_of_a_box_hold_with_the_signs_of_the_whole(seed: int) -> None:
    network, whole = tensors(random_chain(seed, 2, 6, 6, 2), unit_box(2, 0.6))
    rows = torch.tensor([[[1.0, 0.0], [1.0, -1.0]]], dtype=torch.float64)
    first = lines_below(network, whole, rows, None)
    torch.testing.assert_close(first.least, root_bounds(first.layers, rows))
    halves = sub_boxes(whole.lower.tolist(), whole.upper.tolist(), [0]).halves(NO_RECORD)
    box = type(whole)(halves.lower, halves.upper)
    signs = {p: s.repeat(2, 1) for p, s in first.signs.items()}
    known = lines_below(network, box, rows, signs)
    # What is stable on the whole is on the parts; on these alone the pass may not see it.
    for position, sign in first.signs.items():
        assert bool(((known.signs[position] == sign) | (sign == 0)).all())
    points = points_in(box.lower, box.upper, 200)
    values = node_values(network, points.flatten(0, 1))[-1].reshape(200, 2, 2) @ rows[0].T
    lines = torch.einsum("brf,pbf->pbr", known.coefficients, points)
    corner = torch.where(known.coefficients > 0, box.lower[:, None], box.upper[:, None])
    lines = lines - (known.coefficients * corner).sum(2) + known.least
    assert bool((lines <= values + 1e-9).all())
    scores = known.split_scores(torch.tensor([0, 1]))
    assert scores.shape == (2, 2)
    assert bool((scores >= 0).all() & torch.isfinite(scores).all())


def relu_nodes(signs: dict[int, Tensor]) -> ReluNodes:
    count = len(next(iter(signs.values())))
    zeros = {p: torch.zeros(s.shape) for p, s in signs.items()}
    places = torch.arange(count)
    one = torch.zeros(count, 1)
    turns = torch.zeros(len(places), 2, dtype=torch.int16)
    return ReluNodes(places, one[:, 0], signs, zeros, zeros, one, turns, places * 0 - 1, places)


def test_children_differ_in_one_neuron() -> None:
    signs = {2: torch.zeros(2, 3, dtype=torch.int8), 4: torch.zeros(2, 2, dtype=torch.int8)}
    parents = relu_nodes(signs)
    children = parents.children(torch.tensor([1, 4]))
    assert children.signs[2].tolist() == [[0, 1, 0], [0, 0, 0], [0, -1, 0], [0, 0, 0]]
    assert children.signs[4].tolist() == [[0, 0], [0, 1], [0, 0], [0, -1]]
    assert children.target.tolist() == [0, 1, 0, 1]
    assert not bool(parents.signs[2].any())
    same = parents.with_sign(torch.tensor([-1, -1]), torch.tensor([1, -1], dtype=torch.int8))
    assert not any(bool(values.any()) for values in same.signs.values())


def test_an_optimisation_leaves_what_it_did_not_touch() -> None:
    nodes = relu_nodes(
        {2: torch.zeros(1, 2, dtype=torch.int8), 4: torch.zeros(1, 1, dtype=torch.int8)}
    )
    after = nodes.bounded(torch.ones(1), Choices({2: torch.full((1, 2), 0.5)}, {}, None))
    assert after.bounds.tolist() == [1]
    assert after.slopes[2].tolist() == [[0.5, 0.5]]
    assert after.slopes[4].tolist() == [[0.0]]
    assert after.bytes_each == nodes.bytes_each


@pytest.mark.parametrize("seed", range(4))
def test_relaxations_of_a_part_hold_where_its_signs_do(seed: int) -> None:
    network, box = tensors(random_chain(seed, 2, 4, 4, 1), unit_box(2))
    layers = LayerBounds(network, box, Slope.ADAPTIVE).fill()
    relus = [p for p, n in enumerate(network.nodes) if isinstance(n.operator, Relu)]
    rng = np.random.default_rng(seed)
    # Also signs that contradict the bounds.
    signs = {p: torch.tensor(rng.integers(-1, 2, size=(30, 4))).to(torch.int8) for p in relus}
    place = torch.zeros(30, dtype=torch.int64)
    relaxations, intervals = split_relaxations(layers, place, signs)
    points = points_in(box.lower[0], box.upper[0], 300)
    values = node_values(network, points)
    for position in relus:
        low, high = intervals[position]
        assert bool((low <= high).all())
        before = values[network.nodes[position].inputs[0]][:, None]
        holds = before * signs[position] >= 0
        assert bool((~holds | ((before >= low - 1e-12) & (before <= high + 1e-12))).all())
        lines = relaxations[position]
        below = lines.lower_slope[:, 0] * before
        shift = 0.0 if lines.upper_intercept is None else lines.upper_intercept[:, 0]
        under = 0.0 if lines.lower_intercept is None else lines.lower_intercept[:, 0]
        after = before.clamp(min=0)
        assert bool((~holds | (below + under <= after + 1e-12)).all())
        above = lines.upper_slope[:, 0] * before + shift
        assert bool((~holds | (above >= after - 1e-12)).all())


def test_only_free_unstable_neurons_are_scored() -> None:
    signs = {2: torch.tensor([[0, 1, 0, 0]], dtype=torch.int8)}
    intervals = {
        2: (
            torch.tensor([[-1.0, -1.0, 0.0, -2.0]]),
            torch.tensor([[1.0, 1.0, 1.0, 1e-320]], dtype=torch.float64),
        )
    }
    seen = {2: torch.tensor([[-1.0, -1.0, -1.0, 0.0]])}
    free = free_neurons(intervals, signs)
    assert free.tolist() == [[True, False, False, True]]
    scores = neuron_scores(seen, intervals, signs)
    assert float(scores[0, 0]) == pytest.approx(0.5)
    assert float(scores[0, 3]) == pytest.approx(0, abs=1e-9)
