"""Envelopes of curves and products: they hold what they surround, and less the finer they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sensverify.network.operators as op
from sensverify.bounds import Crown, compute_bounds
from sensverify.bounds.forward import apply
from sensverify.core.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Product, Reshape, Smooth
from sensverify.runs.watch import Watch
from sensverify.solvers.encoding import Encoder, Form
from sensverify.solvers.encoding.envelopes import (
    Lines,
    curve_cut,
    halved,
    lines_around,
    refined,
    turns,
)
from sensverify.solvers.highs import Highs
from sensverify.solvers.milp import Milp
from tests.contracts.attained import attained, largest_violation
from tests.contracts.networks import dense
from tests.contracts.operators import FORMS
from tests.solvers.encoding.test_encoding import check_holds, encode

CURVES = [
    form.make(np.random.default_rng(0))
    for form in FORMS.values()
    if issubclass(form.operator, Smooth)
]
every_curve = pytest.mark.parametrize("operator", CURVES, ids=repr)


def interval(operator: Smooth, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of several sizes on which the function is defined, ``[5]``."""
    rng = np.random.default_rng(seed)
    width = 10 ** rng.uniform(-3, 1, 5)
    start = rng.normal(size=5) * 2
    if operator.branches[-1][0] == 0:
        start = np.abs(start) + 0.05
    return start, start + width


def cut(operator: Smooth, lower: np.ndarray, upper: np.ndarray, count: int) -> np.ndarray:
    """The ends of the segments of one interval."""
    inside = turns(operator, lower, upper)
    ends = np.concatenate([lower[None], inside[np.isfinite(inside)][:, None], upper[None]])
    return refined(ends, count, curve_cut(operator))


