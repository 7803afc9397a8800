"""Lines below weighted rows: valid whatever is chosen, and better with gradient steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds import forward_pass
from sensverify.bounds.backward import backward_lines
from sensverify.bounds.ibp import Interval
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Relaxation, Slope
from sensverify.core.box import Box
from sensverify.network import Network
from sensverify.network.operators import Abs, Elementwise, Floor, Gelu, Sigmoid, Sin
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.cuts import cut_nodes
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.neuron_nodes import NeuronNodes, split_lines
from sensverify.solvers.branch_and_bound.optimising import (
    BestLines,
    Choices,
    LineProblem,
    best_lines,
)
from sensverify.solvers.branch_and_bound.refining import OwnLines, refine
from sensverify.solvers.branch_and_bound.tightening import padded_groups, tighten
from tests.contracts.attained import attained
from tests.contracts.networks import NETWORKS, Case, cases, node_values
from tests.solvers.branch_and_bound.cases import points_in, random_chain, tensors, unit_box

ITEMS, ROWS, POINTS = 3, 2, 400


def setting(seed: int, activation: Elementwise | None = None) -> tuple[Network, Box, Tensor]:
    """A network, three boxes, and two rows and limits for each."""
    rng = np.random.default_rng(seed)
    center = rng.normal(size=(ITEMS, 2)) * 0.3
    network, box = tensors(
        random_chain(seed, 2, 4, 4, 3, activation=activation), Box(center - 0.8, center + 0.8)
    )
    return network, box, torch.tensor(rng.normal(size=(ITEMS, ROWS, 3)))


def problem_of(
    network: Network, box: Box, rows: Tensor, cuts: dict[int, Interval] | None = None
) -> LineProblem:
    layers = LayerBounds(network, box, Slope.ADAPTIVE).fill()
    nodes = NeuronNodes.roots(layers, torch.arange(ITEMS), box.lower[:, 0], rows.shape[1])
    for position, (low, high) in (cuts or {}).items():
        nodes.low[position].copy_(low)
        nodes.high[position].copy_(high)
    relaxations, ends, _ = split_lines(layers, torch.arange(ITEMS), nodes)
    ones = torch.ones(ITEMS, rows.shape[1], dtype=torch.float64)
    parts = (network, box, relaxations, rows, 0.3 * ones, ones > 0)
    return LineProblem(*parts, ends, cut_nodes(nodes.cuts))


def assert_below(problem: LineProblem, best: BestLines, *, scores: Tensor | None = None) -> None:
    """The line's least value is below the largest distance of any row, within the cuts."""
    points = points_in(problem.lower, problem.upper, POINTS)
    values = node_values(problem.network, points.flatten(0, 1))
    holds = torch.ones(POINTS, ITEMS, dtype=torch.bool)
    for position, (low, high) in problem.cuts.items():
        before = values[problem.network.nodes[position].inputs[0]].reshape(POINTS, ITEMS, -1)
        holds &= ((before >= low) & (before <= high)).all(2)
    outputs = values[-1].reshape(POINTS, ITEMS, -1)
    distance = torch.einsum("iro,pio->pir", problem.rows, outputs) - problem.limits
    # Whatever the weights, a weighted mean is at most the largest.
    most = distance.amax(2)
    if scores is not None:
        most = (distance * scores.softmax(1)).sum(2)
    assert bool((~holds | (best.excess <= most + 1e-9)).all())


@given(
    st.integers(0, 2**31),
    st.integers(0, 4),
    st.booleans(),
    st.sampled_from([None, Abs(), Sigmoid(), Gelu(), Sin(), Floor()]),
)
@settings(max_examples=40)
def test_lines_hold_for_any_slopes_weights_and_multipliers(
    seed: int, steps: int, split: bool, activation: Elementwise | None
) -> None:
    network, box, rows = setting(seed, activation)
    rng = np.random.default_rng(seed)
    bent = [p for p, n in enumerate(network.nodes) if isinstance(n.operator, Elementwise)]

    def each(draw: Callable[[], np.ndarray]) -> dict[int, Tensor]:
        return {p: torch.tensor(draw()) for p in bent}

    def cut() -> Interval:
        low, high = np.sort(rng.normal(size=(2, ITEMS, 4)), axis=0)
        low[rng.random(low.shape) < 0.5] = -np.inf
        high[rng.random(low.shape) < 0.5] = np.inf
        return torch.tensor(low).float(), torch.tensor(high).float()

    scores = torch.tensor(rng.normal(size=(ITEMS, ROWS)))
    problem = problem_of(network, box, rows, {p: cut() for p in bent} if split else None)
    slopes = each(lambda: rng.random((ITEMS, 4)))
    above = each(lambda: rng.random((ITEMS, 4))) if activation else {}
    multipliers = {}
    for p, (low, high) in problem.cuts.items():
        drawn = torch.tensor(rng.normal(size=low.shape))
        most = torch.where(torch.isfinite(low), torch.inf, 0.0)
        multipliers[p] = drawn.clamp(torch.where(torch.isfinite(high), -torch.inf, 0.0), most)
    start = Choices(slopes, above, multipliers, scores)
    best = best_lines(problem, start, steps)
    assert_below(problem, best, scores=None if steps else scores)
    middle, spread = box.center, box.radius
    least = (best.coefficients * middle).sum(1) - (best.coefficients.abs() * spread).sum(1)
    assert bool(torch.isfinite(least).all())


