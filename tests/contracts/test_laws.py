"""Laws that every method's bounds obey, whatever the network and the box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.bounds import (
    AlphaCrown,
    Crown,
    Ibp,
    LpDual,
    Method,
    compute_bounds,
    forward_pass,
    tiles,
)
from sensverify.core.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Relu, Select
from tests.contracts.attained import attained, largest_violation
from tests.contracts.methods import METHODS
from tests.contracts.networks import NETWORKS, Case, cases, conv_nets, mlps, numbers, residual_nets

FAMILIES = st.one_of(*NETWORKS.values())
WITH_HEAD = st.one_of(mlps(relu_only=True), conv_nets(), residual_nets())
"""Networks whose last node is an `Affine`."""


def outer(network: Network, box: Box, method: Method, objectives: Tensor | None = None) -> Box:
    return compute_bounds(network, box, method, objectives).outer


def assert_close(first: Box, second: Box, method: Method, tolerance: float = 1e-9) -> None:
    if isinstance(method, AlphaCrown) and method.steps:
        # Its gradients jump where a coefficient changes its sign, and whether one that cancels is
        # zero or a last bit depends on the order of sums: each way is sound, and about as good.
        tolerance = max(tolerance, 0.05)
    size = 1 + torch.maximum(first.lower.abs(), first.upper.abs())
    for a, b in ((first.lower, second.lower), (first.upper, second.upper)):
        assert bool((abs(a - b) <= tolerance * size).all()), (method, abs(a - b).max())


def negated(box: Box) -> Box:
    return Box(-box.upper, -box.lower)


@given(cases(FAMILIES))
@settings(max_examples=15)
def test_a_box_of_radius_zero_equals_the_forward_pass(case: Case) -> None:
    point = case.box_of(torch.float64).center
    expected = forward_pass(case.network, point).reshape(len(point), -1)
    size = attained(case.network, Box(point, point))[1]
    for method in METHODS:
        bounds = outer(case.network, Box(point, point), method)
        for end in (bounds.lower, bounds.upper):
            assert bool((abs(end - expected) <= 1e-12 * size).all()), (method, end - expected)


@given(cases(WITH_HEAD), st.integers(0, 2**32 - 1))
@settings(max_examples=12)
def test_permuting_outputs_permutes_bounds(case: Case, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(case.outputs)
    box = case.box_of(torch.float64)
    permuted = with_head(case.network, lambda w, b: (w[order], None if b is None else b[order]))
    for method in METHODS:
        plain, moved = outer(case.network, box, method), outer(permuted, box, method)
        expected = Box(plain.lower[:, order], plain.upper[:, order])
        assert_close(expected, moved, method)


@given(cases(FAMILIES), st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_selecting_outputs_selects_bounds(case: Case, seed: int) -> None:
    """Also for networks that end in a nonlinear node: the permutation is a node of its own."""
    order = np.random.default_rng(seed).permutation(case.outputs)
    nodes = case.network.nodes
    select = replace(nodes[-1], operator=Select(order), inputs=(len(nodes) - 1,))
    moved_network = Network((*nodes, replace(select, name="order", shape=order.shape)))
    box = case.box_of(torch.float64)
    for method in METHODS:
        plain, moved = outer(case.network, box, method), outer(moved_network, box, method)
        assert_close(Box(plain.lower[:, order], plain.upper[:, order]), moved, method)


@given(cases(WITH_HEAD), st.sampled_from([-2.0, 0.0, 0.5, 4.0]))
@settings(max_examples=12)
def test_scaling_the_last_layer_scales_bounds(case: Case, factor: float) -> None:
    box = case.box_of(torch.float64)
    scaled = with_head(case.network, lambda w, b: (factor * w, None if b is None else factor * b))
    for method in METHODS:
        if isinstance(method, AlphaCrown):
            # Adam's steps do not scale exactly with the objective.
            continue
        plain, moved = outer(case.network, box, method), outer(scaled, box, method)
        expected = Box(abs(factor) * plain.lower, abs(factor) * plain.upper)
        assert_close(expected if factor >= 0 else negated(expected), moved, method)


@given(cases(FAMILIES), st.sampled_from([-3.0, 0.0, 0.25]))
@settings(max_examples=12)
def test_scaling_objectives_scales_bounds(case: Case, factor: float) -> None:
    box, identity = case.box_of(torch.float64), torch.eye(case.outputs, dtype=torch.float64)
    for method in METHODS:
        if isinstance(method, AlphaCrown):
            continue
        plain = outer(case.network, box, method)
        scaled = outer(case.network, box, method, factor * identity)
        expected = Box(abs(factor) * plain.lower, abs(factor) * plain.upper)
        assert_close(expected if factor >= 0 else negated(expected), scaled, method)


@given(cases(FAMILIES), st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_forms_of_objectives_agree(case: Case, seed: int) -> None:
    box = case.box_of(torch.float64)
    rows = torch.from_numpy(numbers(np.random.default_rng(seed), 3, case.outputs))
    repeated = rows.expand(box.batch, *rows.shape)
    for method in METHODS:
        shared = outer(case.network, box, method, rows)
        assert_close(shared, outer(case.network, box, method, repeated), method)
        assert_close(shared, outer(case.network, box, method, rows.numpy()), method)
        each = [outer(case.network, box, method, rows[i : i + 1]) for i in range(len(rows))]
        joined = Box(torch.cat([e.lower for e in each], 1), torch.cat([e.upper for e in each], 1))
        assert_close(shared, joined, method)


@given(cases(FAMILIES), st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_objectives_differ_between_samples(case: Case, seed: int) -> None:
    box = case.box_of(torch.float64)
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(numbers(rng, box.batch, 3, case.outputs))
    values, size = attained(case.network, box)
    values = torch.einsum("bro,pbo->pbr", rows, values)
    size = size * (1 + rows.abs().sum(-1))
    for method in METHODS:
        bounds = outer(case.network, box, method, rows)
        assert bool((largest_violation(bounds, values) <= 1e-12 * size).all()), method
        for i in range(box.batch):
            alone = outer(case.network, box[i : i + 1], method, rows[i])
            assert_close(bounds[i : i + 1], alone, method)


@given(cases(FAMILIES))
@settings(max_examples=10)
def test_chunks_and_tiles_change_nothing(case: Case) -> None:
    box = case.box_of(torch.float64)
    for method in METHODS:
        if isinstance(method, AlphaCrown):
            # Adam takes a whole step along a gradient that is nothing but rounding.
            continue
        whole = compute_bounds(case.network, box, method)
        chunked = compute_bounds(case.network, box, method, memory_budget=1)
        assert_close(whole.outer, chunked.outer, method)
        assert torch.equal(whole.unstable, chunked.unstable)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tiles, "_TILE", {"cpu": 2000})
            assert_close(whole.outer, outer(case.network, box, method), method)


@given(cases(FAMILIES))
@settings(max_examples=15)
def test_alpha_crown_is_never_worse_than_crown(case: Case) -> None:
    box = case.box_of(torch.float64)
    for intermediate in (None, Ibp(), AlphaCrown(steps=3)):
        crown = outer(case.network, box, Crown(intermediate=intermediate))
        for settings_ in ({"steps": 0}, {"steps": 4}):
            alpha = outer(case.network, box, AlphaCrown(intermediate=intermediate, **settings_))
            # Two runs of one pass may differ in the last bits, with the alignment of memory.
            slack = 1e-12 * (1 + torch.maximum(crown.lower.abs(), crown.upper.abs()))
            assert bool((alpha.lower >= crown.lower - slack).all()), settings_
            assert bool((alpha.upper <= crown.upper + slack).all()), settings_
            if settings_["steps"] == 0:
                assert_close(crown, alpha, AlphaCrown(**settings_), 1e-12)


def larger(case: Case, share: float = 0.5) -> Box:
    """Boxes that contain the case's, by up to a share of their widths on each side."""
    box = case.box_of(torch.float64)
    generator = torch.Generator().manual_seed(1)
    more = [torch.rand(box.lower.shape, generator=generator).double() * share for _ in range(2)]
    return Box(box.lower - more[0] * box.widths, box.upper + more[1] * box.widths)


