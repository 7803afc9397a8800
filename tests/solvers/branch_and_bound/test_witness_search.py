"""Witnesses looked for beside a proof: where no gradient leads, and never for long."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.core.queries import Query, Verdict
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Relu
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.branch_and_bound.query_goal import QueryGoal
from sensverify.solvers.branch_and_bound.witness_search import SHARE, WitnessSearch

FEATURES = 3


def pit(seed: int, width: float = 0.02) -> Network:
    """1 almost everywhere, without any slope; less in a small box, and -1 in its middle.

    A sum of ReLUs measures how far each feature is from the middle, up to a width.
    """
    middle = np.random.default_rng(seed).uniform(0.2, 0.8, FEATURES)
    identity = np.eye(FEATURES)
    # |x - m| = relu(x - m) + relu(m - x); near = relu(1 - |x - m| / width), summed and cut.
    first = Affine(np.vstack([identity, -identity]), np.concatenate([-middle, middle]))
    second = Affine(-np.hstack([identity, identity]) / width, np.ones(FEATURES))
    third = Affine(np.ones((1, FEATURES)), np.array([1.0 - FEATURES]))
    builder = NetworkBuilder((FEATURES,))
    node = builder.add(Relu(), builder.add(first, builder.input))
    node = builder.add(Relu(), builder.add(second, node))
    node = builder.add(Relu(), builder.add(third, node))
    return builder.build(builder.add(Affine(np.array([[-2.0]]), np.ones(1)), node))


def asked(limit: float = 0.0) -> Query:
    box = Box(np.zeros((1, FEATURES)), np.ones((1, FEATURES)))
    return Query(box, np.array([[1.0]]), np.array([limit]), ((0,),))


class Clock:
    """Time passes by so much with every look at it."""

    def __init__(self, step: float) -> None:
        self.time, self.step = 0.0, step

    def __call__(self) -> float:
        self.time += self.step
        return self.time


def started(network: Network, query: Query) -> tuple[Network, Box, QueryGoal]:
    live = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
    box = Box(*(torch.from_numpy(end) for end in (query.box.lower, query.box.upper)))
    return live, box, QueryGoal.start(query, None, box.lower)


@pytest.mark.parametrize("seed", range(4))
def test_chance_finds_what_no_gradient_leads_to(seed: int) -> None:
    query = asked()
    live, box, goal = started(pit(seed, 0.1), query)
    search = WitnessSearch(live, box, Watch(), seed)
    for _ in range(6):
        if goal.witness is None:
            search.look(goal)
    assert goal.witness is not None
    assert query.box.lower.min() <= goal.witness.min() <= goal.witness.max() <= 1.0


def test_restarts_find_one_among_many_features() -> None:
    """There is a slope at a twelfth of all points, and none in the centre."""
    signs = np.where(np.random.default_rng(0).random((1, 40)) < 0.5, -1.0, 1.0)
    builder = NetworkBuilder((40,))
    node = builder.add(Affine(signs, -0.5 * signs.sum(1) - 2.5), builder.input)
    last = Affine(np.array([[-0.1]]), np.ones(1))
    network = builder.build(builder.add(last, builder.add(Relu(), node)))
    whole = Box(np.zeros((1, 40)), np.ones((1, 40)))
    live, box, goal = started(network, Query(whole, np.ones((1, 1)), np.zeros(1), ((0,),)))
    WitnessSearch(live, box, Watch(), 0).look(goal)
    assert goal.witness is not None
    assert (signs @ (goal.witness - 0.5)).item() >= 12.5


def test_it_takes_its_share_and_no_more() -> None:
    live, box, goal = started(pit(0), asked(-3.0))
    clock = Clock(0.01)
    search = WitnessSearch(live, box, Watch(clock=clock), 0)
    assert not search.due
    clock.time += 2.0
    assert search.due
    search.look(goal)
    assert (search.rounds, goal.witness) == (1, None)
    spent = search.spent
    assert spent > 0
    clock.time = search.began + spent / SHARE * 0.9
    assert not search.due
    clock.time = search.began + max(1.0, spent / SHARE) * 1.1
    assert search.due


def test_nothing_is_looked_for_once_the_time_is_up() -> None:
    live, box, goal = started(pit(0), asked())
    watch = Watch()
    search = WitnessSearch(live, box, watch, 0)
    watch.stop()
    assert not search.due
    search.look(goal)
    assert goal.witness is None


def test_numbers_that_are_none_lead_nowhere() -> None:
    class Undefined(QueryGoal):
        def excess(self, outputs: Tensor) -> Tensor:
            return super().excess(outputs) * torch.nan

    query = asked()
    live, box, _ = started(pit(0), query)
    goal = Undefined.start(query, None, box.lower)
    WitnessSearch(live, box, Watch(), 0).look(goal)
    assert goal.witness is None


def test_a_proof_is_found_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensverify.solvers.branch_and_bound.witness_search._AFTER", 0.0)
    for limit, verdict in ((-1.5, Verdict.UNSAT), (0.0, Verdict.SAT)):
        decision = BranchAndBound(threads=1).decide(pit(1, 0.1), asked(limit))
        assert decision.verdict is verdict
