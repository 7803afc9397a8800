"""Windows behind transposed convolutions, and windows that end at whole layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sensverify.bounds import (
    AlphaCrown,
    Crown,
    LpDual,
    compute_bounds,
    layerwise,
    neurons,
    tiles,
    window_plan,
)
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Add,
    Concat,
    ConvTranspose,
    Relu,
    Reshape,
)
from tests.bounds.test_proofs import assert_proves
from tests.bounds.test_windows import assert_agree, assert_windows_agree, both_ways, conv
from tests.contracts.networks import (
    Case,
    cases,
    channel_scale,
    convolutions,
    dense,
    elementwise,
    node_values,
    numbers,
    random_generators,
)
from tests.contracts.proof_values import ProofValues, claimed_values, proven_values

Draw = Callable[..., int]


@pytest.fixture(autouse=True)
def forgotten_plans() -> Iterator[None]:
    """Plans are cached, and the tests below change what makes one pay."""
    window_plan._plan.cache_clear()
    yield
    window_plan._plan.cache_clear()


def live(network: Network) -> Network:
    return tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))


def points_of(box: Box) -> torch.Tensor:
    """Points of every box, half of them corners: ``[points * batch, *shape]``."""
    rng = torch.Generator().manual_seed(0)
    share = torch.rand(30, *box.lower.shape, generator=rng, dtype=torch.float64)
    share[::2] = share[::2].round()
    inside = box.lower + share * box.widths
    return torch.minimum(torch.maximum(inside, box.lower), box.upper).flatten(0, 1)


@st.composite
def transposed(draw: Draw, channels: int, spatial: tuple[int, ...]) -> ConvTranspose:
    """Any stride, kernel, padding, dilation, output padding and groups whose output is small."""
    rng = draw(random_generators())
    group = draw(st.sampled_from([1, 1, channels]))
    axes = []
    for n in spatial:
        kernel, stride = draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 2, 3]))
        dilation = draw(st.sampled_from([1, 1, 2]))
        extra = draw(st.integers(0, max(stride, dilation) - 1))
        size = (n - 1) * stride + dilation * (kernel - 1) + extra + 1
        padding = draw(st.integers(0, min(2, (size - 1) // 2)))
        assume(size - 2 * padding <= 12)
        axes.append((kernel, stride, padding, extra, dilation))
    kernel, *others = zip(*axes, strict=True)
    per_group = draw(st.integers(1, 2))
    weight = numbers(rng, channels, per_group, *kernel)
    bias = numbers(rng, per_group * group) if draw(st.booleans()) else None
    return ConvTranspose(weight, bias, *others, group)


@st.composite
def decoders(draw: Draw) -> Network:
    """Transposed convolutions behind numbers or an image, among convolutions and connections."""
    rng = draw(random_generators())
    axes = draw(st.sampled_from([1, 2, 2]))
    spatial = tuple(draw(st.integers(1, 4)) for _ in range(axes))
    if draw(st.booleans()):
        builder = NetworkBuilder((3,))
        channels = draw(st.integers(1, 2))
        node = builder.add(dense(rng, channels * int(np.prod(spatial)), 3), builder.input)
        node = builder.add(Relu(), node) if draw(st.booleans()) else node
        node = builder.add(Reshape((channels, *spatial)), node)
    else:
        builder = NetworkBuilder((draw(st.integers(1, 2)), *spatial))
        node = builder.input
    for _ in range(draw(st.integers(1, 3))):
        shape = builder.shape(node)
        node = builder.add(draw(transposed(shape[0], shape[1:])), node)
        channels = builder.shape(node)[0]
        if draw(st.integers(0, 3)):
            node = builder.add(draw(elementwise(channels, axes + 1)), node)
        kind = draw(st.sampled_from(["none", "none", "conv", "residual", "joined", "scale"]))
        if kind == "scale":
            node = builder.add(channel_scale(rng, channels, axes + 1), node)
        elif kind == "conv":
            operator = draw(convolutions(channels, axes))
            reach = [
                d * (k - 1)
                for k, d in zip(operator.weight.shape[2:], operator.dilation, strict=True)
            ]
            pairs = zip(builder.shape(node)[1:], reach, operator.padding, strict=True)
            assume(all(n + 2 * p > r for n, r, p in pairs))
            node = builder.add(operator, node)
        elif kind != "none":
            branch = builder.add(draw(convolutions(channels, axes, keeps_size=True)), node)
            node = builder.add(Add() if kind == "residual" else Concat(0), branch, node)
    return builder.build(builder.add(Relu(), node))


@given(
    cases(decoders()),
    st.sampled_from([LpDual(), Crown()]),
    st.sampled_from([lambda *_: False, window_plan.is_matrix]),
)
@settings(max_examples=80, deadline=None)
def test_windows_agree_with_the_dense_pass(
    case: Case, method: LpDual | Crown, is_matrix: Callable[..., bool]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_plan, "is_matrix", is_matrix)
        dense, windowed, used = both_ways(case.network, case.box_of(torch.float64), method)
    assume(used)
    assert_agree(dense, windowed)


@given(cases(decoders()), st.booleans())
@settings(max_examples=25, deadline=None)
def test_neurons_through_windows_of_their_own_are_bounded(case: Case, alone: bool) -> None:
    """Open neurons, one end first: sound, and no worse than through whole images."""
    network, box = live(case.network), case.box_of(torch.float64)
    found = []
    values = [v.double() for v in node_values(case.network, points_of(box))]
    slack = 1e-11 * max(float(v.abs().max()) for v in values)
    for pays in (False, True):
        with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(window_plan, "_pays", lambda *_, pays=pays: pays)
            patch.setattr(window_plan.WindowPlan, "few", lambda *_: False)
            patch.setattr(layerwise, "_WORTH", 0)
            patch.setattr(neurons, "_ALONE_WINDOWS", 1.0 if alone else 0.0)
            patch.setattr(tiles, "tile_entries", lambda device: 300)
            found.append(LayerBounds(network, box, Crown.slope).fill().pre_activations)
    for position, (lower, upper) in found[1].items():
        (source,) = network.nodes[position].inputs
        value = values[source].unflatten(0, (-1, box.batch))
        assert bool((value >= lower - slack).all() & (value <= upper + slack).all())
        # Where ends are open they are those of the pass.
        open_by_both = [
            (low < -slack) & (high > slack) for low, high in (p[position] for p in found)
        ]
        both = open_by_both[0] & open_by_both[1]
        if isinstance(network.nodes[position].operator, Relu):
            assert torch.equal(*open_by_both)
        for one, other in zip(found[0][position], found[1][position], strict=True):
            torch.testing.assert_close(one[both], other[both], rtol=1e-10, atol=10 * slack)


@given(cases(decoders()))
@settings(max_examples=8, deadline=None)
def test_slopes_are_found_and_proven_through_windows(case: Case) -> None:
    """The evaluator of proofs, which knows no windows, finds the bounds claimed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_plan, "_pays", lambda *_: True)
        patch.setattr(layerwise, "interval_is_exact", lambda network, target: target == 0)
        method = AlphaCrown(steps=3, intermediate=AlphaCrown(steps=3))
        head = with_head(case.network)
        bounds = compute_bounds(head, case.box_of(torch.float64), method, proof=True)
    assert_proves(proven_values(head, bounds), claimed_values(bounds), at_least=False)
    assert ProofValues(head, bounds).hidden_slack() <= 1e-12