@given(cases(FAMILIES))
@settings(max_examples=12)
def test_a_larger_box_contains_what_the_smaller_one_attains(case: Case) -> None:
    """The form in which *larger boxes give larger answers* holds for every method."""
    values, _ = attained(case.network, case.box_of(torch.float64))
    _, size = attained(case.network, larger(case))
    for method in METHODS:
        bounds = outer(case.network, larger(case), method)
        assert bool((largest_violation(bounds, values) <= 1e-12 * size).all()), method


@given(cases(FAMILIES))
@settings(max_examples=40)
def test_interval_bounds_grow_with_the_box(case: Case) -> None:
    """Interval arithmetic is monotone: every operator's rule is."""
    small = outer(case.network, case.box_of(torch.float64), Ibp())
    large = outer(case.network, larger(case), Ibp())
    size = 1 + torch.maximum(large.lower.abs(), large.upper.abs())
    assert bool((large.lower <= small.lower + 1e-12 * size).all())
    assert bool((large.upper >= small.upper - 1e-12 * size).all())


def bent() -> Network:
    """``f(x) = relu(x) - 0.6 x``, with the second term through a neuron that is always active."""
    builder = NetworkBuilder((1,))
    hidden = builder.add(Affine(np.array([[1.0], [1.0]]), np.array([0.0, 10.0])), builder.input)
    last = Affine(np.array([[1.0, -0.6]]), np.array([6.0]))
    return builder.build(builder.add(last, builder.add(Relu(), hidden)))


