"""Arithmetic and functions of one number against onnxruntime."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from sensverify.bounds import Ibp, compute_bounds
from sensverify.box import Box
from sensverify.errors import BadModelFile, UnsupportedOperator

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.uniform(0.5, 2, size=shape).astype(np.float32) * RNG.choice([-1, 1], size=shape)


def floats(*shape):
    return numbers(*shape).astype(np.float32)


SHAPES = [
    ((1, 3, 4), (3, 4)),
    ((1, 3, 4), (1, 3, 1)),
    ((1, 3, 4), (4,)),
    ((1, 3, 4), ()),
    ((1, 3, 4), (1,)),
    ((1, 3, 1), (1, 1, 4)),
    ((3, 4), (2, 1, 3, 4)),
    ((1, 4), (1, 1, 1, 4)),
    ((1, 1, 4), (3, 1)),
]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("opset", [7, 14])
@pytest.mark.parametrize(("shape", "constant"), SHAPES, ids=str)
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
def test_with_a_constant(operator, shape, constant, opset, first, check_node):
    if operator == "Div" and not first:
        with pytest.raises(UnsupportedOperator, match="divisor"):
            check_node(operator, shape, floats(*constant), opset=opset, first=False)
    else:
        check_node(operator, shape, floats(*constant), opset=opset, first=first)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("weight", [(4, 4), (4, 1)], ids=str)
@pytest.mark.parametrize("swap", [False, True])
def test_two_branches(operator, weight, swap, check_equal, make_model):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node(operator, ["x", "a"] if swap else ["a", "x"], ["y"]),
    ]
    check_equal(make_model(nodes, (1, 3, 4), {"w": floats(*weight)}))


@pytest.mark.parametrize("operator", ["Add", "Sub", "Max", "Min", "Sum"])
def test_a_value_with_itself(operator, check_equal, make_model):
    nodes = [helper.make_node(operator, ["x", "x"], ["y"])]
    network = check_equal(make_model(nodes, (1, 3), {}))
    assert all(len(set(node.inputs)) == len(node.inputs) for node in network.nodes)


@pytest.mark.parametrize("operator", ["Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("opset", [8, 13])
def test_several_inputs(operator, opset, check_equal, make_model):
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node(operator, ["a", "c", "x", "d"], ["y"]),
    ]
    constants = {"c": floats(3, 1), "d": floats(2, 1, 1)}
    check_equal(make_model(nodes, (1, 3, 4), constants, opset=opset))


@pytest.mark.parametrize("operator", ["Max", "Min", "Sum", "Mean"])
def test_one_input(operator, check_node):
    check_node(operator, (1, 3, 4))


@pytest.mark.parametrize("condition", [(3, 4), (3, 1), (1,), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("kinds", ["xa", "xc", "cx"])
def test_where_with_a_constant_condition(condition, kinds, check_equal, make_model):
    names = {"x": "x", "a": "a", "c": "c"}
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Where", ["m", *(names[k] for k in kinds)], ["y"]),
    ]
    mask = RNG.random(condition) < 0.5
    check_equal(make_model(nodes, (1, 3, 4), {"m": mask, "c": floats(1, 4)}))


ACTIVATIONS = ["Relu", "Abs", "Sigmoid", "Tanh", "Neg", "LeakyRelu", "HardSigmoid", "Identity"]


@pytest.mark.parametrize("opset", [7, 13, 20])
@pytest.mark.parametrize("operator", ACTIVATIONS)
def test_activation(operator, opset, check_node):
    check_node(operator, (1, 3, 4), opset=opset)


def test_activation_parameters(check_node):
    check_node("LeakyRelu", (1, 3, 4), alpha=0.3)
    check_node("LeakyRelu", (1, 3, 4), alpha=-0.5)
    check_node("HardSigmoid", (1, 3, 4), alpha=0.4, beta=0.1)


@pytest.mark.parametrize("opset", [7, 9, 16])
@pytest.mark.parametrize("slope", [(), (1,), (4,), (3, 1, 1), (3, 2, 4), (1, 3, 1, 1)], ids=str)
def test_prelu(slope, opset, check_node):
    check_node("PRelu", (1, 3, 2, 4), floats(*slope), opset=opset)


ENDS = [(-1.0, 1.0), (0.0, 6.0), (0.0, None), (None, 0.5), (-1.0, None), (0.0, 3.4028235e38)]


@pytest.mark.parametrize("ends", ENDS, ids=str)
@pytest.mark.parametrize("opset", [7, 11, 13])
def test_clip(ends, opset, check_node):
    if opset < 11:
        given = {k: v for k, v in zip(("min", "max"), ends, strict=True) if v is not None}
        check_node("Clip", (1, 3, 4), opset=opset, **given)
    else:
        constants = [None if end is None else np.float32(end) for end in ends]
        check_node("Clip", (1, 3, 4), *constants, opset=opset)


def test_clip_without_ends_is_the_identity(check_node):
    assert len(check_node("Clip", (1, 3)).nodes) == 1


def test_clip_with_crossed_ends(check_node):
    check_node("Clip", (1, 3), np.float32(1), np.float32(-1))


def test_double_precision(check_equal, make_model):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Tanh", ["h"], ["y"])]
    weight = RNG.normal(size=(3, 4))
    model = make_model(nodes, (1, 3), {"w": weight}, element=TensorProto.DOUBLE)
    network = check_equal(model, tolerance=1e-14)
    assert network.nodes[1].operator.weight.dtype == np.float64


@pytest.mark.parametrize("element", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_half_precision_is_widened(element, save):
    from sensverify.formats.onnx import load_onnx

    weight = helper.make_tensor("w", element, (2, 2), [0.5, -1.25, 3.0, 0.125])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", element, (1, 2))],
        [helper.make_tensor_value_info("y", element, (1, 2))],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    stored = load_onnx(save(model)).nodes[1].operator.weight
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored.T, [[0.5, -1.25], [3.0, 0.125]])


@pytest.mark.parametrize("operator", ["Mul", "Div", "MatMul"])
def test_two_variables_cannot_be_multiplied(operator, check_equal, make_model):
    nodes = [helper.make_node(operator, ["x", "x"], ["y"], name="square")]
    with pytest.raises(UnsupportedOperator, match=rf"{operator} \(node 'square'\)"):
        check_equal(make_model(nodes, (3, 3), {}))


def test_division_by_zero_is_refused(check_node):
    with pytest.raises(BadModelFile, match="division by zero"):
        check_node("Div", (1, 2), np.array([1, 0], np.float32))


@pytest.mark.parametrize("constant", [-3.4028235e38, -1e9, -1e4, 0.0, 0.5], ids=str)
@pytest.mark.parametrize("operator", ["Max", "Min"])
def test_extremes_with_a_large_constant(operator, constant, check_node):
    """Whatever is small beside the constant is kept: x - c + c would lose it."""
    constant = -constant if operator == "Min" else constant
    network = check_node(operator, (1, 3, 4), np.float32(constant))
    x = np.random.default_rng(0).uniform(-2, 2, (5, 3, 4)).astype(np.float32)
    function = np.minimum if operator == "Min" else np.maximum
    outer = compute_bounds(network, Box(x, x), Ibp()).outer
    np.testing.assert_allclose(outer.lower, function(x, np.float32(constant)).reshape(5, -1))


def test_several_constants_at_once(check_node):
    check_node("Max", (1, 3, 4), floats(3, 1))
