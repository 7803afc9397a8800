"""Neurons whose sign is known are skipped, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import tiles as module
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope
from sensverify.bounds.signs import Signs, signs_of, skips_known, stand_ins
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.errors import Unbounded
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Abs, Add, Affine, Conv, Elementwise, Relu, Reshape
from tests.contracts.attained import attained
from tests.contracts.networks import NETWORKS, Case, cases, mlps, node_values

CPU = torch.device("cpu")


def live(network: Network) -> Network:
    return tensor_network(network, dtype=torch.float64, device=CPU)


def parts_of(box: Box, count: int, seed: int) -> Box:
    """Random boxes inside the first of a batch."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, count, *box.shape)
    share = torch.rand(shape, generator=generator, dtype=torch.float64).sort(0).values
    low, high = box.lower[:1], box.upper[:1]
    ends = torch.minimum(torch.maximum(low + share * (high - low), low), high)
    return Box(ends[0], ends[1])


def known_on(network: Network, box: Box, count: int) -> tuple[LayerBounds, Signs]:
    layers = LayerBounds(network, box, Slope.ADAPTIVE).fill()
    signs = {p: s[:1].expand(count, *s.shape[1:]) for p, s in layers.signs().items()}
    return layers, signs


def assert_sound(network: Network, box: Box, layers: LayerBounds, signs: Signs) -> None:
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(40, *box.lower.shape, generator=generator, dtype=torch.float64)
    share[::2] = share[::2].round()
    points = torch.minimum(torch.maximum(box.lower + share * box.widths, box.lower), box.upper)
    values = node_values(network, points.flatten(0, 1))
    slack = 1e-11 * max(float(v.abs().max()) for v in values)
    for position, (low, high) in layers.pre_activations.items():
        value = values[network.nodes[position].inputs[0]].reshape(40, *low.shape)
        assert bool((value >= low - slack).all() & (value <= high + slack).all())
        if position in signs:
            sign = signs[position]
            assert bool((low[sign > 0] >= -slack).all() & (high[sign < 0] <= slack).all())
            assert bool(torch.isfinite(low[sign == 0]).all())
            assert bool(torch.isfinite(high[sign == 0]).all())


@given(
    cases(st.one_of(mlps(relu_only=True), *NETWORKS.values())),
    st.integers(0, 2**31),
    st.sampled_from([1, 3, 512]),
)
@settings(max_examples=40)
def test_bounds_on_parts_of_a_box_are_sound(case: Case, seed: int, tile: int) -> None:
    network, box = live(case.network), case.box_of(torch.float64)
    parts = parts_of(box, 6, seed)
    _, signs = known_on(network, box, 6)
    before = module._TILE_BOXES
    module._TILE_BOXES = tile
    try:
        layers = LayerBounds(network, parts, Slope.ADAPTIVE).fill(signs=signs)
    finally:
        module._TILE_BOXES = before
    assert_sound(network, parts, layers, signs)
    # Objectives are not looser for what was skipped: a known sign can only help.
    rows = torch.eye(case.outputs, dtype=torch.float64).unsqueeze(0)
    low, high = layers.objective_bounds(rows)
    share = attained(case.network, parts)
    assert bool((low <= share[0].amin(0) + 1e-11 * share[1]).all())
    assert bool((high >= share[0].amax(0) - 1e-11 * share[1]).all())