def envelope(lines: list[Lines], ends: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The highest line below, and the lowest above, at points of one interval."""
    segment = np.clip((x[:, None] >= ends[1:-1, 0]).sum(axis=1), 0, len(ends) - 2)
    way = x - ends[segment, 0]
    values = {
        side: [
            each.starts[segment, 0] + each.slopes[segment, 0] * way
            for each in lines
            if each.below is side
        ]
        for side in (True, False)
    }
    return np.max(values[True], axis=0), np.min(values[False], axis=0)


@every_curve
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=2)
def test_a_curve_lies_in_its_envelope_and_that_in_coarser_ones(operator: Smooth, seed: int) -> None:
    for low, high in zip(*interval(operator, seed), strict=True):
        lower, upper = np.array([low]), np.array([high])
        x = np.linspace(low, high, 257)
        value = apply(operator, torch.from_numpy(x)).numpy()
        steepest = operator.derivative(torch.from_numpy(x), torch).abs().max().item()
        size = 1 + np.abs(value).max() + steepest * np.abs(x).max()
        known = None
        for count in (2, 3, 6):
            ends = cut(operator, lower, upper, count)
            assert len(ends) > 2
            below, above = envelope(lines_around(operator, ends), ends, x)
            assert (below <= value + 1e-12 * size).all()
            assert (above >= value - 1e-12 * size).all()
            if known is not None:
                assert (below >= known[0] - 1e-9 * size).all()
                assert (above <= known[1] + 1e-9 * size).all()
            known = below, above


def test_cuts_are_even_where_curves_are() -> None:
    ends = np.array([[-1.0], [3.0]])
    np.testing.assert_allclose(
        refined(ends, 8, curve_cut(op.Square())), refined(ends, 8, halved), atol=1e-6
    )
    np.testing.assert_allclose(np.diff(refined(ends, 8, halved), axis=0), 0.5)
    # Of a step-like curve, most cuts are where it rises.
    found = cut(op.Tanh(), np.array([-50.0]), np.array([50.0]), 8)
    assert (np.abs(found[1:-1]) < 10).all()


def test_inflections_are_cut_first() -> None:
    ends = np.array([-4.0]), np.array([4.0])
    assert turns(op.Gelu(), *ends).ravel() == pytest.approx(op.Gelu().inflections)
    assert turns(op.Sin(), *ends).ravel() == pytest.approx([-np.pi, 0, np.pi])
    assert turns(op.Cos(), *ends).ravel() == pytest.approx([-np.pi / 2, np.pi / 2])
    assert turns(op.Exp(), *ends).size == 0
    # Around very many waves lines are flat, and no place is worth a cut.
    assert turns(op.Sin(), np.array([-1e4]), np.array([1e4])).size == 0


def products(seed: int) -> Network:
    """Sums of products of numbers that depend on both inputs."""
    rng, builder = np.random.default_rng(seed), NetworkBuilder((2,))
    pairs = builder.add(Reshape((3, 2)), builder.add(dense(rng, 6, 2), builder.input))
    return builder.build(builder.add(dense(rng, 2, 3), builder.add(Product(), pairs)))


def curved(operator: Smooth, seed: int) -> Network:
    rng, builder = np.random.default_rng(seed), NetworkBuilder((2,))
    node = builder.input
    for size in (3, 2):
        node = builder.add(dense(rng, size, builder.shape(node)[0]), node)
        if operator.branches[-1][0] == 0:
            node = builder.add(op.Clip(0.5, 2.0), node)
        node = builder.add(operator, node)
    return builder.build(builder.add(dense(rng, 2, 2), node))


NETWORKS = {
    **{repr(each): curved(each, 5) for each in (op.Tanh(), op.Gelu(), op.Sin(), op.Sqrt())},
    "products": products(0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_ranges_contain_what_is_attained_and_shrink_with_more_segments(name: str) -> None:
    network = NETWORKS[name]
    box = Box(torch.full((1, 2), -0.6).double(), torch.full((1, 2), 0.4).double())
    check_holds(
        network,
        Box(box.lower.numpy(), box.upper.numpy()),
        encode(network, Box(box.lower.numpy(), box.upper.numpy()), Form.EXACT),
    )
    values, magnitude = attained(network, box)
    before = compute_bounds(network, box, Crown()).outer
    room = 1e-6 * magnitude
    for segments in (1, 2, 4):
        bounds = compute_bounds(network, box, Milp(segments=segments))
        assert bool((largest_violation(bounds.outer, values) <= room).all())
        assert bool((bounds.outer.lower >= before.lower - room).all())
        assert bool((bounds.outer.upper <= before.upper + room).all())
        before = bounds.outer
        # What counts as exact is what is attained.
        gap = (bounds.inner.lower - bounds.outer.lower).maximum(
            bounds.outer.upper - bounds.inner.upper
        )
        assert bool((~bounds.optimal | (gap <= room)).all())
    one = compute_bounds(network, box, Milp(segments=1)).outer.widths
    assert bool((before.widths <= one + room).all())
    left = (before.widths - bounds.inner.widths).sum(), (one - bounds.inner.widths).sum()
    assert left[0] <= 0.4 * left[1] + float(room.max())


def test_one_segment_is_the_relaxation() -> None:
    for network in (curved(op.Tanh(), 1), products(1)):
        lower, upper = np.full(2, -0.6), np.full(2, 0.4)
        box = Box(lower[None], upper[None])
        bounds = encode(network, box, Form.EXACT).pre_activations
        one = Encoder(network, segments=1).encode(lower, upper, bounds, Form.EXACT).problem
        relaxed = Encoder(network).encode(lower, upper, bounds, Form.RELAXED).problem
        assert not one.integer.any()
        assert (one.matrix != relaxed.matrix).nnz == 0
        for part in ("lower", "upper", "row_lower", "row_upper"):
            np.testing.assert_array_equal(getattr(one, part), getattr(relaxed, part))


@pytest.mark.parametrize(
    "network", [curved(op.Sigmoid(), 2), products(2)], ids=["curve", "product"]
)
def test_without_integrality_it_is_no_wider_than_the_relaxation(network: Network) -> None:
    lower, upper = np.full(2, -0.6), np.full(2, 0.4)
    bounds = encode(network, Box(lower[None], upper[None]), Form.EXACT).pre_activations
    least = []
    for form, segments in ((Form.RELAXED, 8), (Form.EXACT, 2), (Form.EXACT, 4), (Form.EXACT, 8)):
        found = Encoder(network, segments=segments).encode(lower, upper, bounds, form)
        cost, shift = found.cost(np.array([1.0, -1.0]))
        solution = Highs(found.problem.relaxed()).minimise(cost, watch=Watch())
        assert solution.bound is not None
        least.append(solution.bound + shift)
    assert all(b >= a - 1e-7 for a, b in pairwise(least))


def test_cuts_have_binaries_that_know_their_neurons() -> None:
    builder = NetworkBuilder((3,))
    network = builder.build(builder.add(op.Sigmoid(), builder.input))
    box = Box(np.array([[-1.0, 0.5, 2.0]]), np.array([[1.0, 0.5, 3.0]]))
    live = network.map_arrays(lambda a: a)
    found = Encoder(live, segments=4).encode(
        box.lower[0], box.upper[0], {1: (box.lower[0], box.upper[0])}, Form.EXACT
    )
    assert sorted(found.owners.tolist()) == sorted([[1, 0]] * 3 + [[1, 2]] * 3)
    roles = {found.columns.role[i] for i in found.binaries}
    assert roles == {"passed1", "passed2", "passed3"}


def test_an_interval_on_which_a_curve_is_straight_takes_no_binary() -> None:
    for operator in (op.Tanh(), op.Sigmoid(), op.Softplus()):
        builder = NetworkBuilder((1,))
        network = builder.build(builder.add(operator, builder.input))
        box = Box(np.array([[30.0]]), np.array([[31.0]]))
        assert len(encode(network, box, Form.EXACT).binaries) == 0


def test_increments_of_curves_have_a_program() -> None:
    rng, builder = np.random.default_rng(0), NetworkBuilder((2,))
    pairs = builder.add(Reshape((3, 2)), builder.add(dense(rng, 6, 2), builder.input))
    node = builder.add(op.Increment(op.Tanh()), pairs)
    network = builder.build(builder.add(Affine(rng.normal(size=(1, 3))), node))
    box = Box(np.full((1, 2), -0.6), np.full((1, 2), 0.4))
    check_holds(network, box, encode(network, box, Form.EXACT))
    crown, milp = (compute_bounds(network, box, m) for m in (Crown(), Milp()))
    assert milp.inner is not None
    left = milp.outer.widths - milp.inner.widths
    assert bool((left <= 0.5 * (crown.outer.widths - milp.inner.widths)).all())


def test_programs_of_kinks_do_not_depend_on_segments() -> None:
    rng, builder = np.random.default_rng(0), NetworkBuilder((2,))
    node = builder.add(op.Relu(), builder.add(dense(rng, 5, 2), builder.input))
    network = builder.build(builder.add(dense(rng, 2, 5), node))
    lower, upper = np.full(2, -0.6), np.full(2, 0.4)
    bounds = encode(network, Box(lower[None], upper[None]), Form.EXACT).pre_activations
    one, many = (
        Encoder(network, segments=segments).encode(lower, upper, bounds, Form.EXACT)
        for segments in (1, 9)
    )
    assert (one.problem.matrix != many.problem.matrix).nnz == 0
    assert one.columns.role == many.columns.role
