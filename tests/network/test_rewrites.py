"""Every rewrite keeps every output, on random networks and on the cases it is made for."""

import numpy as np
import pytest
import torch
from hypothesis import given, note, settings
from hypothesis import strategies as st

from sensverify.bounds.forward import apply
from sensverify.errors import BadShape
from sensverify.network import REWRITES, NetworkBuilder, simplify
from sensverify.network.operators import (
    Add,
    Affine,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Divide,
    Input,
    Pad,
    Permute,
    Relu,
    Reshape,
    Scale,
    Select,
)


def run(network, x):
    """The network's outputs, node by node, with none of the rewrites that `evaluate` does."""
    network = network.map_arrays(torch.as_tensor)
    values = [x]
    for node in network.nodes[1:]:
        values.append(apply(node.operator, *(values[i] for i in node.inputs)))
    return values[-1]


def entries(network, x):
    """The nonlinear nodes' names, and all that enters them."""
    network = network.map_arrays(torch.as_tensor)
    values, names, found = [x], [], []
    for node in network.nodes[1:]:
        inputs = [values[i] for i in node.inputs]
        values.append(apply(node.operator, *inputs))
        if isinstance(node.operator, Relu):
            names.append(node.name)
            found.append(inputs[0].reshape(len(x), -1))
    return names, torch.cat([x.new_zeros(len(x), 1), *found], dim=1)


def assert_equal_outputs(before, after):
    assert isinstance(after.nodes[0].operator, Input)
    assert after.input_shape == before.input_shape
    assert after.output_shape == before.output_shape
    assert not after.consumers[-1]
    x = torch.randn(3, *before.input_shape, dtype=torch.float64)
    assert_close(run(after, x), run(before, x))


def assert_close(found, expected):
    tolerance = 1e-10 * (1 + float(expected.detach().abs().max()))
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def kinds(network):
    return [type(node.operator).__name__ for node in network.nodes[1:]]


def random_scale(rng, shape):
    """A scale, a shift or both (or neither), each broadcasting to the shape in a random way."""

    def values():
        axes = [n if rng.random() < 0.4 else 1 for n in shape]
        return rng.normal(size=axes[rng.integers(len(axes) + 1) :])

    return Scale(values() if rng.random() < 0.7 else None, values() if rng.random() < 0.7 else None)


def random_division(rng, shape):
    axes = [n if rng.random() < 0.4 else 1 for n in shape]
    axes = axes[rng.integers(len(axes) + 1) :]
    return Divide(rng.uniform(0.5, 2, axes) * rng.choice([-1, 1], axes))