@pytest.mark.parametrize("seed", range(3))
def test_steps_only_help(seed: int) -> None:
    problem = problem_of(*setting(seed))
    bounds = [best_lines(problem, Choices(), steps).excess for steps in (0, 5, 20)]
    assert bool((bounds[1] >= bounds[0]).all() & (bounds[2] >= bounds[1] - 1e-12).all())
    assert bool((bounds[2] > bounds[0] + 1e-6).any())
    single = replace(problem, rows=problem.rows[:, :1], limits=problem.limits[:, :1])
    single = replace(single, present=problem.present[:, :1])
    assert_below(single, best_lines(single, Choices(), 20))


def test_choices_are_left_as_they_were_given() -> None:
    problem = problem_of(*setting(0))
    relu = next(iter(problem.relaxations))
    slopes, scores = torch.full((ITEMS, 4), 0.5).double(), torch.zeros(ITEMS, ROWS).double()
    best_lines(problem, Choices({relu: slopes}, scores=scores), 5)
    assert bool((slopes == 0.5).all() & (scores == 0).all())
    assert not slopes.requires_grad
    assert not scores.requires_grad


def test_padding_has_no_weight() -> None:
    network, box, rows = setting(1)
    plain = problem_of(network, box, rows[:, :1])
    # A row that would win if it counted.
    padded = problem_of(network, box, torch.cat([rows[:, :1], 1e6 * rows[:, 1:]], dim=1))
    padded = replace(padded, present=torch.tensor([[True, False]]).expand(ITEMS, 2))
    for steps in (0, 5):
        expected = best_lines(plain, Choices(), steps).excess
        found = best_lines(padded, Choices(), steps).excess
        torch.testing.assert_close(found, expected)


def test_what_overflows_proves_nothing() -> None:
    network, box, rows = setting(0)
    for limit in (1e308, -1e308):
        problem = problem_of(network, box, 1e308 * rows)
        problem = replace(problem, limits=torch.full_like(problem.limits, limit))
        excess = best_lines(problem, Choices(), 3).excess
        assert bool((excess < torch.inf).all())


def test_groups_are_padded_with_their_own_rows() -> None:
    rows, present = padded_groups(((0,), (2, 1, 3), (4, 5)), torch.device("cpu"))
    assert rows.tolist() == [[0, 0, 0], [2, 1, 3], [4, 5, 4]]
    assert present.sum(1).tolist() == [1, 3, 2]


@pytest.mark.parametrize("seed", range(3))
def test_tightened_lines_are_below_their_groups(seed: int) -> None:
    network, box, _ = setting(seed)
    rng = np.random.default_rng(seed)
    rows, groups = torch.tensor(rng.normal(size=(1, 3, 3))), ((0, 1), (2,))
    thresholds = torch.tensor(rng.normal(size=(ITEMS, 3)))
    layers = LayerBounds(network, box, Slope.ADAPTIVE).fill()
    wanted = torch.tensor([[True, True], [False, True], [True, False]])
    found = tighten(layers, rows, thresholds, groups, wanted, 4)
    assert bool((found.excess[~wanted] == -torch.inf).all())
    assert bool(torch.isfinite(found.excess[wanted]).all())
    points = points_in(box.lower, box.upper, POINTS)
    outputs = forward_pass(network, points.flatten(0, 1)).reshape(POINTS, ITEMS, -1)
    distance = outputs @ rows[0].T - thresholds
    lines = torch.einsum("igf,pif->pig", found.coefficients, points)
    corner = torch.where(found.coefficients > 0, box.lower[:, None], box.upper[:, None])
    lines = lines - (found.coefficients * corner).sum(2) + found.excess
    for place, group in enumerate(groups):
        most = distance[..., list(group)].amax(2)
        assert bool((lines[..., place] <= most + 1e-9).all())