@pytest.mark.parametrize(
    ("method", "end", "small", "large"),
    [
        # On [-1, 1] the slope is 1/2: the lower line is -0.1 x, at least -0.1. On [-1, 2] it is
        # 2/3: the line is x / 15, at least -1 / 15.
        (LpDual(), 2.0, -0.1, -1 / 15),
        # Slope 0: -0.6 x, at least -0.6. On [-1, 2] slope 1: 0.4 x, at least -0.4.
        (Crown(), 2.0, -0.6, -0.4),
    ],
    ids=repr,
)
def test_linear_bounds_need_not_grow_with_the_box(
    method: Method, end: float, small: float, large: float
) -> None:
    """No law, by these counterexamples: a wider interval changes the slopes, maybe for the better.

    This is why the law about larger boxes is stated on attained values above.
    """
    for upper, expected in ((1.0, small), (end, large)):
        box = Box(np.array([[-1.0]]), np.array([[upper]]))
        assert float(outer(bent(), box, method).lower) == pytest.approx(expected, abs=1e-12)


def test_the_width_of_lp_dual_need_not_grow_with_the_box() -> None:
    """The width on [-1, u] is ``|0.4 u - 0.6| + u / (u + 1)``: 0.7 at u = 1, 0.665 at u = 1.2."""
    wide = [
        float(outer(bent(), Box(np.array([[-1.0]]), np.array([[u]])), LpDual()).widths)
        for u in (1.0, 1.2)
    ]
    assert wide == pytest.approx([0.7, 0.12 + 1.2 / 2.2], abs=1e-12)


def with_head(network: Network, change: Callable[[Any, Any], tuple[Any, Any]]) -> Network:
    """The network with another weight and bias in its last `Affine`."""
    last = network.nodes[-1]
    assert isinstance(last.operator, Affine)
    operator = Affine(*change(last.operator.weight, last.operator.bias))
    return Network((*network.nodes[:-1], replace(last, operator=operator)))
