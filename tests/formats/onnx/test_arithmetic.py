"""Arithmetic and functions of one number against onnxruntime."""

from itertools import product

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from sensverify.bounds import Ibp, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.errors import BadModelFile, UnsupportedOperator
from sensverify.formats.onnx import load_onnx
from tests.pairwise import pairwise

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


FORMS = [*product(["Add", "Sub", "Mul"], [True, False]), ("Div", True)]
"""Operators, and whether the constant is the second input."""


@pairwise(form=FORMS, shapes=SHAPES, opset=[7, 14])
def test_with_a_constant(form, shapes, opset, check_node):
    (operator, first), (shape, constant) = form, shapes
    check_node(operator, shape, floats(*constant), opset=opset, first=first)


@pytest.mark.parametrize(("shape", "constant"), SHAPES, ids=str)
def test_a_constant_over_a_variable(shape, constant, check_equal, make_model):
    nodes = [
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("Add", ["a", "half"], ["b"]),
        helper.make_node("Div", ["c", "b"], ["y"]),
    ]
    constants = {"c": floats(*constant), "half": np.full((), 0.5, np.float32)}
    for opset in (7, 14):
        check_equal(make_model(nodes, shape, constants, opset=opset))


@pairwise(
    operator=["Add", "Sub", "Max", "Min", "Sum", "Mean"],
    weight=[(4, 4), (4, 1)],
    swap=[False, True],
)
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
def test_several_inputs(operator, check_equal, make_model):
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node(operator, ["a", "c", "x", "d"], ["y"]),
    ]
    constants = {"c": floats(3, 1), "d": floats(2, 1, 1)}
    for opset in (8, 13):
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


@pytest.mark.parametrize("operator", ACTIVATIONS)
def test_activation(operator, check_node):
    for opset in (7, 13, 20):
        check_node(operator, (1, 3, 4), opset=opset)


FUNCTIONS = {
    "Atan": (7, 13, 22),
    "Ceil": (7, 13),
    "Celu": (12, 22),
    "Cos": (7, 22),
    "Elu": (7, 22),
    "Erf": (9, 13),
    "Exp": (7, 13),
    "Floor": (7, 13),
    "Gelu": (20,),
    "HardSwish": (14, 22),
    "Mish": (18, 22),
    "Round": (11, 22),
    "Selu": (7, 22),
    "Sign": (9, 13),
    "Sin": (7, 22),
    "Softplus": (7, 22),
    "Softsign": (7, 22),
    "ThresholdedRelu": (10, 22),
}
"""Functions of one number, and operator sets in which they changed."""


@pytest.mark.parametrize("operator", FUNCTIONS)
def test_functions_of_one_number(operator, check_node):
    for opset in FUNCTIONS[operator]:
        check_node(operator, (1, 3, 4), opset=opset)


@pytest.mark.parametrize("operator", ["Log", "Sqrt", "Reciprocal"])
def test_functions_of_numbers_above_zero(operator, check_equal, make_model):
    for opset in (7, 13):
        nodes = [
            helper.make_node("Abs", ["x"], ["a"]),
            helper.make_node("Add", ["a", "c"], ["b"]),
            helper.make_node(operator, ["b"], ["y"]),
        ]
        model = make_model(nodes, (1, 3, 4), {"c": np.full(1, 0.25, np.float32)}, opset=opset)
        check_equal(model)


def test_parameters_of_functions(check_node):
    check_node("Elu", (1, 3, 4), alpha=0.3)
    check_node("Elu", (1, 3, 4), alpha=1.75)
    check_node("Celu", (1, 3, 4), alpha=0.5)
    check_node("Selu", (1, 3, 4), alpha=1.5, gamma=2.0)
    check_node("Gelu", (1, 3, 4), opset=20, approximate="tanh")
    check_node("ThresholdedRelu", (1, 3, 4), alpha=0.4)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, 4.0, 2])
def test_powers(exponent, check_node):
    for opset in (7, 12, 15):
        kind = np.float32 if opset < 12 or isinstance(exponent, float) else np.int64
        check_node("Pow", (1, 3, 4), np.array(exponent, kind), opset=opset)
        check_node("Pow", (1, 3, 4), np.array([exponent], kind), opset=opset)


@pytest.mark.parametrize("exponent", [0.5, 1.5, -0.5, -1.0, -2.0])
def test_powers_of_numbers_above_zero(exponent, check_equal, make_model):
    nodes = [
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("Add", ["a", "c"], ["b"]),
        helper.make_node("Pow", ["b", "p"], ["y"]),
    ]
    constants = {"c": np.full(1, 0.25, np.float32), "p": np.array(exponent, np.float32)}
    check_equal(make_model(nodes, (1, 3, 4), constants))


@pytest.mark.parametrize("exponent", [0.0, [2.0, 3.0, 1.0, 2.0], [[3.0], [0.0], [2.0]]], ids=str)
@pytest.mark.parametrize("shape", [(1, 3, 4), (1, 1, 4)], ids=str)
def test_exponents_of_entries_and_zero(exponent, shape, check_node):
    check_node("Pow", shape, np.array(exponent, np.float32))


def test_an_exponent_that_depends_on_the_input_is_refused(save, make_model):
    nodes = [helper.make_node("Pow", ["p", "x"], ["y"])]
    with pytest.raises(UnsupportedOperator, match=r"Pow.*depends on the network's input"):
        load_onnx(save(make_model(nodes, (1, 2), {"p": np.array(2, np.float32)})))


def test_activation_parameters(check_node):
    check_node("LeakyRelu", (1, 3, 4), alpha=0.3)
    check_node("LeakyRelu", (1, 3, 4), alpha=-0.5)
    check_node("HardSigmoid", (1, 3, 4), alpha=0.4, beta=0.1)


