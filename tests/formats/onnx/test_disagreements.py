"""Readings on which runtimes disagree, or that none runs: each is refused with its own reason."""

from itertools import product

import numpy as np
import onnx
import pytest
from onnx import helper

from sensverify.errors import BadModelFile, RuntimeDisagrees, UnsupportedOperator
from sensverify.formats.onnx import load_onnx
from tests.formats.onnx.conftest import build_model, session
from tests.pairwise import pairwise

RNG = np.random.default_rng(0)
SAME = ("SAME_UPPER", "SAME_LOWER")


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def one(operator, shape, *constants, opset=17, first=True, **attributes):
    names = [f"c{i}" for i in range(len(constants))]
    inputs = ["x", *names] if first else [*names, "x"]
    node = helper.make_node(operator, inputs, ["y"], name="node", **attributes)
    return build_model([node], shape, dict(zip(names, constants, strict=True)), opset=opset)


def squeeze_of_nothing():
    """The shape that the definition says, and onnxruntime another one."""
    return one("Squeeze", (1, 2, 1), np.zeros(0, np.int64))


REFUSED = {
    "nothing squeezed": (squeeze_of_nothing, "empty list of axes"),
    "pool padded by its window": (
        lambda: one("MaxPool", (1, 1, 5), kernel_shape=[2], pads=[2, 0]),
        "as large as the window",
    ),
    "mean padded by its window": (
        lambda: one("AveragePool", (1, 1, 5), kernel_shape=[2], pads=[0, 3], count_include_pad=1),
        "as large as the window",
    ),
    "long reflection": (
        lambda: one("Pad", (1, 3), np.array([0, 3, 0, 0]), mode="reflect"),
        "reflect more",
    ),
    "reflection of one": (
        lambda: one("Pad", (1, 1), opset=10, pads=[0, 1, 0, 0], mode="reflect"),
        "reflect more",
    ),
    **{
        f"{operator} broadcast in 7": (
            lambda operator=operator: one(operator, (1, 2, 3), floats(3), opset=7),
            "not broadcast in operator set 7",
        )
        for operator in ("Sum", "Mean", "Min", "Max")
    },
    "pads twice": (
        lambda: one("Conv", (1, 1, 5), floats(1, 1, 2), auto_pad="VALID", pads=[1, 1]),
        "both pads and auto_pad",
    ),
    "empty interval": (lambda: one("Clip", (1, 3), opset=10, min=1.0, max=0.0), "cannot clip"),
    "negative axis of old": (lambda: one("Flatten", (1, 2, 3), opset=10, axis=-1), "axis -1"),
    "indices beside the input": (
        lambda: one("GatherElements", (1, 3), np.zeros((2, 1), np.int64), axis=1),
        "do not fit",
    ),
    "far output padding": (
        lambda: one(
            "ConvTranspose",
            (1, 1, 3),
            floats(1, 1, 2),
            strides=[2],
            dilations=[3],
            output_padding=[2],
            pads=[0, 2],
        ),
        "smaller than the stride",
    ),
    "other bias": (
        lambda: one("Gemm", (1, 3), floats(3, 2), floats(3), beta=0.0),
        "cannot be broadcast",
    ),
}


def gap(operator, opset, mode, kernel, stride, length):
    constants = [floats(1, 1, kernel)] if operator == "Conv" else []
    attributes = {"kernel_shape": [kernel], "strides": [stride], "auto_pad": mode}
    return one(operator, (1, 1, length), *constants, opset=opset, **attributes)


@pytest.mark.parametrize("name", REFUSED)
def test_each_is_refused_with_its_reason(name, save):
    """By the importer itself, whether it asks onnxruntime or not; and it does not run there."""
    make, reason = REFUSED[name]
    model = make()
    path = save(model)
    for check in (True, False):
        with pytest.raises((BadModelFile, UnsupportedOperator), match=reason) as caught:
            load_onnx(path, runtime_check=check)
        assert not isinstance(caught.value, RuntimeDisagrees)
    if make is not squeeze_of_nothing:
        (declared,) = model.graph.input
        shape = [d.dim_value for d in declared.type.tensor_type.shape.dim]
        with pytest.raises(Exception, match=r"\[ONNXRuntimeError\]|Error"):
            session(model).run(None, {"x": np.ones(shape, np.float32)})


def test_onnxruntime_squeezes_more_than_the_definition():
    (found,) = session(squeeze_of_nothing()).run(None, {"x": np.ones((1, 2, 1), np.float32)})
    assert found.shape == (2,)


@pairwise(operator=["Conv", "MaxPool", "AveragePool"], opset=[7, 18, 22], mode=SAME)
def test_windows_with_gaps(operator, opset, mode, save):
    """Read as by onnxruntime, or refused: which depends on the gap and on the operator."""
    refused = 0
    for kernel, stride, length in product((1, 2), (2, 3, 5), (2, 3, 4, 6)):
        path = save(gap(operator, opset, mode, kernel, stride, length))
        try:
            load_onnx(path, runtime_check=False)
        except UnsupportedOperator as error:
            assert "gaps" in str(error)  # noqa: PT017
            refused += 1
            assert kernel < stride
            continue
        except BadModelFile:
            continue
        load_onnx(path)
    assert refused > 3


def test_one_number_has_no_axis(check_equal):
    nodes = [helper.make_node("Gather", ["x", "i"], ["y"], axis=0)]
    network = check_equal(build_model(nodes, (3,), {"i": np.array(1)}))
    assert network.output_shape == ()


def test_two_nodes_of_one_name(save):
    nodes = [helper.make_node("Relu", [a], [b], name="n") for a, b in ("xz", "zy")]
    model = build_model(nodes, (1, 3))
    onnx.checker.check_model(model)
    with pytest.raises(RuntimeDisagrees, match="two nodes with same node name"):
        load_onnx(save(model))
