"""Softmax, normalisations, quotients and norms against onnxruntime."""

import numpy as np
import pytest
import torch
from onnx import helper

from sensverify.bounds import Crown, Ibp, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.errors import Unbounded, UnsupportedOperator
from sensverify.formats.onnx import load_onnx

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def assert_contains(network, low=-1.0, high=1.0):
    """Bounds of both kinds contain corners and samples."""
    rng = np.random.default_rng(1)
    middle = torch.from_numpy(rng.uniform(low, high, (2, *network.input_shape)))
    radius = torch.tensor([0.1, 0.4]).reshape(2, *(1,) * (middle.ndim - 1)).double()
    box = Box(middle - radius, middle + radius)
    share = torch.from_numpy(rng.uniform(size=(64, *middle.shape))).double()
    share[32:] = share[32:].round()
    points = box.lower + share * (box.upper - box.lower)
    values = forward_pass(network, points.flatten(0, 1)).reshape(64, 2, -1)
    for method in (Ibp(), Crown()):
        outer = compute_bounds(network, box, method).outer
        slack = 1e-9 * (1 + values.abs().amax())
        assert bool((values >= outer.lower - slack).all()), method
        assert bool((values <= outer.upper + slack).all()), method
        assert bool((outer.upper - outer.lower).isfinite().all())


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    ("shape", "axis", "opset"),
    [
        ((1, 4), 1, 13),
        ((1, 3, 4), -1, 17),
        ((1, 3, 4), 1, 13),
        ((1, 3, 4), 1, 11),
        ((1, 3, 1), 2, 13),
    ],
    ids=str,
)
def test_softmax_inside(operator, shape, axis, opset, check_equal, make_model):
    nodes = [
        helper.make_node(operator, ["x"], ["p"], axis=axis, name="p"),
        helper.make_node("Mul", ["p", "c"], ["y"], name="y"),
    ]
    network = check_equal(make_model(nodes, shape, {"c": floats(shape[-1])}, opset=opset))
    assert_contains(network)


def test_softmax_of_large_and_equal_shifts(make_model, save):
    """What all inputs have in common cancels: bounds are those of the differences."""
    nodes = [
        helper.make_node("Add", ["x", "c"], ["a"], name="a"),
        helper.make_node("Softmax", ["a"], ["p"], axis=1, name="p"),
        helper.make_node("Neg", ["p"], ["y"], name="y"),
    ]
    for shift in (0.0, 500.0):
        network = load_onnx(save(make_model(nodes, (1, 3), {"c": np.float32([shift])})))
        box = Box(*(torch.full((1, 3), end, dtype=torch.float64) for end in (-0.1, 0.1)))
        outer = compute_bounds(network, box, Ibp()).outer
        top = 1 / (1 + 2 * np.exp(-0.2))
        np.testing.assert_allclose(-outer.lower.numpy(), top, rtol=1e-12)


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("shift", [True, False])
def test_layer_normalization(axis, shift, check_node):
    shape = (1, 3, 4)
    rest = [floats(*shape[axis:])] * (2 if shift else 1)
    assert_contains(check_node("LayerNormalization", shape, *rest, axis=axis, epsilon=0.01))


def test_normalisation_by_root_mean_squares(check_node):
    network = check_node("RMSNormalization", (1, 3, 4), floats(4), opset=23, epsilon=0.01)
    assert_contains(network)


@pytest.mark.parametrize("shape", [(1, 2, 5), (1, 3, 2, 2)], ids=str)
def test_instance_normalization(shape, check_node):
    arrays = floats(shape[1]), floats(shape[1])
    assert_contains(check_node("InstanceNormalization", shape, *arrays, epsilon=0.1))


def test_group_normalization(check_node):
    settings = {"opset": 21, "num_groups": 2, "epsilon": 0.1}
    arrays = floats(4), floats(4)
    assert_contains(check_node("GroupNormalization", (1, 4, 3), *arrays, **settings))


def test_without_epsilon_it_may_divide_by_zero(check_node):
    with pytest.raises(UnsupportedOperator, match="epsilon above 0"):
        check_node("LayerNormalization", (1, 4), floats(4), epsilon=0.0)


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("operator", ["L2", "LogSumExp", "Prod", "SumSquare"])
def test_reductions(operator, opset, check_equal, make_model):
    if opset < 18:
        node = helper.make_node(f"Reduce{operator}", ["x"], ["y"], name="y", axes=[1], keepdims=0)
        constants = {}
    else:
        node = helper.make_node(f"Reduce{operator}", ["x", "axes"], ["y"], name="y")
        constants = {"axes": np.array([1, 2])}
    network = check_equal(make_model([node], (1, 3, 2), constants, opset=opset))
    if operator != "L2":
        assert_contains(network)


def test_logarithms_of_sums(check_equal, make_model):
    nodes = [
        helper.make_node("Exp", ["x"], ["a"], name="a"),
        helper.make_node("ReduceLogSum", ["a"], ["y"], name="y"),
    ]
    assert_contains(check_equal(make_model(nodes, (1, 5))))


@pytest.mark.parametrize("numerator", ["x", "c", "t"])
def test_quotients(numerator, check_equal, make_model):
    nodes = [
        helper.make_node("Exp", ["x"], ["e"], name="e"),
        helper.make_node("Add", ["e", "one"], ["d"], name="d"),
        helper.make_node("Neg", ["x"], ["t"], name="t"),
        helper.make_node("Div", [numerator, "d"], ["y"], name="y"),
    ]
    constants = {"c": floats(2, 3, 1), "one": np.float32([1])}
    assert_contains(check_equal(make_model(nodes, (1, 3, 4), constants)))


def test_a_divisor_that_may_be_zero_has_no_bounds(make_model, save):
    nodes = [
        helper.make_node("Add", ["x", "c"], ["d"], name="d"),
        helper.make_node("Div", ["x", "d"], ["y"], name="y"),
    ]
    network = load_onnx(save(make_model(nodes, (1, 2), {"c": np.float32([3])})), runtime_check=True)
    box = Box(torch.full((1, 2), -2.0).double(), torch.full((1, 2), 2.0).double())
    assert bool(compute_bounds(network, box, Crown()).outer.upper.isfinite().all())
    wide = Box(torch.full((1, 2), -4.0).double(), torch.full((1, 2), 4.0).double())
    for method in (Ibp(), Crown()):
        with pytest.raises(Unbounded):
            compute_bounds(network, wide, method)