@pytest.mark.parametrize("slope", [(), (1,), (4,), (3, 1, 1), (3, 2, 4), (1, 3, 1, 1)], ids=str)
def test_prelu(slope, check_node):
    for opset in (7, 9, 16):
        check_node("PRelu", (1, 3, 2, 4), floats(*slope), opset=opset)


ENDS = [(-1.0, 1.0), (0.0, 6.0), (0.0, None), (None, 0.5), (-1.0, None), (0.0, 3.4028235e38)]


@pytest.mark.parametrize("ends", ENDS, ids=str)
def test_clip(ends, check_node):
    given = {k: v for k, v in zip(("min", "max"), ends, strict=True) if v is not None}
    check_node("Clip", (1, 3, 4), opset=7, **given)
    constants = [None if end is None else np.float32(end) for end in ends]
    for opset in (11, 13):
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
    weight = helper.make_tensor("w", element, (2, 2), [0.5, -1.25, 3.0, 0.125])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", element, (1, 2))],
        [helper.make_tensor_value_info("y", element, (1, 2))],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    # onnxruntime multiplies no bfloat16.
    check = element != TensorProto.BFLOAT16
    stored = load_onnx(save(model), runtime_check=check).nodes[1].operator.weight
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored.T, [[0.5, -1.25], [3.0, 0.125]])


def test_a_value_divided_by_itself_is_refused(check_equal, make_model):
    nodes = [helper.make_node("Div", ["x", "x"], ["y"], name="one")]
    with pytest.raises(UnsupportedOperator, match=r"Div \(node 'one'\)"):
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


@pytest.mark.parametrize("operator", ["Max", "Min"])
def test_extremes_with_several_large_constants(operator, check_node):
    sign = -1 if operator == "Min" else 1
    constant = sign * np.array([-1e9, 0.5, -3e38, 1e9], np.float32)
    network = check_node(operator, (1, 3, 4), constant)
    x = np.random.default_rng(0).uniform(-2, 2, (5, 3, 4)).astype(np.float32)
    outer = compute_bounds(network, Box(x, x), Ibp()).outer
    function = np.minimum if operator == "Min" else np.maximum
    np.testing.assert_array_equal(outer.lower, function(x, constant).reshape(5, -1))
    np.testing.assert_array_equal(outer.upper, function(x, constant).reshape(5, -1))


def casts(make_model, element, target):
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], name="down", to=target),
        helper.make_node("Cast", ["a"], ["y"], to=element),
    ]
    return make_model(nodes, (1, 3), {}, element=element)


NARROWER = [
    (TensorProto.FLOAT, TensorProto.FLOAT16),
    (TensorProto.FLOAT, TensorProto.BFLOAT16),
    (TensorProto.FLOAT, TensorProto.FLOAT8E4M3FN),
    (TensorProto.DOUBLE, TensorProto.FLOAT),
    (TensorProto.FLOAT16, TensorProto.BFLOAT16),
    (TensorProto.BFLOAT16, TensorProto.FLOAT16),
]


@pytest.mark.parametrize(("element", "target"), NARROWER)
def test_a_cast_that_rounds_is_refused(element, target, make_model, save):
    with pytest.raises(UnsupportedOperator, match=r"Cast \(node 'down'\): a cast to "):
        load_onnx(save(casts(make_model, element, target), f"{element}-{target}.onnx"))


@pytest.mark.parametrize(
    ("element", "target"),
    [
        (TensorProto.FLOAT, TensorProto.DOUBLE),
        (TensorProto.FLOAT, TensorProto.FLOAT),
        (TensorProto.FLOAT16, TensorProto.FLOAT),
        (TensorProto.FLOAT16, TensorProto.FLOAT16),
    ],
)
def test_a_cast_that_holds_every_number_is_the_identity(element, target, make_model, save):
    assert len(load_onnx(save(casts(make_model, element, target))).nodes) == 1


@pytest.mark.parametrize("element", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_a_cast_of_a_constant_rounds(element, make_model, save):
    nodes = [
        helper.make_node("Cast", ["c"], ["a"], to=element),
        helper.make_node("Cast", ["a"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "b"], ["y"]),
    ]
    constant = np.array([[0.1, 1.0, 1 / 3]], np.float32)
    network = load_onnx(save(make_model(nodes, (1, 3), {"c": constant})))
    dtype = helper.tensor_dtype_to_np_dtype(element)
    rounded = constant.astype(dtype).astype(np.float32)
    assert (rounded != constant).any()
    assert forward_pass(network, torch.zeros(1, 3)).tolist() == rounded.tolist()


def test_a_cast_like_a_constant_is_refused(check_node):
    with pytest.raises(UnsupportedOperator, match="type of a constant"):
        check_node("CastLike", (1, 3), np.zeros(1, np.float16))


def test_folded_constants_keep_float64(make_model, save):
    """In float64, the answer is that of the file's weights in real arithmetic."""
    nodes = [
        helper.make_node("BatchNormalization", ["x", "w", "b", "m", "v"], ["n"], epsilon=0.0),
        helper.make_node("Div", ["n", "d"], ["q"]),
        helper.make_node("AveragePool", ["q"], ["y"], kernel_shape=[3]),
    ]
    arrays = {name: abs(floats(2)) for name in "wbmv"} | {"d": np.float32(0.7)}
    network = load_onnx(save(make_model(nodes, (1, 2, 3), arrays)))
    x = RNG.normal(size=(1, 2, 3))
    w, b, m, v = (arrays[name].astype(np.float64)[:, None] for name in "wbmv")
    expected = ((x - m) / np.sqrt(v) * w + b).mean(-1) / np.float64(arrays["d"])
    got = forward_pass(network, torch.from_numpy(x)).numpy().reshape(1, 2)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)
