"""Recurrent layers and loops, written out, against onnxruntime."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from sensverify.errors import UnsupportedOperator
from tests.formats.onnx.test_composites import assert_contains
from tests.pairwise import pairwise

RNG = np.random.default_rng(0)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def floats(*shape):
    return (0.5 * RNG.normal(size=shape)).astype(np.float32)


def layer(operator, directions=1, size=2, inputs=3, **attributes):
    """The node and its constants; the sequence is ``s``."""
    rows = GATES[operator] * size
    constants = {
        "w": floats(directions, rows, inputs),
        "r": floats(directions, rows, size),
        "b": floats(directions, 2 * rows),
    }
    names = ["s", *constants, *attributes.pop("more", [])]
    if directions == 2:
        attributes["direction"] = "bidirectional"
    outputs = attributes.pop("outputs", ["y"])
    node = helper.make_node(operator, names, outputs, name="n", hidden_size=size, **attributes)
    return node, constants


SWAP = helper.make_node("Transpose", ["x"], ["s"], name="s", perm=[1, 0, 2])


@pairwise(
    operator=list(GATES),
    directions=[1, 2],
    output=["all", "last"],
    settings=[{}, {"clip": 0.3}, {"direction": "reverse"}],
)
def test_layers(operator, directions, output, settings, check_equal, make_model):
    if directions == 2:
        settings = {k: v for k, v in settings.items() if k != "direction"}
    outputs = ["y"] if output == "all" else ["", "y"]
    node, constants = layer(operator, directions, outputs=outputs, **settings)
    network = check_equal(make_model([SWAP, node], (1, 3, 3), constants))
    if operator != "RNN" and not settings:
        assert_contains(network)


@pytest.mark.parametrize("before", [0, 1])
def test_both_forms_of_a_gru(before, check_equal, make_model):
    node, constants = layer("GRU", linear_before_reset=before)
    check_equal(make_model([SWAP, node], (1, 4, 3), constants))


def test_a_cell_with_peepholes_and_a_state_to_begin_with(check_equal, make_model):
    node, constants = layer(
        "LSTM",
        more=["", "h", "c", "p"],
        outputs=["", "", "y"],
        activations=["Sigmoid", "Relu", "Tanh"],
    )
    constants |= {"h": floats(1, 1, 2), "c": floats(1, 1, 2), "p": floats(1, 6)}
    check_equal(make_model([SWAP, node], (1, 3, 3), constants))


def test_functions_that_are_not_known_are_refused(check_equal, make_model):
    node, constants = layer("RNN", activations=["Affine"])
    with pytest.raises(UnsupportedOperator, match="Affine"):
        check_equal(make_model([SWAP, node], (1, 3, 3), constants))


def info(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def test_a_loop_of_a_constant_length(check_equal, make_model):
    """``v <- relu(v W)`` three times, with every value kept."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["v", "w"], ["m"], name="m"),
            helper.make_node("Relu", ["m"], ["next"], name="next"),
            helper.make_node("Identity", ["go"], ["on"], name="on"),
            helper.make_node("Identity", ["next"], ["kept"], name="kept"),
        ],
        "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("v", 1, [1, 3])],
        [info("on", TensorProto.BOOL, []), info("next", 1, [1, 3]), info("kept", 1, [1, 3])],
    )
    nodes = [
        helper.make_node("Loop", ["count", "", "x"], ["last", "all"], name="loop", body=body),
        helper.make_node("ReduceSum", ["all", "axes"], ["sum"], name="sum", keepdims=0),
        helper.make_node("Add", ["last", "sum"], ["y"], name="y"),
    ]
    constants = {"count": np.array(3), "w": floats(3, 3), "axes": np.array([0])}
    network = check_equal(make_model(nodes, (1, 3), constants))
    assert sum("loop" in node.name or node.name in ("m", "next") for node in network.nodes)


def test_a_loop_that_the_input_ends_is_refused(check_equal, make_model):
    body = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["v"], ["t"], name="t", keepdims=0),
            helper.make_node("Greater", ["t", "zero"], ["on"], name="on"),
            helper.make_node("Relu", ["v"], ["next"], name="next"),
        ],
        "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("v", 1, [1, 3])],
        [info("on", TensorProto.BOOL, []), info("next", 1, [1, 3])],
        [numpy_helper.from_array(np.float32(0), "zero")],
    )
    node = helper.make_node("Loop", ["count", "", "x"], ["y"], name="loop", body=body)
    with pytest.raises(UnsupportedOperator):
        check_equal(make_model([node], (1, 3), {"count": np.array(3)}))


def test_a_scan(check_equal, make_model):
    body = helper.make_graph(
        [
            helper.make_node("Add", ["v", "row"], ["a"], name="a"),
            helper.make_node("Tanh", ["a"], ["next"], name="next"),
            helper.make_node("Neg", ["next"], ["out"], name="out"),
        ],
        "body",
        [info("v", 1, [3]), info("row", 1, [3])],
        [info("next", 1, [3]), info("out", 1, [3])],
    )
    nodes = [
        helper.make_node("Squeeze", ["x", "axes"], ["s"], name="s"),
        helper.make_node(
            "Scan", ["first", "s"], ["last", "y"], name="scan", body=body, num_scan_inputs=1
        ),
    ]
    check_equal(make_model(nodes, (1, 4, 3), {"first": floats(3), "axes": np.array([0])}))