@given(cases(decoders()), st.sampled_from([LpDual(), Crown()]))
@settings(max_examples=12, deadline=None)
def test_gradients_are_those_of_the_dense_pass(case: Case, method: LpDual | Crown) -> None:
    gradients, used = [], []
    box = case.box_of(torch.float64)
    for pays in (False, True):
        network = live(case.network).map_arrays(
            lambda v: v.clone().requires_grad_() if v.is_floating_point() else v
        )
        weights = [v for _, v in network.arrays() if v.is_floating_point()]

        def plan_of(*of: object, pays: bool = pays) -> window_plan.WindowPlan | None:
            plan = window_plan.window_plan(*of) if pays else None
            used.extend([] if plan is None else [plan])
            return plan

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(window_plan, "_pays", lambda *_: True)
            patch.setattr(layerwise, "window_plan", plan_of)
            patch.setattr(layerwise, "interval_is_exact", lambda network, target: target == 0)
            # Some tiles are kept for the gradient, others computed again.
            patch.setattr(tiles, "_KEPT", {"cpu": 3000})
            ends = method.pre_activations(network, box)
        total = sum((high.sum() - 0.7 * low.sum()) for low, high in ends.values())
        gradients.append(torch.autograd.grad(total, weights, allow_unused=True))
    assume(used)
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            size = 1 + float(one.abs().max())
            assert float((one - other).abs().max()) <= 1e-10 * size


