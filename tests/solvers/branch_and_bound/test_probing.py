"""Probing: what it says of a side holds there, and what is fixed by it is proven."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds import compute_bounds, forward_pass
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope
from sensverify.certificates import certify_query
from sensverify.core.box import Box
from sensverify.core.proof import Proof
from sensverify.core.queries import Query, Verdict
from sensverify.network import Network
from sensverify.network.operators import Tanh
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import BranchAndBound, neuron_splitting
from sensverify.solvers.branch_and_bound.line_problem import LineProblem
from sensverify.solvers.branch_and_bound.optimising import Choices, best_lines
from sensverify.solvers.branch_and_bound.probing import Probing
from tests.contracts.certified import stored
from tests.core.sets.examples import SETS
from tests.solvers.branch_and_bound.cases import (
    exact_ends,
    points_in,
    query,
    random_chain,
    tensors,
    unit_box,
)
from tests.solvers.branch_and_bound.evaluator import Evaluator, assert_covers
from tests.ticks import Ticks

NEURONS = BranchAndBound(split="neurons", proof=True)
seeds = st.integers(0, 999)


def layers_of(network: Network, box: Box) -> LayerBounds:
    return LayerBounds(*tensors(network, box), Slope.ADAPTIVE).fill()


def problem_of(layers: LayerBounds) -> LineProblem:
    """Both outputs less 0, on each box."""
    items, zero = layers.box.batch, torch.zeros(2 * layers.box.batch, 1, dtype=torch.float64)
    place = torch.arange(items).repeat_interleave(2)
    rows = torch.eye(2, dtype=torch.float64).repeat(items, 1).unsqueeze(1)
    return LineProblem(
        layers.network,
        layers.box[place],
        {p: r.of(place) for p, r in layers.relaxations.items()},
        rows,
        zero,
        torch.ones_like(zero, dtype=torch.bool),
    )


@given(seed=seeds, steps=st.integers(0, 12))
@settings(max_examples=15)
def test_bounds_on_sides_hold_there(seed: int, steps: int) -> None:
    network, box = random_chain(seed, 4, 8, 2), unit_box(4, batch=2)
    box = Box(box.lower * np.array([[1.0], [0.5]]), box.upper)
    layers = layers_of(network, box)
    probing = Probing.of(layers)
    assert probing is not None
    problem = problem_of(layers)
    chosen = best_lines(problem, Choices(), steps).choices
    found = best_lines(problem, chosen, 0, keep=True)
    probes = probing.probe(problem, found)
    for item in range(len(found.excess)):
        ends = layers.box.lower[item // 2], layers.box.upper[item // 2]
        points = points_in(*ends, 3000)
        values = forward_pass(network, points)[:, item % 2]
        entering = points @ probing.weight.T + probing.bias
        for side, bound in ((entering >= 0, probes.above), (entering <= 0, probes.below)):
            least = torch.where(side, values.unsqueeze(1), torch.inf).amin(dim=0)
            assert bool((bound[item] <= least + 1e-9).all())
    multipliers = (probes.multiplier_above, probes.multiplier_below)
    assert all(bool((m >= 0).all()) for m in multipliers)


@given(seed=seeds)
@settings(max_examples=10)
def test_no_other_multiple_is_better(seed: int) -> None:
    layers = layers_of(random_chain(seed, 5, 7, 2), unit_box(5))
    probing = Probing.of(layers)
    assert probing is not None
    generator = torch.Generator().manual_seed(seed)
    line = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    center = torch.zeros(3, 5, dtype=torch.float64)
    radius = torch.ones_like(center)
    best = probing._best(line, center, radius)
    most = probing._least(line, center, radius, best)
    for shift in (-1.0, -0.1, -1e-3, 1e-3, 0.1, 1.0):
        other = probing._least(line, center, radius, best + shift)
        assert bool((other <= most + 1e-5).all())


def asked(network: Network, box: Box, below: float) -> Query:
    least = float(exact_ends(network, box, [[1.0]])[0, 0, 0])
    return query(box, [[1.0]], [least - below], [[0]])


@given(seed=seeds, below=st.sampled_from([1e-3, 0.05, 0.3]))
@settings(max_examples=10)
def test_what_is_fixed_is_proven(seed: int, below: float) -> None:
    network, box = random_chain(seed, 3, 9, 1), unit_box(3)
    question = asked(network, box, below)
    decision = NEURONS.decide(network, question)
    assert decision.verdict is Verdict.UNSAT
    proof = decision.certificate
    assert isinstance(proof, Proof)
    assert_covers(proof, box)
    evaluator = Evaluator(network, box, question.rows[None])
    assert evaluator.refuted(proof, question.limits, ((0,),))
    closed = evaluator.closed_leaves(proof, question.limits, ((0,),))
    # One root stands for CROWN's own lines, the other one is split.
    assert sum(not each for each in closed.values()) <= 1
    assert certify_query(stored(network), question, proof) is not None


@given(seed=seeds)
@settings(max_examples=8)
def test_ranges_are_exact(seed: int) -> None:
    network, box = random_chain(seed, 3, 7, 2), unit_box(3, batch=2)
    box = Box(box.lower * np.array([[1.0], [0.3]]), box.upper)
    found = compute_bounds(network, box, BranchAndBound(split="neurons"))
    truth = exact_ends(network, box, np.eye(2))
    size = np.maximum(1.0, abs(truth).max())
    assert np.allclose(found.outer.lower.numpy(), truth[..., 0], atol=1e-5 * size, rtol=0)
    assert np.allclose(found.outer.upper.numpy(), truth[..., 1], atol=1e-5 * size, rtol=0)
    assert (found.outer.lower.numpy() <= truth[..., 0] + 1e-9 * size).all()
    assert (found.outer.upper.numpy() >= truth[..., 1] - 1e-9 * size).all()


def test_fewer_sub_problems_are_bounded() -> None:
    network, box = random_chain(7, 16, 30, 1), unit_box(16, 0.3)
    plain = compute_bounds(
        network, box, BranchAndBound(split="neurons"), watch=Watch(0.5, clock=Ticks())
    )
    attained, proven = float(plain.inner.lower[0, 0]), float(plain.outer.lower[0, 0])
    question = query(box, [[1.0]], [0.5 * (attained + proven)], [[0]])
    counts = []
    for without in ((), ("probing",)):
        method: Any = BranchAndBound(split="neurons", without=without)
        decision = method.decide(network, question)
        assert decision.verdict is Verdict.UNSAT
        counts.append(decision.explored)
    assert counts[1] > 100
    assert 1.5 * counts[0] <= counts[1]


def _nothing(*given: Any, **more: Any) -> Tensor:
    raise AssertionError("probed")


def test_it_is_for_one_layer_of_relus_over_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Probing.of(layers_of(random_chain(0, 3, 5, 5, 1), unit_box(3))) is None
    assert Probing.of(layers_of(random_chain(0, 3, 5, 1, activation=Tanh()), unit_box(3))) is None
    network = random_chain(0, 6, 8, 2)
    assert Probing.of(layers_of(network, unit_box(6))) is not None
    monkeypatch.setattr(neuron_splitting, "fix", _nothing)
    for kind in ("euclidean", "taxicab"):
        if kind in SETS:
            compute_bounds(network, SETS[kind][:1], BranchAndBound(seconds=0.2))
    without = BranchAndBound(split="neurons", without=("probing",), seconds=0.2)
    compute_bounds(network, unit_box(6), without)
    with pytest.raises(AssertionError, match="probed"):
        compute_bounds(network, unit_box(6), BranchAndBound(split="neurons"))
