"""Planes around products of two numbers, and networks of products whose ranges are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual, compute_bounds, make_method
from sensverify.bounds.planes import balanced_shares, planes_between, product_range
from sensverify.bounds.relaxation import Slope, line_intercepts, relax
from sensverify.bounds.rounding import slack
from sensverify.core.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Add, Affine, Concat, Product, Relu, Reshape, Select
from sensverify.network.running import FLOAT32, Running, apply

F64 = torch.float64
SPECIAL = [0.0, 5e-324, 1e-310, 1e-30, 1e-9, 0.5, 1.0, 37.0, 1e9, 1e30]
end = st.one_of(st.sampled_from(SPECIAL + [-s for s in SPECIAL]), st.floats(-20, 20))
boxes = st.lists(st.lists(end, min_size=4, max_size=4), min_size=1, max_size=6)


def ends_of(rows: list[list[float]], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Of two numbers, ``[1, boxes, 2]``."""
    first, second = torch.tensor(rows, dtype=dtype).reshape(1, -1, 2, 2).unbind(dim=2)
    return torch.minimum(first, second), torch.maximum(first, second)


def corners(lower: Tensor, upper: Tensor) -> Tensor:
    """All corners, ``[4, ..., 2]``."""
    picks = itertools.product((lower, upper), repeat=2)
    return torch.stack([torch.stack([x[..., 0], y[..., 1]], dim=-1) for x, y in picks])


@pytest.mark.parametrize("slope", Slope)
@given(rows=boxes)
@settings(max_examples=60)
def test_planes_hold_at_corners(slope: Slope, rows: list[list[float]]) -> None:
    """Along either number all is linear, so what holds at corners holds in between."""
    for dtype in (F64, torch.float32):
        lower, upper = ends_of(rows, dtype)
        if not all(bool(torch.isfinite(end).all()) for end in product_range(lower, upper)):
            continue
        lines = relax(Product(), lower, upper, slope)
        assert lines.parallel == (slope is Slope.PARALLEL)
        at = corners(lower, upper)
        value = at.prod(dim=-1)
        sizes = torch.maximum(lower.abs(), upper.abs()).prod(dim=-1)
        tiny = torch.finfo(dtype).tiny * (1 + lower.abs() + upper.abs()).sum(dim=-1)
        room = 16 * torch.finfo(dtype).eps * sizes + tiny
        for sign, factor, intercept in (
            (1, lines.lower_slope, lines.lower_intercept),
            (-1, lines.upper_slope, lines.upper_intercept),
        ):
            assert intercept is not None
            plane = (factor[:, 0] * at).sum(dim=-1) + intercept[:, 0]
            assert bool((sign * (plane - value) <= room).all())


@given(boxes)
def test_balanced_planes_are_never_worse_than_intervals(rows: list[list[float]]) -> None:
    lower, upper = ends_of(rows, F64)
    low, high = product_range(lower, upper)
    under, over = planes_between(lower, upper, *balanced_shares(lower, upper))
    sizes = torch.maximum(lower.abs(), upper.abs()).prod(dim=-1)
    room = 1e-14 * sizes + 1e-300
    values = [(s * corners(lower, upper)).sum(dim=-1) + t for s, t in (under, over)]
    assert bool((values[0].amin(dim=0) >= low - room).all())
    assert bool((values[1].amax(dim=0) <= high + room).all())


@given(boxes, st.integers(0, 2**32 - 1))
def test_any_slopes_get_the_tightest_intercepts(rows: list[list[float]], seed: int) -> None:
    lower, upper = (part.unsqueeze(1) for part in ends_of(rows, F64))
    generator = torch.Generator().manual_seed(seed)
    low, high = torch.randn(2, *lower.shape, generator=generator, dtype=F64)
    found = line_intercepts(Product(), low, high, lower, upper)
    at = corners(lower, upper)
    below, above = (at.prod(dim=-1) - (slope * at).sum(dim=-1) for slope in (low, high))
    torch.testing.assert_close(found.lower_intercept, below.amin(dim=0))
    torch.testing.assert_close(found.upper_intercept, above.amax(dim=0))


def product_of(*pairs: tuple[int, int], inputs: int = 2) -> Network:
    """The sum of products of pairs of inputs."""
    builder = NetworkBuilder((inputs,))
    node = builder.add(Product(), builder.add(Select(np.array(pairs)), builder.input))
    return builder.build(builder.add(Affine(np.ones((1, len(pairs)))), node))


def box_of(*ends: tuple[float, float]) -> Box:
    low, high = torch.tensor(ends, dtype=F64).T[:, None]
    return Box(low, high)


@pytest.mark.parametrize("method", [Ibp(), Crown(), AlphaCrown(steps=20)], ids=lambda m: m.name)
@pytest.mark.parametrize("sides", [(1, 3), (-3, -1), (-1, 2), (0, 2)])
@pytest.mark.parametrize("others", [(2, 5), (-5, -4), (-2, 1)])
def test_one_product_is_exact(
    method: Ibp | Crown | AlphaCrown, sides: tuple[int, int], others: tuple[int, int]
) -> None:
    outer = compute_bounds(product_of((0, 1)), box_of(sides, others), method).outer
    values = [x * y for x in sides for y in others]
    assert float(outer.lower) == pytest.approx(min(values), abs=1e-12)
    assert float(outer.upper) == pytest.approx(max(values), abs=1e-12)


