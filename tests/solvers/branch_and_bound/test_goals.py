"""What a search is after: thresholds, and what it keeps of the points it is offered."""

from __future__ import annotations

import numpy as np
import torch

from sensverify.bounds import forward_pass
from sensverify.core.box import Box
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.goals import RangeGoal
from sensverify.solvers.branch_and_bound.query_goal import QueryGoal
from tests.solvers.branch_and_bound.cases import (
    chain,
    points_in,
    query,
    random_chain,
    tensors,
    unit_box,
    valley,
)


def ranges(batch: int = 3) -> tuple[Network, Box, RangeGoal]:
    network, box = tensors(random_chain(0), unit_box(2, batch=batch))
    rows = torch.eye(2, dtype=torch.float64).unsqueeze(0)
    return network, box, RangeGoal.start(network, box, rows, gap=1e-3, seed=0)


def test_a_range_asks_for_both_ends_of_each_objective() -> None:
    _, _, goal = ranges()
    assert goal.groups == ((0,), (1,), (2,), (3,))
    assert torch.equal(goal.rows[0, 2:], -goal.rows[0, :2])
    assert not goal.reached
    assert bool((goal.values[:, :2] <= -goal.values[:, 2:]).all())


def test_thresholds_are_a_tolerance_below_what_is_attained() -> None:
    _, _, goal = ranges()
    size = goal.values.abs().reshape(3, 2, 2).amax(1).repeat(1, 2)
    torch.testing.assert_close(goal.values - goal.thresholds(), 1e-3 * size)
    assert bool((goal.scales() > 0).all())


def test_better_points_are_kept_with_their_problem_and_row() -> None:
    network, box, goal = ranges()
    points = points_in(box.lower[0], box.upper[0], 60, seed=3)
    problem = torch.arange(60) % 3
    found = forward_pass(network, points) @ goal.rows[0].T
    goal.values += 1.0
    goal.offer(network, Box(points, points), points, problem)
    for place in range(3):
        own = found[problem == place]
        kept = forward_pass(network, goal.points[place])
        for row in range(4):
            value = float(goal.values[place, row])
            if value == float(own[:, row].min()):
                assert float(kept[row] @ goal.rows[0, row]) == value
            else:
                assert value < float(own[:, row].min())


def test_worse_points_and_no_numbers_change_nothing() -> None:
    network, box, goal = ranges()
    goal.values -= 100.0
    values, points = goal.values.clone(), goal.points.clone()
    bad = box.center.clone()
    bad[1] = torch.nan
    goal.offer(network, box, bad, torch.arange(3))
    assert torch.equal(goal.values, values)
    assert torch.equal(goal.points, points)


def started(limits: list[float], parts: list[list[int]], accept: object = None) -> QueryGoal:
    rows = [[1.0]] * len(limits)
    asked = query(unit_box(1), rows, limits, parts)
    return QueryGoal.start(asked, accept, torch.zeros(1, dtype=torch.float64))


def test_rows_are_repeated_for_each_alternative_they_stand_in() -> None:
    goal = started([1.0, 2.0, 3.0], [[0, 2], [2], [1, 0]])
    assert goal.groups == ((0, 1), (2,), (3, 4))
    assert goal.limits.tolist() == [[1.0, 3.0, 3.0, 2.0, 1.0]]
    assert goal.rows.shape == (1, 5, 1)


def test_thresholds_of_a_query_are_above_its_limits() -> None:
    goal = started([0.0, 1e-300, -1e-300, 5.0, -5.0, 1e12], [[i] for i in range(6)])
    # Nothing is refuted before it is known what rounding may do.
    assert bool((goal.thresholds() == torch.inf).all())
    goal.allow_rounding(*tensors(chain((np.array([[1.0]]), [0.0])), unit_box(1)), {})
    assert bool((goal.thresholds() > goal.limits).all())
    assert bool((goal.thresholds() <= goal.limits + 1e-10 * goal.limits.abs().clamp(min=1)).all())


def test_large_terms_that_cancel_move_the_threshold() -> None:
    """An output of size 1 that is a difference of numbers of size 1e9 is known to 1e-7."""
    network, box = tensors(chain((np.array([[1.0], [1.0]]), [1e9, 1e9])), unit_box(1))
    asked = query(unit_box(1), [[1.0, -1.0]], [0.0], [[0]])
    goal = QueryGoal.start(asked, lambda point: False, box.lower)
    goal.search(network, box, Watch(), seed=0, starts=8, steps=1)
    assert float(goal.thresholds() - goal.limits) > 1e-3


def test_the_deepest_points_are_judged_first() -> None:
    seen: list[float] = []

    def judge(point: np.ndarray) -> bool:
        seen.append(float(point[0]))
        return False

    network, _ = tensors(valley(1.0), unit_box(1))
    goal = started([0.5], [[0]], judge)
    points = torch.tensor([[0.4], [0.9], [-0.1], [0.2], [0.3], [0.05]], dtype=torch.float64)
    goal.judge(network, points)
    assert seen == [0.05, -0.1, 0.2, 0.3]
    assert not goal.reached


def test_a_point_that_is_believed_ends_the_search() -> None:
    network, box = tensors(valley(1.0), unit_box(1))
    goal = started([0.5], [[0]])
    goal.offer(network, box, torch.tensor([[0.25]], dtype=torch.float64), torch.zeros(1).long())
    assert goal.reached
    assert goal.witness is not None
    assert goal.witness.tolist() == [0.25]


def test_no_numbers_are_no_witnesses() -> None:
    network, _ = tensors(valley(1.0), unit_box(1))
    goal = started([1e9], [[0]])
    nothing = torch.full((1, 1), torch.nan, dtype=torch.float64)
    goal.judge(network, nothing)
    assert not goal.reached
