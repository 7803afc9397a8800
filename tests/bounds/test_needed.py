"""Layers that are bounded neuron by neuron, or without a pass, lose nothing."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import (
    Crown,
    LpDual,
    compute_bounds,
    layerwise,
    neurons,
    tiles,
    window_plan,
)
from sensverify.bounds.ibp import nonlinear_nodes
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.needed import (
    crosses,
    kinks_that_matter,
    only_signs_matter,
    range_follows,
    ranges_matter,
)
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Abs,
    Affine,
    Clip,
    Conv,
    Elementwise,
    PiecewiseLinear,
    Relu,
    Reshape,
    Sigmoid,
)
from sensverify.runs.watch import Watch
from tests.contracts.attained import attained
from tests.contracts.networks import (
    Case,
    cases,
    conv_nets,
    max_pool,
    mlps,
    node_values,
    numbers,
    random_box,
    residual_nets,
)

NETS = st.one_of(mlps(relu_only=True), mlps(), conv_nets(), residual_nets())


def live(network: Network) -> Network:
    return tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))


def filled(
    network: Network, box: Box, method: Crown | LpDual, *, alone: bool, windows: bool = False
) -> LayerBounds:
    """Layers bounded neuron by neuron, all that have a sign to be found out; or as wholes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layerwise, "_WORTH", 0 if alone else inf)
        patch.setattr(neurons, "_ALONE_ROWS", 1.0)
        patch.setattr(neurons, "_ALONE_WINDOWS", 1.0)
        if windows:
            window_plan._plan.cache_clear()
            patch.setattr(window_plan, "_pays", lambda *_: True)
        layers = LayerBounds(network, box, method.slope).fill()
    window_plan._plan.cache_clear()
    return layers