def difference() -> Network:
    """``(x + y)(x - y)``, whose factors move together."""
    builder = NetworkBuilder((2,))
    sums = builder.add(Affine(np.array([[1.0, 1.0], [1.0, -1.0]])), builder.input)
    return builder.build(builder.add(Reshape((1,)), builder.add(Product(), sums)))


def test_exact_ranges_of_bilinear_networks_are_found_by_splitting_the_inputs() -> None:
    """``x^2 - y^2`` on [-1, 2] x [-1, 1] lies in [-1, 4]; ``xy + yz`` on [-1, 1]^3 in [-2, 2]."""
    exact = make_method("branch-and-bound(gap=1e-4)")
    found = compute_bounds(difference(), box_of((-1, 2), (-1, 1)), exact)
    assert bool(found.optimal.all())
    assert float(found.outer.lower) == pytest.approx(-1, abs=1e-3)
    assert float(found.outer.upper) == pytest.approx(4, abs=1e-3)
    network = product_of((0, 1), (1, 2), inputs=3)
    found = compute_bounds(network, box_of((-1, 1), (-1, 1), (-1, 1)), exact)
    assert bool(found.optimal.all())
    assert float(found.outer.upper) == pytest.approx(2, abs=1e-3)


def test_chosen_planes_are_tighter_than_those_of_the_first_step() -> None:
    """Where factors move together, the best mean depends on the objective."""
    rng = np.random.default_rng(3)
    builder = NetworkBuilder((3,))
    hidden = builder.add(Affine(rng.normal(size=(6, 3)), rng.normal(size=6)), builder.input)
    hidden = builder.add(Relu(), hidden)
    pairs = builder.add(Select(np.array([[0, 1], [2, 3], [4, 5], [0, 5]])), hidden)
    node = builder.add(Product(), pairs)
    network = builder.build(builder.add(Affine(rng.normal(size=(2, 4))), node))
    box = Box(torch.full((1, 3), -0.5, dtype=F64), torch.full((1, 3), 0.5, dtype=F64))
    plain = compute_bounds(network, box, Crown()).outer
    chosen = compute_bounds(network, box, AlphaCrown(steps=40)).outer
    assert bool((chosen.lower >= plain.lower).all() and (chosen.upper <= plain.upper).all())
    assert float(_width(chosen)) < 0.97 * float(_width(plain))
    lp = compute_bounds(network, box, make_method("lp")).outer
    assert bool((lp.lower >= plain.lower - 1e-6).all() and (lp.upper <= plain.upper + 1e-6).all())
    # The program's own multipliers prove as much without a solver's tolerance.
    assert bool((lp.lower >= chosen.lower - 1e-2).all())


def _width(box: Box) -> Tensor:
    return (box.upper - box.lower).sum()


def test_both_linear_methods_share_a_network_of_products_and_sums() -> None:
    builder = NetworkBuilder((2, 2))
    both = builder.add(Concat(1), builder.input, builder.input)
    pairs = builder.add(Select(np.array([[0, 2], [1, 3], [4, 6]])), both)
    node = builder.add(Product(), pairs)
    network = builder.build(builder.add(Add(), node, node))
    box = Box(torch.full((1, 2, 2), 1.0, dtype=F64), torch.full((1, 2, 2), 2.0, dtype=F64))
    for method in (Ibp(), LpDual(), Crown()):
        outer = compute_bounds(network, box, method).outer
        assert bool((outer.lower <= 2).all() and (outer.upper >= 8).all())


def test_rounding_of_products_that_cancel_is_counted() -> None:
    """``(x + p)(y + q) - (x + p)(y + q)``, with p q far larger than what is left."""
    builder = NetworkBuilder((2,))
    moved = builder.add(Affine(np.eye(2), np.array([1e5, 1e6])), builder.input)
    product = builder.add(Product(), builder.add(Reshape((1, 2)), moved))
    less = builder.add(Affine(-np.ones((1, 1))), product)
    network = builder.build(builder.add(Add(), product, less))
    box = Box(torch.zeros(1, 2), torch.ones(1, 2))
    rows = torch.ones(1, 1, 1)
    assert float(slack(network, box, rows)) > 1e11 * 2.0**-24
    # The pass may see the difference itself; intervals may not.
    outer = compute_bounds(network, box, Ibp()).outer
    assert float(outer.lower) <= 0 <= float(outer.upper)


def test_running_errors_hold_in_float32() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(size=(50, 3, 2)) * 10.0 ** rng.integers(-3, 4, (50, 3, 2))
    off = abs(value) * 1e-5
    found = apply(Product(), [Running(value, off)], FLOAT32)
    other = (value + off * rng.uniform(-1, 1, off.shape)).astype(np.float32)
    computed = other[..., 0] * other[..., 1]
    assert computed.dtype == np.float32
    assert (abs(computed - found.value) <= found.error).all()
    assert (found.error <= 1e-4 * abs(found.value)).all()