@given(cases(st.one_of(*NETWORKS.values())), st.booleans())
@settings(max_examples=20)
def test_refined_layers_are_tighter_and_sound(case: Case, over: bool) -> None:
    network, box = tensors(case.network, case.box)
    layers = LayerBounds(network, box, Slope.ADAPTIVE).fill()
    refined = refine(layers, Watch(0.0 if over else 5.0))
    assert list(refined.pre_activations) == list(layers.pre_activations)
    assert set(refined.relaxations) == set(layers.relaxations)
    points = points_in(box.lower, box.upper, 60)
    values = node_values(network, points.flatten(0, 1))
    magnitude = float(attained(case.network, box)[1].max())
    for position, (low, high) in refined.pre_activations.items():
        plain_low, plain_high = layers.pre_activations[position]
        slack = 1e-12 * magnitude
        assert bool((low >= plain_low - slack).all() & (high <= plain_high + slack).all())
        value = values[network.nodes[position].inputs[0]].reshape(60, *low.shape)
        assert bool((value >= low - slack).all() & (value <= high + slack).all())
        if over:
            assert torch.equal(low, plain_low)


def test_refining_pays_off() -> None:
    network, box = tensors(random_chain(0, 4, 16, 16, 16, 1, gain=0.5), unit_box(4))
    layers = LayerBounds(network, box, Slope.ADAPTIVE).fill()
    refined = refine(layers, Watch())
    last = max(layers.pre_activations)
    ends = (each.pre_activations[last] for each in (layers, refined))
    width = [float((upper - lower).sum()) for lower, upper in ends]
    assert width[1] < 0.95 * width[0]


def test_refined_bounds_come_with_their_lines_while_there_is_room() -> None:
    network, box = tensors(random_chain(0, 4, 16, 16, 16, 1, gain=0.5), unit_box(4))
    layers = LayerBounds(network, box, Slope.ADAPTIVE).fill()
    entries = Entries.of(network)
    sizes = []
    for budget in (0, 10 * 48 * 4, 1 << 20):
        own = OwnLines(entries, budget)
        refined = refine(layers, Watch(), own)
        sizes.append(sum(map(len, own.entry)))
        assert sum(map(len, own.slopes)) == sizes[-1]
        last = max(layers.pre_activations)
        ends = (each.pre_activations[last] for each in (layers, refined))
        width = [float((upper - lower).sum()) for lower, upper in ends]
        if budget == 0:
            assert width[1] == pytest.approx(width[0])
    assert width[1] < 0.95 * width[0]
    assert sizes[0] == 0
    assert sizes[1] <= 10 < sizes[2]


def test_what_is_kept_is_the_best_step() -> None:
    problem = problem_of(*setting(1))
    best = best_lines(problem, Choices(), 12, keep=True)
    assert best.behind is not None
    relaxations = {
        p: Relaxation(best.behind.lower[p], r.upper_slope, None, r.upper_intercept)
        for p, r in problem.relaxations.items()
    }
    rows = best.weights.unsqueeze(1) @ problem.rows
    line, constant, _ = backward_lines(problem.network, rows, relaxations)
    torch.testing.assert_close(best.coefficients, line.flatten(1))
    corner = torch.where(line.flatten(1) > 0, problem.lower, problem.upper)
    least = (line.flatten(1) * corner).sum(1) + constant[:, 0]
    torch.testing.assert_close(best.excess, least - (best.weights * problem.limits).sum(1))
    for slopes in best.behind.lower.values():
        assert torch.equal(slopes.float().double(), slopes)


def test_lines_of_a_network_are_those_of_its_backward_pass() -> None:
    """Without steps: CROWN's line for the mean of the rows."""
    problem = problem_of(*setting(2))
    mean = problem.rows.mean(1, keepdim=True)
    line, constant, _ = backward_lines(problem.network, mean, problem.relaxations)
    best = best_lines(problem, Choices(), 0)
    torch.testing.assert_close(best.coefficients, line.flatten(1))
    corner = torch.where(best.coefficients > 0, problem.lower, problem.upper)
    least = (best.coefficients * corner).sum(1) + constant[:, 0] - 0.3
    torch.testing.assert_close(best.excess, least)
