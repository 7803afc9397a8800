"""Functions with jumps: bounds hold on both sides of every jump, whichever rounding picks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual, compute_bounds, forward_pass
from sensverify.bounds.ibp import interval
from sensverify.bounds.relaxation import Slope, line_intercepts, relax
from sensverify.bounds.rounding import slack
from sensverify.bounds.unstable import count_unstable
from sensverify.core.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.functions import NUMPY
from sensverify.network.operators import (
    Affine,
    Ceil,
    Clip,
    Floor,
    Heaviside,
    Round,
    Scale,
    Sign,
    Steps,
)
from sensverify.network.running import FLOAT32, Running, apply, known
from sensverify.solvers.branch_and_bound import BranchAndBound

F64 = torch.float64
STEPS = [Sign(), Heaviside(), Heaviside(1.0), Floor(), Ceil(), Round()]
every_function = pytest.mark.parametrize("operator", STEPS, ids=lambda o: type(o).__name__)

# Jumps, halves, and numbers beside them.
SPECIAL = [
    x + d for x in (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 2.5) for d in (-1e-14, 0.0, 1e-14)
]
ends = st.one_of(st.sampled_from(SPECIAL), st.floats(-5, 5), st.floats(-1e9, 1e9))
pairs = st.lists(st.tuples(ends, ends).map(sorted), min_size=1, max_size=8)


def points(operator: Steps, lower: Tensor, upper: Tensor) -> Tensor:
    """Of intervals, with the jumps at both ends and numbers a hair beside these."""
    share = torch.linspace(0, 1, 101, dtype=lower.dtype).reshape(-1, *(1,) * lower.ndim)
    found = [lower * (1 - share) + upper * share]
    for jump in (operator.jump_from(lower, torch), operator.jump_to(upper, torch)):
        jump = torch.where(torch.isfinite(jump), jump, lower)
        found += [torch.nextafter(jump, jump + d)[None] for d in (-1, 0, 1)]
    return torch.minimum(torch.maximum(torch.cat(found), lower), upper)


def assert_lines(operator: Steps, lower: Tensor, upper: Tensor, lines: object) -> None:
    x = points(operator, lower, upper)[:, :, None]
    size = 1 + torch.maximum(lower.abs(), upper.abs())
    for values in (operator.value(x, torch), operator.below(x, torch), operator.above(x, torch)):
        # Limits from outside of an interval are none of its values: those at its ends are.
        below = lines.lower_slope * x + lines.lower_intercept
        above = lines.upper_slope * x + lines.upper_intercept
        slope = 1 + lines.lower_slope.abs() + lines.upper_slope.abs()
        room = 1e-14 * (size * slope)[None]
        assert bool((below <= values + room).all())
        assert bool((above >= values - room).all())


@every_function
def test_lines_hold_on_both_sides_of_jumps(operator: Steps) -> None:
    @given(pairs)
    @settings(max_examples=40)
    def check(found: list[list[float]]) -> None:
        lower, upper = torch.tensor(found, dtype=F64).T[:, None]
        for slope in Slope:
            lines = relax(operator, lower, upper, slope)
            assert_lines(operator, lower, upper, lines)
            assert bool((lines.lower_slope.abs() <= 8).all())
            assert bool((lines.upper_slope.abs() <= 8).all())

    check()


@every_function
@given(found=pairs, low=st.floats(-3, 3), high=st.floats(-3, 3))
@settings(max_examples=40)
def test_lines_hold_whatever_their_slopes(
    operator: Steps, found: list[list[float]], low: float, high: float
) -> None:
    lower, upper = torch.tensor(found, dtype=F64).T[:, None, None]
    slopes = (torch.full((1, 1, len(found)), slope, dtype=F64) for slope in (low, high))
    lines = line_intercepts(operator, *slopes, lower, upper)
    assert_lines(operator, lower[:, 0], upper[:, 0], lines)


def test_values_and_limits() -> None:
    x = torch.tensor([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.5], dtype=F64)
    values = {
        Sign: [-1, -1, -1, 0, 1, 1, 1, 1],
        Floor: [-2, -1, -1, 0, 0, 1, 1, 2],
        Ceil: [-1, -1, 0, 0, 1, 1, 2, 3],
        Round: [-2, -1, 0, 0, 0, 1, 2, 2],
    }
    below = {
        Sign: [-1, -1, -1, -1, 1, 1, 1, 1],
        Floor: [-2, -2, -1, -1, 0, 0, 1, 2],
        Ceil: [-1, -1, 0, 0, 1, 1, 2, 3],
        Round: [-2, -1, -1, 0, 0, 1, 1, 2],
    }
    above = {
        Sign: [-1, -1, -1, 1, 1, 1, 1, 1],
        Floor: [-2, -1, -1, 0, 0, 1, 1, 2],
        Ceil: [-1, 0, 0, 1, 1, 2, 2, 3],
        Round: [-1, -1, 0, 0, 1, 1, 2, 3],
    }
    for kind in values:
        for found, xp in ((x, torch), (x.numpy(), NUMPY)):
            assert kind().value(found, xp).tolist() == values[kind]
            assert kind().below(found, xp).tolist() == below[kind]
            assert kind().above(found, xp).tolist() == above[kind]
    assert Heaviside(0.5).value(x, torch).tolist() == [0, 0, 0, 0.5, 1, 1, 1, 1]


@every_function
def test_nan_stays(operator: Steps) -> None:
    nan = torch.tensor([float("nan")], dtype=F64)
    assert bool(operator.value(nan, torch).isnan().all())
    assert bool(torch.stack(interval(operator, (nan, nan))).isnan().all())


def of(operator: Steps, weight: np.ndarray, scale: float = 1.0) -> Network:
    builder = NetworkBuilder((weight.shape[1],))
    node = builder.add(operator, builder.add(Affine(weight, None), 0))
    return builder.build(builder.add(Scale(np.array(scale), None), node))


@every_function
def test_rounding_at_a_jump_makes_no_claim_wrong(operator: Steps) -> None:
    """``.1 + .2 - .3`` is 0, and no float is: bounds hold for what any runtime makes of it."""
    weight = np.array([[0.1, 0.2, -0.3]])
    jump = float(operator.jump_from(torch.tensor(0.0, dtype=F64), torch))
    builder = NetworkBuilder((3,))
    node = builder.add(Affine(weight, np.array([jump])), 0)
    network = builder.build(builder.add(operator, node))
    point = Box(np.ones((1, 3)), np.ones((1, 3)))
    at = torch.tensor([jump], dtype=F64)
    sides = [float(side(at, torch)) for side in (operator.below, operator.above)]
    for method in (Ibp(), LpDual(), Crown(), AlphaCrown(steps=2)):
        for dtype in ("float32", "float64"):
            found = compute_bounds(network, point, method, dtype=dtype).outer
            assert float(found.lower) <= sides[0] + 1e-6, (method, dtype)
            assert float(found.upper) >= sides[1] - 1e-6, (method, dtype)


def test_slack_counts_jumps_that_bounds_may_have_missed() -> None:
    """Where products cancel so that an input is off by more than bounds allow for."""
    big = 1e12
    builder = NetworkBuilder((2,))
    node = builder.add(Affine(np.array([[big, -big]]), np.array([0.25])), 0)
    network = builder.build(builder.add(Floor(), node))
    box = Box(torch.ones(1, 2, dtype=F64), torch.ones(1, 2, dtype=F64))
    rows = torch.ones(1, 1, 1, dtype=F64)
    assert float(slack(network, box, rows)) < 1e-9
    near = Box(*(torch.full((1, 2), 1 + 2.0**-30, dtype=F64) for _ in range(2)))
    assert float(slack(network, near, rows)) < 1e-9
    builder = NetworkBuilder((2,))
    node = builder.add(Affine(np.array([[big, -big]]), np.array([1e-5])), 0)
    close = builder.build(builder.add(Floor(), node))
    assert float(slack(close, box, rows)) >= 1.0


def test_rounding_through_many_layers_of_steps_is_no_step() -> None:
    """What bounds of a deep quantised network are off by stays far below the least step."""
    rng, builder, node = np.random.default_rng(0), NetworkBuilder((8,)), 0
    for _ in range(6):
        node = builder.add(Affine(rng.normal(size=(16, *builder.shape(node))) / 2, None), node)
        node = builder.add(Clip(-128.0, 127.0), builder.add(Round(), node))
        node = builder.add(Scale(np.array(0.5), None), node)
    network = builder.build(node)
    center = torch.from_numpy(rng.normal(size=(1, 8)) * 40)
    box = Box(center - 0.5, center + 0.5)
    assert float(slack(network, box, torch.eye(16, dtype=F64)[None]).max()) < 1e-4


def test_other_evaluations_may_be_across_a_jump() -> None:
    exact = apply(Floor(), [known(np.array([[1.0, 1.5]]))], FLOAT32)
    assert exact.error.tolist() == [[0.0, 0.0]]
    rounded = Running(np.array([[1.0, 1.5]]), np.array([[1e-7, 1e-7]]))
    assert apply(Floor(), [rounded], FLOAT32).error.tolist() == [[1.0, 0.0]]


def test_only_intervals_with_a_jump_count_as_unstable() -> None:
    network = of(Round(), np.eye(3))
    ends = torch.tensor([[0.6, 0.4, -2.4]], dtype=F64), torch.tensor([[1.4, 0.6, -1.6]], dtype=F64)
    assert count_unstable(network, {2: ends}, 1).tolist() == [1]


def test_a_search_ends_where_jumps_leave_it_open() -> None:
    rng = np.random.default_rng(0)
    network = of(Heaviside(), rng.normal(size=(3, 2)))
    builder = NetworkBuilder((2,))
    node = builder.add(Heaviside(), builder.add(Affine(rng.normal(size=(4, 2)), None), 0))
    network = builder.build(builder.add(Affine(rng.normal(size=(1, 4)), None), node))
    box = Box(np.full((1, 2), -1.0), np.full((1, 2), 1.0))
    found = compute_bounds(network, box, BranchAndBound())
    outputs = forward_pass(network, torch.from_numpy(rng.uniform(-1, 1, (4000, 2))))
    assert float(found.outer.lower) <= float(outputs.min())
    assert float(found.outer.upper) >= float(outputs.max())
    assert found.inner is not None
    assert float(found.inner.upper) >= float(outputs.max()) - 1e-9