def random_conv(rng, channels, dimensions):
    groups = int(rng.choice([g for g in (1, 2, 3) if channels % g == 0]))
    kernel = tuple(int(k) for k in rng.integers(1, 4, size=dimensions))
    out = groups * int(rng.integers(1, 3))
    bias = rng.normal(size=out) if rng.random() < 0.5 else None
    ones = (1,) * dimensions
    if rng.random() < 0.5:
        weight = rng.normal(size=(out, channels // groups, *kernel))
        return Conv(weight, bias, ones, tuple(k // 2 for k in kernel), ones, groups)
    weight = rng.normal(size=(channels, out // groups, *kernel))
    zeros = (0,) * dimensions
    return ConvTranspose(
        weight, bias, ones, tuple((k - 1) // 2 for k in kernel), zeros, ones, groups
    )


def random_operator(rng, builder, position):
    """An operator that fits the shape at a position, with the positions it reads."""
    shape = builder.shape(position)
    size = int(np.prod(shape))
    choice = rng.integers(12)
    inputs = (position,)
    if choice <= 1:
        operator = random_scale(rng, shape)
    elif choice == 2 and 2 <= len(shape) <= 4:
        operator = random_conv(rng, shape[0], len(shape) - 1)
    elif choice == 3:
        rows = int(rng.integers(1, 5))
        bias = rng.normal(size=rows) if rng.random() < 0.5 else None
        operator = Affine(rng.normal(size=(rows, shape[-1])), bias)
    elif choice == 4:
        weight, bias, mean = rng.normal(size=(3, shape[0]))
        variance = rng.uniform(0.5, 2, size=shape[0])
        operator = BatchNorm(weight, bias if rng.random() < 0.5 else None, mean, variance, 1e-5)
    elif choice == 5:
        options = [(size,), (1, size), shape, (*shape, 1), (1, *shape)]
        if len(shape) > 1:
            options.append((shape[0], size // shape[0]))
        operator = Reshape(options[rng.integers(len(options))])
    elif choice == 6:
        operator = Permute(tuple(int(a) for a in rng.permutation(len(shape))))
    elif choice == 7:
        indices = np.arange(size).reshape(shape)
        if rng.random() < 0.5:
            indices = rng.integers(size, size=(2, 3))
        operator = Select(indices)
    elif choice == 8:
        before, after = rng.integers(0, 2, size=(2, len(shape))) * int(rng.random() < 0.5)
        operator = Pad(tuple(map(int, before)), tuple(map(int, after)), float(rng.normal()))
    elif choice == 9:
        operator = Concat(0) if rng.random() < 0.5 else Add()
        same = [p for p in range(position + 1) if builder.shape(p) == shape]
        if isinstance(operator, Add) or rng.random() < 0.5:
            inputs = (position, int(rng.choice(same)))
    elif choice == 10:
        operator = random_division(rng, shape)
    else:
        operator = Relu()
    return operator, inputs


def random_network(rng):
    builder = NetworkBuilder([(4,), (2, 5), (2, 3, 4), (1, 1, 6)][rng.integers(4)])
    position = builder.input
    for _ in range(int(rng.integers(1, 9))):
        if rng.random() < 0.15:
            position = int(rng.integers(position + 1))
        if np.prod(builder.shape(position)) > 300 or len(builder.shape(position)) > 4:
            break
        operator, inputs = random_operator(rng, builder, position)
        position = builder.add(operator, *inputs)
    return builder.build(position)


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1))
def test_keeps_outputs_and_the_entries_of_nonlinear_nodes(seed):
    network = random_network(np.random.default_rng(seed))
    torch.manual_seed(seed)
    x = torch.randn(3, *network.input_shape, dtype=torch.float64)
    names, expected = entries(network, x)
    for rewrite in (*REWRITES, simplify):
        note(rewrite.__name__)
        rewritten = rewrite(network)
        assert_equal_outputs(network, rewritten)
        kept, found = entries(rewritten, x)
        assert kept == names
        assert_close(found, expected)


def test_a_second_pass_changes_nothing():
    for seed in range(50):
        once = simplify(random_network(np.random.default_rng(seed)))
        twice = simplify(once)
        assert twice.digest == simplify(twice).digest
        for rewrite in REWRITES:
            assert_equal_outputs(once, rewrite(once))
        assert_equal_outputs(once, twice)


def test_conv_batch_norm_becomes_one_convolution():
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((3, 6, 6))
    conv = Conv(rng.normal(size=(4, 3, 3, 3)), None, (1, 1), (1, 1), (1, 1))
    position = builder.add(conv, builder.input)
    weight, bias, mean = rng.normal(size=(3, 4))
    norm = BatchNorm(weight, bias, mean, rng.uniform(0.5, 2, 4), 1e-5)
    position = builder.add(norm, position)
    network = builder.build(builder.add(Relu(), position))
    assert kinds(simplify(network)) == ["Conv", "Relu"]
    assert_equal_outputs(network, simplify(network))


def test_conv_divide_becomes_one_convolution():
    builder = NetworkBuilder((2, 4, 4))
    conv = Conv(np.ones((2, 1, 2, 2)), None, (2, 2), (0, 0), (1, 1), 2)
    position = builder.add(conv, builder.input)
    network = builder.build(builder.add(Divide(np.float32(3.0)), position))
    (_, node) = simplify(network).nodes
    np.testing.assert_array_equal(node.operator.weight, np.full((2, 1, 2, 2), 1 / 3))
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(run(simplify(network), x), run(network, x))


def test_a_divisor_broadcasts_to_its_input():
    builder = NetworkBuilder((2, 3))
    with pytest.raises(BadShape, match=r"divisor of shape \(2,\) does not broadcast to \(2, 3\)"):
        builder.add(Divide(np.ones(2)), builder.input)


def test_a_scale_is_not_folded_into_what_others_read():
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((3,))
    hidden = builder.add(Affine(rng.normal(size=(3, 3))), builder.input)
    scaled = builder.add(Scale(rng.normal(size=3)), hidden)
    network = builder.build(builder.add(Add(), hidden, scaled))
    assert kinds(simplify(network)) == ["Affine", "Scale", "Add"]
    assert_equal_outputs(network, simplify(network))


def test_a_shift_in_front_of_a_division_stays():
    builder = NetworkBuilder((2,))
    shifted = builder.add(Scale(shift=np.array([-1e7, 0.0])), builder.input)
    network = builder.build(builder.add(Scale(scale=np.array([1e3, 1.0])), shifted))
    assert kinds(simplify(network)) == ["Scale", "Scale"]


def test_an_idle_network_is_its_input():
    builder = NetworkBuilder((2, 3))
    flat = builder.add(Reshape((6,)), builder.input)
    network = builder.build(builder.add(Reshape((2, 3)), flat))
    assert kinds(simplify(network)) == []


def test_folding_keeps_float64():
    """Bounds in float64 of float32 weights lose nothing to the import."""
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(5, 4)).astype(np.float32)
    scale = rng.normal(size=5).astype(np.float32)
    shift = rng.normal(size=5).astype(np.float32)
    builder = NetworkBuilder((4,))
    hidden = builder.add(Affine(weight, scale), builder.input)
    (_, node) = simplify(builder.build(builder.add(Scale(scale, shift), hidden))).nodes
    wide = scale.astype(np.float64)
    np.testing.assert_array_equal(node.operator.weight, weight * wide[:, None])
    np.testing.assert_array_equal(node.operator.bias, wide**2 + shift)


def test_batch_norm_keeps_float64():
    weight, bias, mean = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    variance = np.array([0.3, 0.7, 1.1, 2.3], np.float32)
    builder = NetworkBuilder((4,))
    norm = builder.add(BatchNorm(weight, bias, mean, variance, 1e-5), builder.input)
    (_, node) = simplify(builder.build(norm)).nodes
    exact = weight / np.sqrt(variance.astype(np.float64) + 1e-5)
    np.testing.assert_allclose(node.operator.scale, exact, rtol=1e-14)
    np.testing.assert_allclose(node.operator.shift, bias - mean * exact, rtol=1e-13)


def test_tensors_keep_their_gradients():
    torch.manual_seed(0)
    leaves = [torch.randn(4, requires_grad=True, dtype=torch.float64) for _ in range(4)]
    kernel = torch.randn(4, 3, 2, requires_grad=True, dtype=torch.float64)
    variance = torch.full((4,), 0.7, dtype=torch.float64)
    builder = NetworkBuilder((3, 5))
    conv = builder.add(Conv(kernel, leaves[0], (1,), (0,), (1,)), builder.input)
    norm = BatchNorm(leaves[1], leaves[2], torch.randn(4, dtype=torch.float64), variance, 1e-5)
    norm = builder.add(norm, conv)
    network = builder.build(builder.add(Divide(leaves[3].reshape(4, 1)), norm))
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    assert kinds(simplify(network)) == ["Conv"]
    gradients = [
        torch.autograd.grad(run(version, x).square().sum(), [kernel, *leaves])
        for version in (network, simplify(network))
    ]
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)
