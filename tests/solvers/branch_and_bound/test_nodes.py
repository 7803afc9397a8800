"""Sub-boxes and sub-problems: parts cover the whole, and keep what is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope, relax
from sensverify.network.operators import Abs, Clip, Elementwise, Floor, Gelu, Relu, Sigmoid, Sin
from sensverify.solvers.branch_and_bound.cuts import cut_nodes, no_cuts
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.frontier import SubBoxes
from sensverify.solvers.branch_and_bound.goals import RangeGoal
from sensverify.solvers.branch_and_bound.input_tree import InputTree
from sensverify.solvers.branch_and_bound.neuron_choice import (
    free_neurons,
    neuron_losses,
    points_of,
)
from sensverify.solvers.branch_and_bound.neuron_nodes import NeuronNodes, split_lines
from sensverify.solvers.branch_and_bound.neuron_trials import Trials
from sensverify.solvers.branch_and_bound.optimising import Choices, best_lines
from sensverify.solvers.branch_and_bound.sub_boxes import lines_below, root_bounds
from sensverify.solvers.branch_and_bound.targets import Targets
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


def neuron_nodes(count: int, **sizes: int) -> NeuronNodes:
    """Sub-problems with nothing cut; ``n2=3`` says that three numbers enter node 2."""
    shapes = {int(name[1:]): (size,) for name, size in sizes.items()}
    low, high = no_cuts(shapes, count, torch.device("cpu"))
    zeros = {p: torch.zeros(count, *shape) for p, shape in shapes.items()}
    places, one = torch.arange(count), torch.zeros(count, 1)
    return NeuronNodes(
        target=places,
        bounds=one[:, 0],
        low=low,
        high=high,
        slopes=zeros,
        above={},
        multipliers=zeros,
        scores=one,
        turns=torch.zeros(count, 2, dtype=torch.int16),
        decision=places * 0 - 1,
        at=torch.zeros(count),
        node=places,
    )


def test_children_differ_in_one_neuron() -> None:
    inf = torch.inf
    parents = neuron_nodes(2, n2=3, n4=2)
    children = parents.children(torch.tensor([1, 4]), torch.tensor([0.0, 0.5]))
    assert children.low[2].tolist() == [[-inf, 0, -inf], [-inf] * 3, [-inf] * 3, [-inf] * 3]
    assert children.high[2].tolist() == [[inf] * 3, [inf] * 3, [inf, 0, inf], [inf] * 3]
    assert children.low[4].tolist() == [[-inf] * 2, [-inf, 0.5], [-inf] * 2, [-inf] * 2]
    assert children.high[4].tolist() == [[inf] * 2, [inf] * 2, [inf] * 2, [inf, 0.5]]
    assert children.target.tolist() == [0, 1, 0, 1]
    assert children.decision.tolist() == [1, 4, 1, 4]
    assert cut_nodes(parents.cuts) == {}
    same = parents.children(torch.tensor([-1, -1]), torch.zeros(2))
    assert cut_nodes(same.cuts) == {}


def test_an_optimisation_leaves_what_it_did_not_touch() -> None:
    nodes = neuron_nodes(1, n2=2, n4=1)
    after = nodes.bounded(torch.ones(1), Choices({2: torch.full((1, 2), 0.5)}))
    assert after.bounds.tolist() == [1]
    assert after.slopes[2].tolist() == [[0.5, 0.5]]
    assert after.slopes[4].tolist() == [[0.0]]
    assert after.bytes_each == nodes.bytes_each


ACTIVATIONS = [None, Abs(), Sigmoid(), Gelu(), Sin(), Floor(), Clip(-0.3, 0.4)]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("seed", range(2))
def test_lines_of_a_part_hold_where_its_cuts_do(seed: int, activation: Elementwise | None) -> None:
    network, box = tensors(random_chain(seed, 2, 4, 4, 1, activation=activation), unit_box(2))
    layers = LayerBounds(network, box, Slope.ADAPTIVE).fill()
    place = torch.zeros(30, dtype=torch.int64)
    nodes = NeuronNodes.roots(layers, place, torch.zeros(30, dtype=torch.float64), 1)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        # Also cuts that contradict the bounds, and the slopes of other lines.
        neuron, at = torch.tensor(rng.integers(-1, 8, 30)), torch.tensor(rng.normal(size=30))
        part = torch.tensor(rng.integers(0, 2, 30)) * 30 + torch.arange(30)
        nodes = nodes.children(neuron, at.float())[part].relined(layers, place)
    noise = {p: v + torch.randn(v.shape) * 0.1 for p, v in nodes.slopes.items() if activation}
    nodes = replace(nodes, slopes={**nodes.slopes, **noise})
    relaxations, intervals, empty = split_lines(layers, place, nodes)
    points = points_in(box.lower[0], box.upper[0], 300)
    values = node_values(network, points)
    entering = {p: values[network.nodes[p].inputs[0]][:, None] for p in intervals}
    held = {p: (x >= nodes.low[p]) & (x <= nodes.high[p]) for p, x in entering.items()}
    # Where intervals are carried on, they know of all cuts.
    whole = torch.stack([mask.all(dim=2) for mask in held.values()]).all(dim=0)
    assert (empty is None) is not isinstance(activation, Floor)
    assert empty is None or not bool(whole[:, empty].any())
    for position, (low, high) in intervals.items():
        assert bool((low <= high).all())
        before = entering[position]
        holds = held[position] if empty is None else whole.unsqueeze(2)
        assert bool((~holds | ((before >= low - 1e-12) & (before <= high + 1e-12))).all())
        lines, after = relaxations[position], values[position][:, None]
        shift, under = (
            0.0 if end is None else end[:, 0]
            for end in (lines.upper_intercept, lines.lower_intercept)
        )
        assert bool((~holds | (lines.lower_slope[:, 0] * before + under <= after + 1e-9)).all())
        assert bool((~holds | (lines.upper_slope[:, 0] * before + shift >= after - 1e-9)).all())


def test_only_unstable_relus_are_split_and_scored() -> None:
    network = random_chain(0, 2, 4, 1)
    ends = (
        torch.tensor([[-1.0, 0.0, 0.0, -2.0]], dtype=torch.float64),
        torch.tensor([[1.0, 1.0, 1.0, 1e-320]], dtype=torch.float64),
    )
    position = next(p for p, n in enumerate(network.nodes) if isinstance(n.operator, Relu))
    seen = {position: torch.tensor([[-1.0, -1.0, -1.0, 0.0]])}
    intervals, nodes = {position: ends}, {position: ends[0]}
    free = free_neurons(network, intervals, nodes)
    assert free.tolist() == [[True, False, False, True]]
    lines = {position: relax(Relu(), *ends, Slope.ADAPTIVE)}
    scores = neuron_losses(network, seen, lines, intervals, nodes)
    assert float(scores[0, 0]) == pytest.approx(0.5)
    assert float(scores[0, 3]) == pytest.approx(0, abs=1e-9)
    points = points_of(network, seen, intervals, nodes, torch.tensor([[0, 3]]))
    assert points.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("lookahead", [True, False])
def test_what_gradient_steps_have_found_does_not_choose_the_neuron(lookahead: bool) -> None:
    network, box = tensors(random_chain(4, 3, 12, 9, 1), unit_box(3))
    layers = LayerBounds(network, box, Slope.ADAPTIVE).fill()
    rows = torch.ones(1, 1, 1, dtype=torch.float64)
    goal = RangeGoal.start(network, box, rows, gap=1e-3, seed=0)
    targets = Targets.open(goal, torch.full((1, 2), -torch.inf, dtype=torch.float64))
    trials = Trials(targets, layers, None, () if lookahead else ("lookahead",))
    nodes = NeuronNodes.roots(layers, targets.problem, targets.limits[:, 0] * 0, 1)
    lines, intervals, _ = split_lines(layers, targets.problem, nodes)
    free = free_neurons(network, intervals, nodes.low).unsqueeze(1)
    # Coefficients that are found at odd choices would lead elsewhere.
    seen = {p: torch.zeros_like(low) for p, (low, _) in intervals.items()}
    found = trials.decided(nodes, seen, (lines, intervals), free)
    steps = Choices(scores=nodes.scores)
    crown = best_lines(replace(targets.lines(layers, nodes)[0], fixed=True), steps, 0)
    losses = neuron_losses(network, crown.seen, lines, intervals, nodes.low)
    losses = losses.masked_fill(~free[:, 0], -torch.inf)
    likely = losses.topk(2 if lookahead else 1, dim=1).indices
    assert bool((likely == found.decision.unsqueeze(1)).any(dim=1).all())
