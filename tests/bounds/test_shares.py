"""The planes around a softmax's shares."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds import AlphaCrown, Crown, Ibp, compute_bounds, forward_pass
from sensverify.bounds.forward import apply
from sensverify.bounds.relaxation import Relaxation, Slope, line_intercepts, relax
from sensverify.bounds.shares import slopes_between
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.formats.modules import from_module
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Affine,
    Exp,
    Reciprocal,
    Reshape,
    Share,
    Sigmoid,
)
from sensverify.network.running import FLOAT32, Running
from sensverify.network.running import apply as running

F64 = torch.float64
SPECIAL = [0.0, 1e-300, 1e-8, 1.0, 50.0, 709.0, 750.0, 1000.0]

end = st.one_of(st.sampled_from(SPECIAL + [-s for s in SPECIAL]), st.floats(-8, 8))
windows = st.integers(1, 4).flatmap(
    lambda size: st.lists(
        st.lists(end, min_size=2 * size, max_size=2 * size), min_size=1, max_size=4
    )
)


def ends_of(rows: list[list[float]], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Ends ``[1, windows, numbers]``."""
    first, second = torch.tensor(rows, dtype=dtype).unsqueeze(0).chunk(2, dim=-1)
    return torch.minimum(first, second), torch.maximum(first, second)


def points_of(lower: Tensor, upper: Tensor) -> Tensor:
    """All corners, points inside, and those that steps along gradients find, ``[points, ...]``."""
    size = lower.shape[-1]
    picks = torch.tensor(list(itertools.product((0.0, 1.0), repeat=size)), dtype=lower.dtype)
    shares = torch.cat([picks, torch.rand(20, size, dtype=lower.dtype)])
    points = lower + shares.reshape(-1, *(1,) * (lower.ndim - 1), size) * (upper - lower)
    return points.clamp(lower, upper)


