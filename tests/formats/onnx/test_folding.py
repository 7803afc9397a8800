"""Nodes that read constants alone: onnxruntime's values, whatever the operator."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sensverify.errors import BadModelFile, UnsupportedOperator
from sensverify.formats.onnx import load_onnx

RNG = np.random.default_rng(0)
W = RNG.uniform(0.5, 2, size=(4, 3)).astype(np.float32)
SIGNED = (W * RNG.choice([-1, 1], size=W.shape)).astype(np.float32)
BYTES = np.array([[1, 2, -3], [4, 5, 6]], np.int8)
TRUE = np.array([True, False, True, True])

EXACT = [
    ("OneHot", [np.array([1, 0, 2]), np.array(3), np.array([0.3, 1.7], np.float32)], {}),
    ("EyeLike", [SIGNED], {"k": 1}),
    ("EyeLike", [np.zeros((3, 4), np.int64)], {"dtype": TensorProto.FLOAT}),
    ("NonZero", [np.array([[1, 0], [2, 3]], np.float32)], {}),
    ("CumSum", [np.array([[1, 0], [2, 3]]), np.array(0)], {"reverse": 1, "exclusive": 1}),
    ("ReduceProd", [np.array([[1, 2], [2, 3]])], {"axes": [1]}),
    ("ReduceSum", [np.array([[1, 2], [2, 3]])], {}),
    ("ReduceMax", [SIGNED], {"axes": [1]}),
    ("Compress", [SIGNED, TRUE], {"axis": 0}),
    ("Trilu", [SIGNED], {}),
    ("ArgMax", [SIGNED], {}),
    ("Unique", [np.array([3.5, 1, 3.5], np.float32)], {}),
    ("MaxPool", [SIGNED.reshape(1, 1, 4, 3)], {"kernel_shape": [2, 2]}),
    ("Pad", [SIGNED, np.array([1, 0, 0, 1])], {}),
    ("Range", [np.array(0), np.array(7), np.array(2)], {}),
    ("GatherND", [SIGNED, np.array([[0, 1], [2, 2]])], {}),
    ("ScatterND", [SIGNED, np.array([[0, 1]]), np.array([5], np.float32)], {}),
    ("ReverseSequence", [SIGNED, np.array([1, 2, 3])], {}),
    ("Clip", [SIGNED, np.float32(0), np.float32(1)], {}),
    ("Relu", [SIGNED], {}),
    ("Sqrt", [W], {}),
    ("Pow", [np.array([2, 3]), np.array(2)], {}),
    ("DequantizeLinear", [BYTES, np.float32(0.1), np.int8(3)], {}),
    (
        "DequantizeLinear",
        [BYTES, np.array([0.1, 0.3], np.float32), np.array([3, 0], np.int8)],
        {"axis": 0},
    ),
    ("DequantizeLinear", [BYTES.astype(np.int32), np.float32(0.1)], {}),
    ("Cast", [np.array([127.9, -0.9], np.float32)], {"to": TensorProto.UINT8}),
    ("Cast", [np.array([300, -5])], {"to": TensorProto.UINT8}),
    ("Mod", [np.array([7, -7]), np.array([3, 3])], {}),
]
INEXACT = [
    ("CumSum", [SIGNED, np.array(1)], {}),
    ("ReduceProd", [SIGNED], {}),
    ("ReduceL2", [SIGNED], {"axes": [1]}),
    ("ReduceLogSumExp", [SIGNED], {}),
    ("Softmax", [SIGNED], {}),
    ("LogSoftmax", [SIGNED], {}),
    ("Softplus", [SIGNED], {}),
    ("Erf", [SIGNED], {}),
    ("Exp", [SIGNED], {}),
    ("Log", [W], {}),
    ("Pow", [W, np.float32(1.5)], {}),
    ("Tanh", [SIGNED], {}),
    ("LeakyRelu", [SIGNED], {}),
    ("Einsum", [SIGNED, W], {"equation": "ij,ij->i"}),
    ("MatMul", [SIGNED, W.T.copy()], {}),
    ("Gemm", [SIGNED, W], {"transB": 1, "alpha": 0.3}),
    ("Conv", [RNG.normal(size=(1, 2, 5, 5)), RNG.normal(size=(3, 2, 3, 3))], {}),
    ("LayerNormalization", [SIGNED, np.ones(3, np.float32)], {}),
    ("QuantizeLinear", [SIGNED, np.float32(0.1), np.int8(3)], {}),
    ("Range", [np.float32(0), np.float32(1), np.float32(0.3)], {}),
    ("HannWindow", [np.array(5)], {}),
    ("Cast", [np.array([1e20], np.float32)], {"to": TensorProto.INT32}),
    (
        "Resize",
        [np.ones((1, 1, 2, 2), np.float32), np.zeros(0, np.float32), np.float32([1, 1, 2, 2])],
        {"mode": "linear"},
    ),
]


def names(cases):
    return [f"{i}-{case[0]}" for i, case in enumerate(cases)]


@pytest.fixture
def folded(make_model):
    """A model of ``x + k[0, 0, ...]``, where an operator makes k of constants."""

    def make(operator, arrays, attributes, *, opset=17):
        arrays = [np.float32(a) if a.dtype == np.float64 else a for a in map(np.asarray, arrays)]
        stored = {f"a{i}": array for i, array in enumerate(arrays)}
        nodes = [
            helper.make_node(operator, list(stored), ["k"], name="node", **attributes),
            helper.make_node("Cast", ["k"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["f", "row"], ["r"]),
            helper.make_node("Transpose", ["r"], ["t"]),
            helper.make_node("Add", ["x", "t"], ["y"]),
        ]
        return make_model(nodes, (1, 1), stored | {"row": np.array([1, -1])}, opset=opset)

    return make


@pytest.mark.parametrize("case", EXACT, ids=names(EXACT))
def test_what_every_runtime_computes_alike(case, folded, check_equal):
    check_equal(folded(*case), stored=case[0] not in ("DequantizeLinear", "Sqrt"))


@pytest.mark.parametrize("case", INEXACT, ids=names(INEXACT))
def test_what_runtimes_round_in_their_own_way(case, folded, check_equal):
    """As onnxruntime does it; refused where weights are wanted exactly."""
    check_equal(folded(*case), exact=False)


def test_blockwise_weights(folded, check_equal):
    scales = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)
    values = np.array([[1, 2, -3, 5], [4, 5, 6, 9]], np.int8)
    case = ("DequantizeLinear", [values, scales], {"axis": 1, "block_size": 2})
    check_equal(folded(*case, opset=21), stored=False)


@pytest.mark.parametrize("element", [TensorProto.INT4, TensorProto.UINT4, TensorProto.INT8])
def test_quantized_weights(element, make_model, check_equal, save):
    """One multiplication in the type of the scale, for every weight."""
    first = 0 if element == TensorProto.UINT4 else -6
    values = np.arange(first, first + 12).reshape(3, 4)
    scale = np.array([0.1, 0.2, 0.3], np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=0),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    model = make_model(nodes, (1, 3), {"s": scale}, opset=21)
    model.graph.initializer.append(helper.make_tensor("q", element, [3, 4], values.reshape(-1)))
    model.ir_version = 10
    check_equal(model, stored=False)
    (affine,) = load_onnx(save(model), simplified=False).nodes[1:]
    expected = values.astype(np.float32) * scale[:, None]
    np.testing.assert_array_equal(affine.operator.weight.T, expected)


def test_weight_norm(make_model, check_equal):
    nodes = [
        helper.make_node("ReduceL2", ["v"], ["n"], axes=[1], keepdims=1),
        helper.make_node("Div", ["v", "n"], ["d"]),
        helper.make_node("Mul", ["d", "g"], ["w"]),
        helper.make_node("Gemm", ["x", "w"], ["y"], transB=1),
    ]
    check_equal(make_model(nodes, (1, 3), {"v": SIGNED, "g": W[:, :1].copy()}), exact=False)


@pytest.mark.parametrize("operator", ["RandomNormalLike", "Bernoulli"])
def test_random_numbers_are_refused(operator, folded, save):
    with pytest.raises(UnsupportedOperator, match="random"):
        load_onnx(save(folded(operator, [W / 4], {})))


def test_a_loop_without_an_end_is_refused(make_model, save):
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["v", "v"], ["u"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("d", TensorProto.BOOL, []),
            helper.make_tensor_value_info("u", TensorProto.FLOAT, [1]),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["n", "t", "k"], ["w"], body=body),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ]
    stored = {"n": np.array(2**62), "t": np.array(True), "k": np.ones(1, np.float32)}
    with pytest.raises(UnsupportedOperator, match=r"operator Loop .*more than 1000 steps"):
        load_onnx(save(make_model(nodes, (1, 1), stored)))


HUGE = [
    ("OneHot", [np.arange(2**10), np.array(2**30), np.array([0.0, 1.0], np.float32)], {}),
    ("Range", [np.array(0), np.array(2**40), np.array(1)], {}),
    ("CenterCropPad", [np.ones((2, 2), np.float32), np.array([2**20, 2**20])], {}),
    ("HannWindow", [np.array(2**31 - 1)], {}),
    ("Pad", [np.ones(2, np.float32), np.array([2**31, 0])], {}),
]


@pytest.mark.parametrize("case", HUGE, ids=names(HUGE))
def test_sizes_are_counted_before_they_are_computed(case, save):
    operator, arrays, attributes = case
    stored = {f"a{i}": array for i, array in enumerate(arrays)}
    nodes = [
        helper.make_node(operator, list(stored), ["k"], name="node", **attributes),
        helper.make_node("Shape", ["k"], ["s"]),
        helper.make_node("ReduceProd", ["s"], ["n"], keepdims=0),
        helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "test",
        [info("x", TensorProto.FLOAT, (1, 1))],
        [info("y", TensorProto.FLOAT, (1, 1))],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    with pytest.raises(BadModelFile, match=r"asks for arrays|cannot"):
        load_onnx(save(model))


def test_a_cast_beyond_the_integers_is_no_exact_weight(folded, save):
    path = save(folded("Cast", [np.array([np.inf], np.float32)], {"to": TensorProto.INT8}))
    with pytest.raises(UnsupportedOperator, match=r"Cast \(node 'node'\).*integer type"):
        load_onnx(path, simplified=False)