def deep(activation: Elementwise | None = None, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((2,))
    node = builder.input
    for size in (6, 6, 6):
        before = builder.shape(node)[0]
        node = builder.add(Affine(rng.normal(size=(size, before)), rng.normal(size=size)), node)
        other = None if activation is None else builder.add(activation, node)
        node = builder.add(Relu(), node)
        node = node if other is None else builder.add(Add(), node, other)
    return live(builder.build(builder.add(Affine(rng.normal(size=(2, 6))), node)))


def test_without_known_signs_every_neuron_is_bounded_as_before() -> None:
    network = deep()
    box = Box(*(sign * torch.ones(3, 2, dtype=torch.float64) for sign in (-1, 1)))
    plain = LayerBounds(network, box, Slope.ADAPTIVE).fill()
    nothing = {p: torch.zeros_like(s) for p, s in plain.signs().items()}
    again = LayerBounds(network, box, Slope.ADAPTIVE).fill(signs=nothing)
    for position, ends in plain.pre_activations.items():
        for one, other in zip(ends, again.pre_activations[position], strict=True):
            torch.testing.assert_close(one, other)


def test_known_signs_on_the_same_box_change_nothing_for_objectives() -> None:
    network = deep()
    box = Box(*(sign * torch.ones(3, 2, dtype=torch.float64) for sign in (-1, 1)))
    plain = LayerBounds(network, box, Slope.ADAPTIVE).fill()
    again = LayerBounds(network, box, Slope.ADAPTIVE).fill(signs=plain.signs())
    rows = torch.eye(2, dtype=torch.float64).unsqueeze(0)
    for one, other in zip(plain.objective_bounds(rows), again.objective_bounds(rows), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("order", ["relu first", "abs first"])
def test_a_neighbour_that_is_no_relu_gets_its_bounds(order: str) -> None:
    """Both read one `Affine`: the sign of a neuron says too little for `Abs`."""
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((2,))
    node = builder.add(Affine(rng.normal(size=(5, 2)), rng.normal(size=5)), builder.input)
    node = builder.add(Affine(rng.normal(size=(5, 5)), None), builder.add(Relu(), node))
    kinds: list[Elementwise] = [Relu(), Abs()] if order == "relu first" else [Abs(), Relu()]
    node = builder.add(Add(), *(builder.add(kind, node) for kind in kinds))
    network = live(builder.build(node))
    box = Box(*(sign * torch.ones(1, 2, dtype=torch.float64) for sign in (-1, 1)))
    _, signs = known_on(network, box, 4)
    parts = parts_of(box, 4, 0)
    assert_sound(
        network, parts, LayerBounds(network, parts, Slope.ADAPTIVE).fill(signs=signs), signs
    )


@pytest.mark.parametrize("order", ["relu alone", "relu first", "abs first"])
def test_known_signs_stay_where_bounds_on_a_part_are_looser(order: str) -> None:
    """CROWN's bounds on a part of a box need not lie inside those on the box."""
    weight = np.array([[0.13335703, -0.14011836], [0.6792708, 0.11126338]]).reshape(2, 2, 1, 1)
    convolution = Conv(weight, None, (1, 1), (0, 0), (1, 1), 1)
    builder = NetworkBuilder((2, 1, 1))
    node = builder.add(Relu(), builder.add(convolution, builder.input))
    node = builder.add(convolution, node)
    kinds: list[Elementwise] = [Abs(), Relu()] if order == "abs first" else [Relu(), Abs()]
    kinds = kinds[:1] if order == "relu alone" else kinds
    readers = [builder.add(kind, node) for kind in kinds]
    network = live(builder.build(builder.add(Add(), *readers) if readers[1:] else readers[0]))

    def ends(*rows: list[float]) -> Box:
        return Box(*torch.tensor(rows, dtype=torch.float64).reshape(2, 1, 2, 1, 1))

    box = ends([-1.15384173, -0.51528817], [0.71625835, 0.9556784])
    part = ends([-0.67299615, -0.40492963], [0.70926141, 0.23921583])
    _, signs = known_on(network, box, 1)
    (last,) = (p for p in signs if network.nodes[p].inputs[0] == node)
    alone = LayerBounds(network, part, Slope.ADAPTIVE).fill()
    assert bool((alone.pre_activations[last][0][signs[last] > 0] < -0.1).any())
    assert_sound(network, part, LayerBounds(network, part, Slope.ADAPTIVE).fill(signs=signs), signs)


def test_what_can_be_skipped() -> None:
    network = deep()
    relus = [p for p, n in enumerate(network.nodes) if isinstance(n.operator, Relu)]
    signs = {p: torch.zeros(1, 6, dtype=torch.int8) for p in relus}
    assert all(skips_known(network, p, signs) for p in relus)
    assert not skips_known(network, relus[0], {})
    shared = deep(Abs())
    relus = [p for p, n in enumerate(shared.nodes) if isinstance(n.operator, Relu)]
    signs = {p: torch.zeros(1, 6, dtype=torch.int8) for p in relus}
    assert not any(skips_known(shared, p, signs) for p in relus)
    builder = NetworkBuilder((1, 3, 3))
    node = builder.add(Conv(np.ones((1, 1, 2, 2)), None, (1, 1), (0, 0), (1, 1), 1), builder.input)
    node = builder.add(Reshape((4,)), builder.add(Relu(), node))
    convolution = live(builder.build(node))
    assert not skips_known(convolution, 2, {2: torch.zeros(1, 1, 2, 2, dtype=torch.int8)})


def test_signs_say_what_bounds_prove() -> None:
    network = deep()
    first = next(p for p, n in enumerate(network.nodes) if isinstance(n.operator, Relu))
    nan, inf = float("nan"), float("inf")
    lower = torch.tensor([[0.0, -1.0, -inf, nan, 0.0, 1e-300]])
    upper = torch.tensor([[inf, 0.0, -1.0, 1.0, 0.0, 1.0]])
    found = signs_of(network, {first: (lower, upper)})[first]
    assert found.dtype == torch.int8
    assert found.tolist() == [[1, -1, -1, 0, 0, int(float(lower[0, 5]) >= 0)]]


def test_stand_ins_keep_signs() -> None:
    inf = float("inf")
    lower, upper = stand_ins(torch.tensor([0.0, -inf, -2.0]), torch.tensor([inf, 0.0, 3.0]))
    assert lower.tolist() == [0, -1, -2]
    assert upper.tolist() == [1, 0, 3]


def test_a_bound_that_is_no_number_is_refused() -> None:
    """Weights that overflow in a later layer, where only some neurons are open."""
    builder = NetworkBuilder((1,))
    node = builder.add(Affine(np.array([[1e200], [1.0]]), None), builder.input)
    node = builder.add(
        Affine(np.array([[1e200, 0.0], [0.0, 1.0]]), None), builder.add(Relu(), node)
    )
    network = live(builder.build(builder.add(Relu(), node)))
    box = Box(*(sign * torch.ones(1, 1, dtype=torch.float64) for sign in (-1, 1)))
    signs = {2: torch.zeros(1, 2, dtype=torch.int8), 4: torch.tensor([[0, 1]], dtype=torch.int8)}
    with pytest.raises(Unbounded):
        LayerBounds(network, box, Slope.ADAPTIVE).fill(signs=signs)