def generator(rng: np.random.Generator, *, latent: int = 5) -> Network:
    """Numbers to an image of 16x16 by two transposed convolutions, as generators are."""
    builder = NetworkBuilder((latent,))
    node = builder.add(Relu(), builder.add(dense(rng, 16 * 16, latent), builder.input))
    node = builder.add(Reshape((16, 4, 4)), node)
    for inputs, out in ((16, 8), (8, 4)):
        weight = numbers(rng, inputs, out, 4, 4, scale=0.2)
        layer = ConvTranspose(weight, numbers(rng, out), (2, 2), (1, 1), (0, 0), (1, 1))
        node = builder.add(Relu(), builder.add(layer, node))
    return builder.build(builder.add(conv(3, 4, 3, padding=1), node))


def test_a_generator_gets_plans() -> None:
    """Places of one phase share a window; numbers in front are rows of their matrix."""
    network = live(generator(np.random.default_rng(0)))
    targets = [p for p, n in enumerate(network.nodes) if isinstance(n.operator, ConvTranspose)]
    first, second = (window_plan.window_plan(network, target, 1000) for target in targets)
    assert first is not None
    assert second is not None
    assert (len(first.phases), len(second.phases)) == (4, 16)
    assert all(len(phase.places) == 16 for phase in (*first.phases, *second.phases))
    for plan in (first, second):
        places = np.concatenate([phase.places for phase in plan.phases])
        assert sorted(places) == list(range(plan.positions))
        assert all(phase.rows == {1} and phase.whole == {0: (5,)} for phase in plan.phases)
    # Every output of the second sees two places along an axis of the first, and those two or three.
    sizes = [[s for p, s in phase.sizes.items() if p > 3] for phase in second.phases]
    assert {size[0][1] for size in sizes} == {2}


def test_a_period_is_only_as_long_as_it_must_be() -> None:
    """Behind strides that undo those of transposed convolutions, all places see one window."""
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((2, 8, 8))
    weight = numbers(rng, 2, 2, 4, 4)
    up = ConvTranspose(weight, None, (2, 2), (1, 1), (0, 0), (1, 1))
    node = builder.add(Relu(), builder.add(up, builder.input))
    node = builder.add(conv(2, 2, 4, stride=2, padding=1), node)
    plan = window_plan._plan(window_plan.skeleton_of(live(builder.build(node)), node))
    assert plan is not None
    assert len(plan.sights) == 1
    node = builder.add(up, builder.add(Relu(), node))
    plan = window_plan._plan(window_plan.skeleton_of(live(builder.build(node)), node))
    assert plan is not None
    assert len(plan.sights) == 4


def test_numbers_and_an_image_may_meet() -> None:
    """Two branches, one of them from an image, end at whole layers that share the input."""
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((16,))
    image = builder.add(Reshape((1, 4, 4)), builder.input)
    numbers_in = builder.add(Relu(), builder.add(dense(rng, 18, 16), builder.input))
    small = builder.add(Reshape((2, 3, 3)), numbers_in)
    weight = numbers(rng, 2, 2, 2, 2)
    up = ConvTranspose(weight, numbers(rng, 2), (2, 2), (1, 1), (0, 0), (1, 1))
    node = builder.add(Concat(0), builder.add(up, small), builder.add(conv(1, 1, 1), image))
    node = builder.add(Relu(), builder.add(conv(3, 3, 3, padding=1), builder.add(Relu(), node)))
    # The input is seen at steps of one place by one branch, and through a matrix by the other.
    assert_windows_agree(builder.build(builder.add(Relu(), builder.add(conv(2, 3, 2), node))))


def with_head(network: Network) -> Network:
    """The network with two sums of its outputs behind it."""
    builder = NetworkBuilder(network.input_shape)
    for node in network.nodes[1:]:
        builder.add(node.operator, *node.inputs)
    size = int(np.prod(network.output_shape))
    flat = builder.add(Reshape((size,)), len(builder) - 1)
    return builder.build(builder.add(dense(np.random.default_rng(0), 2, size), flat))
