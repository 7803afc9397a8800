"""Two networks as one: its values are theirs, and its bounds on the difference are narrow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import Crown, Ibp, compute_bounds, forward_pass, make_method
from sensverify.core.box import Box
from sensverify.errors import BadShape
from sensverify.network import Network, NetworkBuilder
from sensverify.network.joint import join
from sensverify.network.operators import (
    Abs,
    Affine,
    Clip,
    Concat,
    Conv,
    Exp,
    LeakyRelu,
    Max,
    Product,
    Reciprocal,
    Relu,
    Reshape,
    Scale,
    Select,
    Sigmoid,
    Tanh,
)
from tests.contracts.networks import NETWORKS, Case, cases, numbers

Layers = list[tuple[np.ndarray, np.ndarray]]


def layers_of(rng: np.random.Generator, *sizes: int) -> Layers:
    return [
        (numbers(rng, o, i, scale=1.4 / i**0.5).astype(np.float32),
         numbers(rng, o, scale=0.1).astype(np.float32))
        for i, o in pairwise(sizes)
    ]  # fmt: skip


def mlp(layers: Layers, function=Relu) -> Network:
    builder, node = NetworkBuilder((layers[0][0].shape[1],)), 0
    for i, (weight, bias) in enumerate(layers):
        node = builder.add(Affine(weight, bias), node)
        node = builder.add(function(), node) if i < len(layers) - 1 else node
    return builder.build(node)


def one_ulp(layers: Layers) -> Layers:
    return [(np.nextafter(w, np.float32(np.inf)), b) for w, b in layers]


def int8(layers: Layers) -> Layers:
    scales = [abs(w).max() / 127 for w, _ in layers]
    return [
        ((np.round(w / s) * s).astype(np.float32), b)
        for (w, b), s in zip(layers, scales, strict=True)
    ]


def permuted(rng: np.random.Generator, layers: Layers) -> Layers:
    layers = [(w.copy(), b.copy()) for w, b in layers]
    for i in range(len(layers) - 1):
        order = rng.permutation(len(layers[i][0]))
        layers[i] = layers[i][0][order], layers[i][1][order]
        layers[i + 1] = layers[i + 1][0][:, order], layers[i + 1][1]
    return layers


def widths(old: Network, new: Network, box: Box, *, pair: bool = True) -> np.ndarray:
    """Of the difference, by CROWN."""
    joint = join(old, new, pair=pair)
    assert joint.paired is pair
    rows = np.concatenate([np.zeros((joint.outputs,) * 2), np.eye(joint.outputs)], axis=1)[None]
    found = compute_bounds(joint.network, box, Crown(), rows, dtype="float64").outer
    return (found.upper - found.lower).numpy()


def changed(network: Network, rng: np.random.Generator, size: float) -> Network:
    """The same graph with other numbers."""

    def move(values: np.ndarray) -> np.ndarray:
        if values.dtype.kind != "f":
            return values
        return values + size * rng.normal(size=values.shape)

    return network.map_arrays(move)


def assert_joins(old: Network, new: Network, box: Box, rng: np.random.Generator) -> None:
    """Values are those of both, and bounds hold them."""
    for pair in (True, False):
        joint = join(old, new, pair=pair)
        x = rng.uniform(box.lower, box.upper, (40, *box.lower.shape))
        x[:8] = np.where(rng.random(x[:8].shape) < 0.5, box.lower, box.upper)
        flat = torch.from_numpy(x.reshape(-1, *old.input_shape))
        first, second = (forward_pass(each, flat).flatten(1) for each in (old, new))
        wanted = torch.cat([first, second - first], dim=1)
        size = 1 + wanted.abs().amax()
        assert torch.allclose(forward_pass(joint.network, flat), wanted, rtol=0, atol=1e-9 * size)
        for method in (Ibp(), Crown(), make_method("lp-dual")):
            found = compute_bounds(joint.network, box, method, dtype="float64").outer
            values = wanted.reshape(40, box.batch, -1)
            assert bool((found.lower <= values + 1e-9 * size).all()), (pair, method)
            assert bool((values <= found.upper + 1e-9 * size).all()), (pair, method)


@pytest.mark.parametrize("family", NETWORKS)
@given(data=st.data())
@settings(max_examples=10)
def test_the_joint_network_is_both(family: str, data: st.DataObject) -> None:
    case: Case = data.draw(cases(NETWORKS[family]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    size = data.draw(st.sampled_from([0.0, 1e-6, 0.1]))
    new = changed(case.network, rng, size)
    assert join(case.network, new).paired
    assert_joins(case.network, new, case.box, rng)


def test_gradient_found_inputs_stay_inside() -> None:
    rng = np.random.default_rng(0)
    layers = layers_of(rng, 6, 16, 16, 3)
    old, new = mlp(layers), mlp(int8(layers))
    center = rng.normal(size=(1, 6))
    box = Box(center - 0.2, center + 0.2)
    joint = join(old, new).network
    rows = np.concatenate([np.zeros((3, 3)), np.eye(3)], axis=1)[None]
    found = compute_bounds(joint, box, Crown(), rows, dtype="float64").outer
    lower, upper = torch.from_numpy(box.lower), torch.from_numpy(box.upper)
    for k in range(3):
        for sign in (1, -1):
            x = torch.from_numpy(rng.uniform(box.lower, box.upper, (16, 6))).requires_grad_()
            for _ in range(30):
                value = sign * (forward_pass(new, x) - forward_pass(old, x))[:, k]
                (slope,) = torch.autograd.grad(value.sum(), x)
                moved = torch.maximum(torch.minimum(x + 0.05 * slope.sign(), upper), lower)
                x = moved.detach().requires_grad_()
            value = (forward_pass(new, x) - forward_pass(old, x))[:, k]
            assert bool((found.lower[0, k] <= value + 1e-12).all())
            assert bool((value <= found.upper[0, k] + 1e-12).all())


@pytest.mark.parametrize("function", [Relu, Sigmoid, Tanh])
def test_one_ulp_is_far_narrower_than_both_apart(function: Callable[[], object]) -> None:
    layers = layers_of(np.random.default_rng(0), 10, 32, 32, 5)
    center = np.random.default_rng(1).random((2, 10))
    for radius in (0.01, 0.1):
        box = Box(center - radius, center + radius)
        old, new = mlp(layers, function), mlp(one_ulp(layers), function)
        narrow = widths(old, new, box)
        assert (100 * narrow <= widths(old, new, box, pair=False)).all()


def test_int8_weights_are_narrower_than_both_apart() -> None:
    layers = layers_of(np.random.default_rng(0), 10, 32, 32, 5)
    center = np.random.default_rng(1).random((2, 10))
    box = Box(center - 0.1, center + 0.1)
    old, new = mlp(layers), mlp(int8(layers))
    assert 10 * widths(old, new, box).mean() <= widths(old, new, box, pair=False).mean()


def test_a_permuted_copy_does_not_differ() -> None:
    rng = np.random.default_rng(0)
    layers = layers_of(rng, 10, 32, 32, 5)
    old, new = mlp(layers), mlp(permuted(rng, layers))
    joint = join(old, new)
    assert len(joint.permuted) == 2
    box = Box(np.full((1, 10), -3.0), np.full((1, 10), 3.0))
    assert (widths(old, new, box) == 0).all()


def test_a_permuted_and_changed_copy_is_matched() -> None:
    rng = np.random.default_rng(0)
    layers = layers_of(rng, 10, 32, 32, 5)
    center = rng.random((1, 10))
    box = Box(center - 0.1, center + 0.1)
    old, plain = mlp(layers), mlp(int8(layers))
    mixed = mlp(permuted(rng, int8(layers)))
    np.testing.assert_allclose(widths(old, mixed, box), widths(old, plain, box), rtol=1e-6)


def convolutional(rng: np.random.Generator, order: np.ndarray | None = None) -> Network:
    """Two convolutions, a pooling and a dense layer; channels of the first in another order."""
    one, two = numbers(rng, 6, 2, 3, 3), numbers(rng, 4, 6, 3, 3)
    bias, scale = numbers(rng, 6), numbers(rng, 6)
    last = numbers(rng, 3, 16)
    if order is not None:
        one, bias, two, scale = one[order], bias[order], two[:, order], scale[order]
    builder = NetworkBuilder((2, 8, 8))
    node = builder.add(Conv(one, bias, (1, 1), (0, 0), (1, 1)), 0)
    node = builder.add(Relu(), node)
    node = builder.add(Scale(scale.reshape(6, 1, 1), None), node)
    node = builder.add(Conv(two, None, (1, 1), (0, 0), (1, 1)), node)
    index = np.arange(4 * 16).reshape(4, 2, 2, 2, 2).transpose(0, 1, 3, 2, 4).reshape(4, 2, 2, 4)
    node = builder.add(Max(), builder.add(Select(index), node))
    node = builder.add(Reshape((16,)), builder.add(Relu(), node))
    return builder.build(builder.add(Affine(last, None), node))


def test_channels_are_matched() -> None:
    old = convolutional(np.random.default_rng(0))
    new = convolutional(np.random.default_rng(0), np.random.default_rng(1).permutation(6))
    box = Box(np.full((1, 2, 8, 8), -1.0), np.full((1, 2, 8, 8), 1.0))
    assert (widths(old, new, box) == 0).all()
    assert len(join(old, new).permuted) == 1


def test_pooling_of_changed_networks_stays_narrow() -> None:
    rng = np.random.default_rng(0)
    old = convolutional(rng)
    new = changed(old, np.random.default_rng(1), 1e-7)
    center = rng.random((1, 2, 8, 8))
    box = Box(center - 0.02, center + 0.02)
    assert (100 * widths(old, new, box) <= widths(old, new, box, pair=False)).all()
    assert_joins(old, new, box, rng)


def softmax_of(rng: np.random.Generator, change: float = 0.0) -> Network:
    """Products of values with the shares of a softmax, as attention has them."""
    weights = [numbers(rng, 4, 3), numbers(rng, 4, 3), numbers(rng, 2, 4)]
    weights = [w * (1 + change) for w in weights]
    builder = NetworkBuilder((3,))
    powers = builder.add(Exp(), builder.add(Affine(weights[0]), 0))
    total = builder.add(Reciprocal(), builder.add(Affine(np.ones((4, 4))), powers))

    def product(*pair: int) -> int:
        columns = [builder.add(Reshape((4, 1)), node) for node in pair]
        return builder.add(Product(), builder.add(Concat(1), *columns))

    values = builder.add(Affine(weights[1]), 0)
    return builder.build(builder.add(Affine(weights[2]), product(product(powers, total), values)))


@pytest.mark.parametrize("change", [1e-7, 0.01])
def test_products_and_reciprocals_are_paired(change: float) -> None:
    old, new = (softmax_of(np.random.default_rng(0), c) for c in (0.0, change))
    box = Box(np.full((1, 3), -0.2), np.full((1, 3), 0.2))
    joint = join(old, new)
    assert joint.paired
    assert joint.apart == ()
    assert_joins(old, new, box, np.random.default_rng(1))
    if change < 1e-3:
        assert (100 * widths(old, new, box) <= widths(old, new, box, pair=False)).all()


def test_other_structures_are_bounded_apart() -> None:
    rng = np.random.default_rng(0)
    old, new = mlp(layers_of(rng, 4, 8, 3)), mlp(layers_of(rng, 4, 8, 8, 3))
    joint = join(old, new)
    assert not joint.paired
    assert joint.apart
    box = Box(np.full((1, 4), -0.2), np.full((1, 4), 0.2))
    assert_joins(old, new, box, rng)


def test_operators_with_other_numbers_are_subtracted() -> None:
    """Ends of a clip, slopes of a leaky ReLU: the rest stays paired."""
    rng = np.random.default_rng(0)
    layers = layers_of(rng, 4, 8, 3)
    box = Box(np.full((1, 4), -0.5), np.full((1, 4), 0.5))
    old, new = (mlp(layers, lambda high=high: Clip(0.0, high)) for high in (0.5, 0.6))
    joint = join(old, new)
    assert joint.paired
    assert len(joint.apart) == 1
    assert_joins(old, new, box, rng)
    old, new = (mlp(layers, lambda s=s: LeakyRelu(np.array(s))) for s in (0.1, 0.1 + 1e-9))
    assert join(old, new).apart == ()
    assert_joins(old, new, box, rng)
    assert (widths(old, new, box) <= 1e-7).all()
    assert join(mlp(layers, Relu), mlp(layers, Abs)).paired is False


def test_differences_of_weights_are_exact() -> None:
    """What a difference of two numbers loses to rounding is a map of its own."""
    old, new = (mlp([(np.array([[value]]), np.zeros(1))]) for value in (1.0, 1e-20))
    joint = join(old, new).network
    x = torch.tensor([[1.0]], dtype=torch.float64)
    weights = [n.operator.weight for n in joint.nodes if isinstance(n.operator, Affine)]
    assert [float(w.item()) for w in weights] == [1.0, -1.0, 1e-20]
    assert forward_pass(joint, x).tolist() == [[1.0, -1.0]]


def test_shapes_have_to_agree() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(BadShape, match="inputs"):
        join(mlp(layers_of(rng, 4, 3)), mlp(layers_of(rng, 5, 3)))
    with pytest.raises(BadShape, match="outputs"):
        join(mlp(layers_of(rng, 4, 3)), mlp(layers_of(rng, 4, 2)))


def test_a_bias_may_be_missing_on_one_side() -> None:
    rng = np.random.default_rng(0)
    layers = layers_of(rng, 4, 8, 3)
    old = mlp(layers)
    nodes = [
        replace(n, operator=replace(n.operator, bias=None)) if isinstance(n.operator, Affine) else n
        for n in old.nodes
    ]
    new = Network(tuple(nodes))
    box = Box(np.full((1, 4), -0.2), np.full((1, 4), 0.2))
    assert join(old, new).paired
    assert_joins(old, new, box, rng)
    assert_joins(new, old, box, rng)
