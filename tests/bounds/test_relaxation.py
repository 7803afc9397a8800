"""Lines below and above every nonlinear function, on intervals of every size and place."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds.forward import apply
from sensverify.bounds.relaxation import Relaxation, Slope, line_intercepts, relax
from sensverify.certificates.check.maximum import Maximum
from sensverify.errors import MissingRule
from sensverify.network.operators import (
    Abs,
    Clip,
    Elementwise,
    LeakyRelu,
    Max,
    Operator,
    Relu,
    Sigmoid,
    Tanh,
)
from tests.contracts.networks import random_generators

INFINITY = float("inf")
F64 = torch.float64


def leaky(*slopes: float) -> LeakyRelu:
    return LeakyRelu(torch.tensor(slopes, dtype=F64).squeeze())


OPERATORS = [
    Relu(),
    leaky(0.1),
    leaky(-0.5),
    leaky(1.5),
    leaky(1.0),
    Abs(),
    Clip(-1.0, 0.5),
    Clip(0.25, INFINITY),
    Clip(-INFINITY, -0.5),
    Clip(-INFINITY, INFINITY),
    Clip(0.5, 0.5),
    Clip(1.0, 3.0),
    Sigmoid(),
    Tanh(),
]
every_operator = pytest.mark.parametrize(
    "operator", OPERATORS, ids=lambda o: repr(o) if isinstance(o, Clip) else type(o).__name__
)
every_slope = pytest.mark.parametrize("slope", Slope)

# Ordinary and extreme ends: zero, denormal, tiny, huge, kinks of the operators above.
SPECIAL = [0.0, 5e-324, 1e-310, 1e-30, 1e-9, 0.25, 0.5, 1.0, 3.0, 37.0, 800.0, 1e9, 1e30]
ends = st.one_of(
    st.sampled_from(SPECIAL + [-s for s in SPECIAL]), st.floats(-20, 20), st.floats(-1e-3, 1e-3)
)


def intervals() -> st.SearchStrategy[tuple[float, float]]:
    apart = st.tuples(ends, ends).map(lambda pair: (min(pair), max(pair)))
    return st.one_of(apart, ends.map(lambda end: (end, end)))


def several_intervals() -> st.SearchStrategy[list[tuple[float, float]]]:
    return st.lists(intervals(), min_size=1, max_size=8)


def grid(lower: Tensor, upper: Tensor, count: int = 201) -> Tensor:
    """Points of ``[lower, upper]``, dense, with zero and the kinks, ``[count, ...]``."""
    share = torch.linspace(0, 1, count, dtype=lower.dtype).reshape(-1, *(1,) * lower.ndim)
    points = lower * (1 - share) + upper * share
    fixed = torch.tensor([0.0, -1.0, 0.5, 0.25, -0.5, 1.0, 3.0, 1e-3, -1e-3], dtype=lower.dtype)
    fixed = fixed.reshape(-1, *(1,) * lower.ndim).expand(-1, *lower.shape)
    points = torch.cat([points, fixed, lower[None], upper[None]])
    return torch.minimum(torch.maximum(points, lower), upper)


def line(slope: Tensor, intercept: Tensor | None, x: Tensor) -> Tensor:
    return slope * x if intercept is None else slope * x + intercept


def assert_lines_hold(operator: Operator, lower: Tensor, upper: Tensor, lines: Relaxation) -> None:
    """The lines enclose the function up to rounding in the numbers that were added up."""
    x = grid(lower, upper).unsqueeze(2)
    value = apply(operator, x)
    below = line(lines.lower_slope, lines.lower_intercept, x)
    above = line(lines.upper_slope, lines.upper_intercept, x)
    largest = torch.maximum(lower.abs(), upper.abs()).unsqueeze(1)
    scale = 1 + lines.lower_slope.abs() + lines.upper_slope.abs()
    shifts = (lines.lower_intercept, lines.upper_intercept)
    scale = scale * largest + sum(s.abs() for s in shifts if s is not None)
    slack = 8 * torch.finfo(lower.dtype).eps * scale + torch.finfo(lower.dtype).tiny
    assert bool((below <= value + slack).all()), (below - value - slack).max()
    assert bool((above >= value - slack).all()), (value - above - slack).max()


@every_operator
@given(pairs=several_intervals())
@settings(max_examples=25)
def test_lines_hold_on_any_interval(
    operator: Elementwise, pairs: list[tuple[float, float]]
) -> None:
    for dtype in (F64, torch.float32):
        lower, upper = torch.tensor(pairs, dtype=dtype).T[:, None]
        of_type = operator
        if isinstance(operator, LeakyRelu):
            of_type = LeakyRelu(operator.slope.to(dtype))
        for slope in Slope:
            assert_lines_hold(of_type, lower, upper, relax(of_type, lower, upper, slope))


@every_operator
@given(pairs=several_intervals(), low=st.floats(-3, 3), high=st.floats(-3, 3))
@settings(max_examples=25)
def test_lines_hold_whatever_their_slopes(
    operator: Elementwise, pairs: list[tuple[float, float]], low: float, high: float
) -> None:
    """What makes every iterate of alpha-CROWN sound."""
    lower, upper = torch.tensor(pairs, dtype=F64).T[:, None]
    slopes = (torch.full((1, 1, len(pairs)), slope, dtype=F64) for slope in (low, high))
    lines = line_intercepts(operator, *slopes, lower.unsqueeze(1), upper.unsqueeze(1))
    assert_lines_hold(operator, lower, upper, lines)


@every_slope
@every_operator
def test_a_point_interval_is_exact(operator: Elementwise, slope: Slope) -> None:
    x = torch.tensor([[-30.0, -1.0, -1e-3, 0.0, 1e-300, 0.5, 1.0, 3.0, 30.0]], dtype=F64)
    lines = relax(operator, x, x, slope)
    for slopes, shift in (
        (lines.lower_slope, lines.lower_intercept),
        (lines.upper_slope, lines.upper_intercept),
    ):
        found = line(slopes, shift, x.unsqueeze(1)).squeeze(1)
        torch.testing.assert_close(found, apply(operator, x), rtol=1e-14, atol=1e-14)


@every_slope
@every_operator
def test_gradients_are_finite_everywhere(operator: Elementwise, slope: Slope) -> None:
    pairs = [(-1.0, 1.0), (0.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (2.0, 2.0), (-2.0, -2.0)]
    pairs += [(-1e-310, 1e-310), (-5e-324, 0.0), (-1e30, 1e30), (0.25, 0.25), (0.5, 0.5)]
    pairs += [(-1.0, 0.5), (1.0, 3.0), (-800.0, 800.0), (40.0, 50.0), (-50.0, -40.0)]
    lower, upper = (torch.tensor([end], dtype=F64).requires_grad_() for end in zip(*pairs))  # noqa: B905
    lines = relax(operator, lower, upper, slope)
    parts = (lines.lower_slope, lines.upper_slope, lines.lower_intercept, lines.upper_intercept)
    sums = [p.sum() for p in parts if p is not None and p.requires_grad]
    if not sums:
        return
    gradients = torch.autograd.grad(sum(sums), (lower, upper), allow_unused=True)
    for gradient in gradients:
        assert gradient is None or bool(torch.isfinite(gradient).all()), gradient


@every_operator
def test_parallel_lines_share_their_slopes(operator: Elementwise) -> None:
    lower = torch.tensor([[-2.0, -1.0, 0.5]], dtype=F64)
    assert relax(operator, lower, lower + 2, Slope.PARALLEL).parallel


def test_relu_slopes_are_those_of_the_papers() -> None:
    lower = torch.tensor([[-1.0, -2.0, -3.0, 1.0]], dtype=F64)
    upper = torch.tensor([[3.0, 1.0, -1.0, 2.0]], dtype=F64)
    dual = relax(Relu(), lower, upper, Slope.PARALLEL)
    # u / (u - l), intercept -u l / (u - l).
    assert dual.upper_slope.flatten().tolist() == pytest.approx([0.75, 1 / 3, 0, 1])
    assert dual.upper_intercept is not None
    assert dual.upper_intercept.flatten().tolist() == pytest.approx([0.75, 2 / 3, 0, 0])
    crown = relax(Relu(), lower, upper, Slope.ADAPTIVE)
    assert crown.lower_slope.flatten().tolist() == [1, 0, 0, 1]
    assert crown.upper_slope.flatten().tolist() == pytest.approx([0.75, 1 / 3, 0, 1])


@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
def test_a_relu_whose_width_overflows_keeps_a_sound_line(dtype: torch.dtype) -> None:
    """The difference of the ends is infinite: a chord of slope zero would claim relu(x) <= 0."""
    largest = torch.finfo(dtype).max
    end = torch.tensor([[largest]], dtype=dtype)
    for slope in Slope:
        lines = relax(Relu(), -end, end, slope)
        assert float(lines.upper_slope) == 0.5
        assert float(lines.upper_intercept) == largest / 2


@pytest.mark.parametrize("operator", [Sigmoid(), Tanh()], ids=["sigmoid", "tanh"])
def test_lines_across_zero_touch_smooth_curves(operator: Operator) -> None:
    """Tight, not just sound: the gap closes somewhere on each side."""
    lower, upper = torch.tensor([[-2.0]], dtype=F64), torch.tensor([[3.0]], dtype=F64)
    lines = relax(operator, lower, upper, Slope.ADAPTIVE)
    x = grid(lower, upper, 20_001)
    value = apply(operator, x)
    below = value - line(lines.lower_slope, lines.lower_intercept, x.unsqueeze(2)).squeeze(2)
    above = line(lines.upper_slope, lines.upper_intercept, x.unsqueeze(2)).squeeze(2) - value
    assert float(below.min()) == pytest.approx(0, abs=1e-6)
    assert float(above.min()) == pytest.approx(0, abs=1e-6)


@every_slope
def test_max_lines_hold(slope: Slope) -> None:
    @given(st.lists(intervals(), min_size=1, max_size=5))
    @settings(max_examples=80)
    def check(pairs: list[tuple[float, float]]) -> None:
        lower, upper = (torch.tensor([list(e)], dtype=F64) for e in zip(*pairs))  # noqa: B905
        lines = relax(Max(), lower, upper, slope)
        generator = torch.Generator().manual_seed(0)
        share = torch.rand(50, lower.shape[1], generator=generator, dtype=F64)
        share = torch.cat([share, (share > 0.5).double()])
        x = lower * (1 - share) + upper * share
        below = (lines.lower_slope.squeeze(1) * x).sum(-1)
        above = (lines.upper_slope.squeeze(1) * x).sum(-1)
        if lines.upper_intercept is not None:
            above = above + lines.upper_intercept.flatten()
        slack = 1e-15 * max(abs(end) for pair in pairs for end in pair) + 1e-300
        assert bool((below <= x.amax(-1) + slack).all())
        assert bool((above >= x.amax(-1) - slack).all())

    check()


def test_a_decided_max_is_the_winner() -> None:
    lower = torch.tensor([[0.0, 2.0, -1.0]], dtype=F64)
    lines = relax(Max(), lower, lower + 1.5, Slope.ADAPTIVE)
    assert lines.parallel
    assert lines.upper_slope.flatten().tolist() == [0, 1, 0]
    assert lines.upper_intercept is not None
    assert float(lines.upper_intercept) == 0


def test_behind_relus_a_max_is_the_only_one_that_is_active() -> None:
    """The largest lower bound is that of the inactive ones, too: 0."""
    lower, upper = torch.zeros(1, 3, dtype=F64), torch.tensor([[0.0, 2.0, 0.0]], dtype=F64)
    lines = relax(Max(), lower, upper, Slope.ADAPTIVE)
    assert lines.parallel
    assert lines.lower_slope.flatten().tolist() == [0, 1, 0]
    assert lines.upper_intercept is not None
    assert float(lines.upper_intercept) == 0


@given(random_generators())
@settings(max_examples=30)
def test_the_checker_takes_the_same_number_for_the_largest(rng: np.random.Generator) -> None:
    """Whole numbers often tie."""
    lower = rng.integers(-1, 2, (1, 5, 3)).astype(float)
    upper = lower + rng.integers(0, 3, lower.shape)
    lines = relax(Max(), torch.from_numpy(lower), torch.from_numpy(upper), Slope.ADAPTIVE)
    ends = lower.reshape(1, -1), upper.reshape(1, -1)
    below, above = Maximum(Max(), (5, 3)).rule_slopes(*ends)
    assert below.tolist() == lines.lower_slope.reshape(1, -1).tolist()
    assert above.tolist() == lines.upper_slope.reshape(1, -1).tolist()


def test_a_missing_rule_says_how_to_add_it() -> None:
    class Cube(Elementwise):
        pass

    point = torch.zeros(1, 1)
    with pytest.raises(MissingRule, match="Cube"):
        relax(Cube(), point, point, Slope.ADAPTIVE)

    class Norm(Operator):
        pass

    with pytest.raises(MissingRule, match=r"Norm.*relax\.register.*ibp"):
        relax(Norm(), point, point, Slope.ADAPTIVE)


def test_numbers_stay_finite_far_out() -> None:
    for operator in (Sigmoid(), Tanh()):
        for dtype in (torch.float32, F64):
            lower = torch.tensor([[-1e30, 20.0, -1e30, 1e29]], dtype=dtype)
            upper = torch.tensor([[1e30, 1e30, -20.0, 1e30]], dtype=dtype)
            for slope in Slope:
                lines = relax(operator, lower, upper, slope)
                for part in (lines.lower_intercept, lines.upper_intercept, lines.lower_slope):
                    assert part is None or math.isfinite(float(part.abs().sum()))


@every_slope
def test_kinks_far_out(slope: Slope) -> None:
    """An end of a clip is a kink wherever it lies, unless it is infinite."""
    lower, upper = (torch.tensor([[end]], dtype=F64) for end in (-1e101, 1e102))
    operator = Clip(-1e100, 1e100)
    assert_lines_hold(operator, lower, upper, relax(operator, lower, upper, slope))
    for end in (-1e100, 1e100):
        lines = relax(operator, lower, upper, slope)
        x = torch.tensor([[[end]]], dtype=F64)
        assert bool((line(lines.lower_slope, lines.lower_intercept, x) <= end + 1e88).all())
        assert bool((line(lines.upper_slope, lines.upper_intercept, x) >= end - 1e88).all())


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
@settings(max_examples=60)
def test_any_slopes_on_a_window_get_the_tightest_intercepts(seed: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(4, 1, 1, 3, width, generator=generator, dtype=F64)
    lower, upper = torch.minimum(draw[0], draw[1]), torch.maximum(draw[0], draw[1])
    low, high = draw[2], draw[3]
    found = line_intercepts(Max(), low, high, lower, upper)
    # The extremes lie where every number is at an end or at another one's end, cut to its own.
    choices = torch.cat([lower, upper], dim=-1).unsqueeze(-1)
    places = torch.minimum(torch.maximum(choices, lower.unsqueeze(-2)), upper.unsqueeze(-2))
    below = torch.full((1, 1, 3), torch.inf, dtype=F64)
    above = -below
    for picks in itertools.product(range(2 * width), repeat=width):
        x = torch.stack([places[..., pick, k] for k, pick in enumerate(picks)], dim=-1)
        below = torch.minimum(below, x.amax(-1) - (low * x).sum(-1))
        above = torch.maximum(above, x.amax(-1) - (high * x).sum(-1))
    torch.testing.assert_close(found.lower_intercept, below)
    torch.testing.assert_close(found.upper_intercept, above)