def worst(lines: Relaxation, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Least distance of both planes to the function, found from points on by gradient steps."""
    found = []
    for sign, slope, intercept in (
        (1, lines.lower_slope, lines.lower_intercept),
        (-1, lines.upper_slope, lines.upper_intercept),
    ):
        assert intercept is not None

        def gap(
            x: Tensor, sign: int = sign, slope: Tensor = slope, intercept: Tensor = intercept
        ) -> Tensor:
            plane = (slope[:, 0] * x).sum(dim=-1) + intercept[:, 0]
            return sign * (apply(Share(), x) - plane)

        x = points_of(lower, upper)
        best = gap(x).amin(dim=0)
        for step in range(20):
            x = x.detach().requires_grad_(True)
            (slope_at,) = torch.autograd.grad(gap(x).sum(), x)
            width = (upper - lower) / (step + 2)
            x = (x - width * slope_at.sign()).clamp(lower, upper).detach()
            best = torch.minimum(best, gap(x).amin(dim=0))
        found.append(best)
    return found[0], found[1]


@pytest.mark.parametrize("slope", Slope)
@given(rows=windows)
@settings(max_examples=60)
def test_planes_hold(slope: Slope, rows: list[list[float]]) -> None:
    for dtype in (F64, torch.float32):
        lower, upper = ends_of(rows, dtype)
        lines = relax(Share(), lower, upper, slope)
        assert lines.parallel == (slope is Slope.PARALLEL)
        room = 64 * torch.finfo(dtype).eps * (1 + lower.abs() + upper.abs()).sum(dim=-1)
        for gap in worst(lines, lower, upper):
            assert bool((gap >= -room).all())


@given(windows, st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_any_slopes_have_intercepts_that_hold(rows: list[list[float]], seed: int) -> None:
    """And those of the planes that `relax` chooses are the same again."""
    lower, upper = ends_of(rows, F64)
    generator = torch.Generator().manual_seed(seed)
    low, high = torch.randn(2, *lower.unsqueeze(1).shape, generator=generator, dtype=F64)
    ends = lower.unsqueeze(1), upper.unsqueeze(1)
    room = 1e-12 * (1 + lower.abs() + upper.abs()).sum(dim=-1)
    for gap in worst(line_intercepts(Share(), low, high, *ends), lower, upper):
        assert bool((gap >= -room).all())
    chosen = relax(Share(), lower, upper, Slope.ADAPTIVE)
    again = line_intercepts(Share(), chosen.lower_slope, chosen.upper_slope, *ends)
    assert again.lower_intercept is not None
    assert bool((again.lower_intercept >= chosen.lower_intercept - room).all())
    torch.testing.assert_close(again.upper_intercept, chosen.upper_intercept, rtol=1e-9, atol=1e-9)


@given(windows)
@settings(max_examples=60)
def test_slopes_of_zero_are_the_range(rows: list[list[float]]) -> None:
    lower, upper = ends_of(rows, F64)
    flat = torch.zeros_like(lower).unsqueeze(1)
    found = line_intercepts(Share(), flat, flat, lower.unsqueeze(1), upper.unsqueeze(1))
    wanted = apply(Share(), upper), apply(Share(), lower)
    torch.testing.assert_close(found.lower_intercept[:, 0], wanted[0], rtol=1e-9, atol=1e-300)
    torch.testing.assert_close(found.upper_intercept[:, 0], wanted[1], rtol=1e-9, atol=1e-300)


@given(windows)
@settings(max_examples=60)
def test_slopes_on_a_box_are_known(rows: list[list[float]]) -> None:
    lower, upper = ends_of(rows, F64)
    points = points_of(lower, upper).requires_grad_(True)
    (found,) = torch.autograd.grad(apply(Share(), points).sum(), points)
    least, most = slopes_between(lower, upper)
    assert bool((found >= least - 1e-12).all())
    assert bool((found <= most + 1e-12).all())


def softmax(n: int, *, shares: bool, seed: int = 0, scale: float = 1.0) -> Network:
    """One behind a matrix, and sums of it: by `Share`, or by exponentials, sums and reciprocals."""
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((8,))
    rows = scale * rng.normal(size=(n, 8))
    apart = [rows[j] - rows[i] for i in range(n) for j in range(n) if j != i]
    node = builder.add(Reshape((n, n - 1)), builder.add(Affine(np.array(apart)), 0))
    if shares:
        node = builder.add(Share(), node)
    else:
        sums = Affine(np.ones((1, n - 1)), np.ones(1))
        node = builder.add(Reshape((n,)), builder.add(sums, builder.add(Exp(), node)))
        node = builder.add(Reciprocal(), node)
    return builder.build(builder.add(Affine(rng.normal(size=(10, n))), node))


@pytest.mark.parametrize(("radius", "share"), [(0.02, 0.995), (0.1, 0.97), (0.4, 0.9)])
@pytest.mark.parametrize("n", [3, 10, 32])
def test_they_are_tighter_than_the_operators_that_a_softmax_is_made_of(
    n: int, radius: float, share: float
) -> None:
    for seed in range(3):
        middle = torch.randn(4, 8, dtype=F64, generator=torch.Generator().manual_seed(seed))
        box = Box(middle - radius, middle + radius)
        widths = []
        for shares in (True, False):
            network = softmax(n, shares=shares, seed=seed, scale=0.3)
            outer = compute_bounds(network, box, Crown()).outer
            widths.append(outer.upper - outer.lower)
        assert float(widths[0].mean()) < share * float(widths[1].mean())
        # On single intervals what is known of sums of exponentials counts for more.
        assert bool((widths[0] <= 1.02 * widths[1]).all())


def test_optimised_planes_are_tighter() -> None:
    box = Box(torch.full((1, 8), -0.3, dtype=F64), torch.full((1, 8), 0.3, dtype=F64))
    network = softmax(6, shares=True, scale=0.3)
    plain, searched = (compute_bounds(network, box, m).outer for m in (Crown(), AlphaCrown()))
    widths = [(outer.upper - outer.lower) for outer in (plain, searched)]
    assert bool((widths[1] <= widths[0] + 1e-12).all())
    assert float(widths[1].mean()) < 0.97 * float(widths[0].mean())


@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_numbers_of_any_size_overflow_nothing(dtype: torch.dtype) -> None:
    """Entries of 1000 and -1000, with gradients of values and of bounds."""
    module = torch.nn.Softmax(dim=-1)
    network = from_module(module, (4,))
    middle = torch.tensor([[1000.0, -1000.0, 0.0, 999.0], [1000.0] * 4], dtype=dtype)
    for radius in (0.0, 0.5, 2000.0):
        lower, upper = ((middle + sign * radius).detach().requires_grad_(True) for sign in (-1, 1))
        for method in (Ibp(), Crown()):
            outer = compute_bounds(network, Box(lower, upper), method).outer
            assert bool(torch.isfinite(outer.lower).all() & torch.isfinite(outer.upper).all())
            points = torch.stack([lower, middle, upper]).flatten(0, 1)
            values = forward_pass(network, points).reshape(3, 2, 4)
            room = 1e-3 if dtype is torch.float32 else 1e-9
            assert bool((values >= outer.lower - room).all())
            assert bool((values <= outer.upper + room).all())
            gradients = torch.autograd.grad((outer.upper - outer.lower).sum(), (lower, upper))
            assert all(bool(torch.isfinite(each).all()) for each in gradients), (method, radius)


def test_two_entries_are_a_sigmoid() -> None:
    network = from_module(torch.nn.Softmax(dim=-1), (3, 2))
    kinds = {type(node.operator) for node in network.nodes}
    assert Sigmoid in kinds
    assert Share not in kinds
    x = torch.randn(5, 3, 2, dtype=F64)
    torch.testing.assert_close(forward_pass(network, x).reshape(x.shape), x.softmax(dim=-1))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
@settings(max_examples=60)
def test_running_errors_hold(seed: int, size: int) -> None:
    """Values that are off by as much as is said, in float32."""
    rng = np.random.default_rng(seed)
    value = rng.normal(size=(20, size)) * 10.0 ** rng.integers(-2, 3)
    off = np.abs(rng.normal(size=value.shape)) * 10.0 ** rng.integers(-7, 0)
    found = running(Share(), [Running(value, off)], FLOAT32)
    for sign in (-1.0, 1.0, rng.uniform(-1, 1, value.shape)):
        moved = torch.from_numpy((value + sign * off).astype(np.float32))
        other = apply(Share(), moved).numpy().astype(np.float64)
        assert (abs(other - found.value) <= found.error).all()


def test_entries_that_are_picked_are_followed_to_what_computes_them() -> None:
    """Bounds on sums and differences of picked and scaled entries are those of one matrix."""
    rng = np.random.default_rng(0)
    matrix, bias = rng.normal(size=(4, 3)), rng.normal(size=4)
    index = np.array([[0, 1], [3, 3], [2, 0]])
    module = torch.nn.Linear(3, 4).double().requires_grad_(False)
    module.weight.copy_(torch.tensor(matrix))
    module.bias.copy_(torch.tensor(bias))

    class Picked(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = module(x)
            apart = y[:, index[:, 0]] - 3 * y[:, index[:, 1]] + 0.5
            return torch.tanh(apart)

    net = from_module(Picked(), (3,))
    box = Box(torch.zeros(1, 3, dtype=F64), torch.ones(1, 3, dtype=F64))
    rows = torch.tensor(matrix[index[:, 0]] - 3 * matrix[index[:, 1]])
    start = torch.tensor(bias[index[:, 0]] - 3 * bias[index[:, 1]] + 0.5)
    wanted = rows.clamp(max=0).sum(1) + start, rows.clamp(min=0).sum(1) + start
    live = tensor_network(net, dtype=F64, device=torch.device("cpu"))
    found = Crown().pre_activations(live, box)
    ((low, high),) = found.values()
    torch.testing.assert_close(low[0], wanted[0])
    torch.testing.assert_close(high[0], wanted[1])