@given(
    cases(NETS), st.sampled_from([Crown(), LpDual()]), st.booleans(), st.sampled_from([1, 3, 64])
)
@settings(max_examples=60)
def test_open_neurons_alone_are_bounded_as_in_their_layer(
    case: Case, method: Crown | LpDual, windows: bool, tile: int
) -> None:
    network, box = live(case.network), case.box_of(torch.float64)
    whole = filled(network, box, method, alone=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "_TILE_BOXES", tile)
        patch.setattr(tiles, "tile_entries", lambda device: 64 * tile)
        single = filled(network, box, method, alone=True, windows=windows)
    rng = torch.Generator().manual_seed(0)
    share = torch.rand(40, *box.lower.shape, generator=rng, dtype=torch.float64)
    share[::2] = share[::2].round()
    points = torch.minimum(torch.maximum(box.lower + share * box.widths, box.lower), box.upper)
    values = node_values(network, points.flatten(0, 1))
    slack = 1e-11 * max(float(v.abs().max()) for v in values)
    for position, (low, high) in single.pre_activations.items():
        source = network.nodes[position].inputs[0]
        value = values[source].reshape(40, *low.shape)
        assert bool((value >= low - slack).all() & (value <= high + slack).all())
    # Where intervals decide no more than the pass, nothing else changes.
    rows = torch.eye(case.outputs, dtype=torch.float64).unsqueeze(0)
    for ends in (whole.objective_bounds(rows), single.objective_bounds(rows)):
        share = attained(case.network, box)
        assert bool((ends[0] <= share[0].amin(0) + 1e-11 * share[1]).all())
        assert bool((ends[1] >= share[0].amax(0) - 1e-11 * share[1]).all())
    if where_neurons_are(whole) == where_neurons_are(single):
        for one, other in zip(
            whole.objective_bounds(rows), single.objective_bounds(rows), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def where_neurons_are(layers: LayerBounds) -> list[list[bool]]:
    """Sides of kinks that are possible, of all that enters functions linear between them."""
    found = []
    for position, (lower, upper) in layers.pre_activations.items():
        operator = layers.network.nodes[position].operator
        if isinstance(operator, PiecewiseLinear):
            sides = [end for kink in operator.kinks for end in (lower >= kink, upper <= kink)]
            found.append(torch.stack(sides).flatten().tolist())
    return found


def conv(out: int, inputs: int, kernel: int) -> Conv:
    rng = np.random.default_rng([out, inputs, kernel])
    values = numbers(rng, out, inputs, kernel, kernel, scale=0.5)
    return Conv(values, numbers(rng, out), (1, 1), (kernel // 2,) * 2, (1, 1))


def images(activation: Elementwise, *, pool: bool = False) -> Network:
    builder = NetworkBuilder((1, 4, 4))
    node = builder.add(Relu(), builder.add(conv(2, 1, 3), builder.input))
    node = builder.add(activation, builder.add(conv(2, 2, 3), node))
    node = max_pool(builder, node, 2, 2) if pool else node
    size = int(np.prod(builder.shape(node)))
    node = builder.add(Reshape((size,)), node)
    weight = numbers(np.random.default_rng(1), 3, size)
    return live(builder.build(builder.add(Affine(weight, None), node)))


def test_signs_are_enough_for_relus_alone() -> None:
    for activation, enough in ((Relu(), True), (Abs(), False), (Sigmoid(), False)):
        network = images(activation)
        first, second = (network.nodes[p].inputs[0] for p in nonlinear_nodes(network))
        assert only_signs_matter(network, first)
        assert only_signs_matter(network, second) is enough


def test_bounds_on_what_a_pool_reads_follow_from_those_in_front_of_the_function() -> None:
    for activation in (Relu(), Clip(-0.5, 0.5), Sigmoid()):
        network = images(activation, pool=True)
        first, second, pool = (network.nodes[p].inputs[0] for p in nonlinear_nodes(network))
        assert [ranges_matter(network, p) for p in (first, second, pool)] == [False, True, False]
        assert [range_follows(network, p) for p in (first, second, pool)] == [False, False, True]
        assert not only_signs_matter(network, second)


def test_kinks_matter_of_functions_that_are_linear_between_them() -> None:
    for activation, kinks in ((Clip(-1.0, 2.0), (-1.0, 2.0)), (Abs(), (0.0,)), (Sigmoid(), None)):
        network = images(activation, pool=True)
        first, second, pool = (network.nodes[p].inputs[0] for p in nonlinear_nodes(network))
        assert kinks_that_matter(network, first) == (0.0,)
        assert kinks_that_matter(network, second) == kinks
        assert kinks_that_matter(network, pool) is None


@pytest.mark.parametrize("worth", [0, inf])
@pytest.mark.parametrize("activation", [Relu(), Abs(), Sigmoid()], ids=repr)
def test_what_a_pool_reads_is_bounded_as_tightly_as_by_a_pass(
    activation: Elementwise, worth: float
) -> None:
    network = images(activation, pool=True)
    source = network.nodes[nonlinear_nodes(network)[2]].inputs[0]
    box = random_box(np.random.default_rng(3), (1, 4, 4), 5, 0.6)
    box = Box(torch.from_numpy(box.lower), torch.from_numpy(box.upper))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layerwise, "_WORTH", worth)
        layers = LayerBounds(network, box, Crown.slope).fill()
        with_pass = layers._node_bounds(source)
    lower, upper = layers.pre_activations[nonlinear_nodes(network)[2]]
    assert bool((lower >= with_pass[0] - 1e-12).all() & (upper <= with_pass[1] + 1e-12).all())
    points = box.lower + box.widths * torch.rand(300, 5, 1, 4, 4, dtype=torch.float64)
    values = node_values(network, points.flatten(0, 1))[source].reshape(300, *lower.shape)
    assert bool((values >= lower - 1e-12).all() & (values <= upper + 1e-12).all())


@pytest.mark.parametrize("activation", [Clip(-0.5, 0.5), Clip(-inf, 6.0), Abs()], ids=repr)
def test_neurons_between_kinks_are_left_to_intervals(activation: Elementwise) -> None:
    network = images(activation)
    box = Box(torch.full((1, 1, 4, 4), 0.2).double(), torch.full((1, 1, 4, 4), 0.25).double())
    second = nonlinear_nodes(network)[1]
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layerwise, "_WORTH", 0)
        of = neurons.Neurons.bounds
        patch.setattr(
            neurons.Neurons, "bounds", lambda self, chosen: asked.append(chosen) or of(self, chosen)
        )
        layers = LayerBounds(network, box, Crown.slope).fill()
    lower, upper = layers.pre_activations[second]
    assert not bool(asked[-1].all())
    points = torch.rand(500, 1, 4, 4, dtype=torch.float64) * 0.05 + 0.2
    values = node_values(network, points)[network.nodes[second].inputs[0]]
    assert bool((values >= lower - 1e-12).all() & (values <= upper + 1e-12).all())


def test_an_interval_that_overflowed_decides_nothing() -> None:
    nan = float("nan")
    lower = torch.tensor([0.0, -1.0, -1.0, 1.0, -inf, nan, nan, -2.0])
    upper = torch.tensor([1.0, 0.0, 1.0, inf, -1.0, nan, -1.0, -1.0])
    found = crosses(lower, upper, (0.0,))
    assert found.tolist() == [False, False, True, True, True, True, True, False]


@pytest.mark.parametrize("windows", [True, False])
def test_gradients_are_those_of_whole_layers(windows: bool) -> None:
    builder = NetworkBuilder((1, 6, 6))
    node = builder.add(Relu(), builder.add(conv(2, 1, 3), builder.input))
    node = builder.add(Relu(), builder.add(conv(2, 2, 3), node))
    node = builder.add(Reshape((72,)), node)
    weight = numbers(np.random.default_rng(1), 3, 72)
    network = live(builder.build(builder.add(Affine(weight, None), node)))
    box = random_box(np.random.default_rng(0), (1, 6, 6), 2, 0.05)
    box = Box(torch.from_numpy(box.lower), torch.from_numpy(box.upper))
    rows = torch.eye(3, dtype=torch.float64).unsqueeze(0)
    found = []
    for alone in (False, True):
        leaves: list[torch.Tensor] = []

        def leaf(values: torch.Tensor, leaves: list[torch.Tensor] = leaves) -> torch.Tensor:
            leaves.append(values.clone().requires_grad_())
            return leaves[-1]

        layers = filled(network.map_arrays(leaf), box, Crown(), alone=alone, windows=windows)
        lower, upper = layers.objective_bounds(rows)
        found.append(torch.autograd.grad((upper - lower).log().sum(), leaves[:4]))
    for one, other in zip(*found, strict=True):
        assert float(one.abs().max()) > 0
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_the_watch_is_asked_between_open_neurons() -> None:
    network = images(Relu(), pool=True)
    box = random_box(np.random.default_rng(0), (1, 4, 4), 2, 0.3)
    box = Box(torch.from_numpy(box.lower), torch.from_numpy(box.upper))
    whole = compute_bounds(network, box, Crown()).outer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layerwise, "_WORTH", 0)
        patch.setattr(neurons, "_ALONE_ROWS", 1.0)
        watch = Watch(seconds=0)
        layers = LayerBounds(network, box, Crown.slope, watch).fill()
    assert layers.cut_short
    lower, upper = layers.objective_bounds(torch.eye(3, dtype=torch.float64).unsqueeze(0))
    assert bool((lower <= torch.as_tensor(whole.lower) + 1e-12).all())
    assert bool((upper >= torch.as_tensor(whole.upper) - 1e-12).all())
