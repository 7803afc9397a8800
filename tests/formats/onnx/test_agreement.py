"""A file that onnxruntime reads otherwise, or does not run, is refused; an honest one is not."""

import logging

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sensverify.certificates import StoredModel
from sensverify.errors import RuntimeDisagrees
from sensverify.formats.onnx import agreement, importer, load_onnx
from sensverify.formats.onnx.call import HANDLERS
from sensverify.formats.onnx.lowering import activated, scaled
from sensverify.network.operators import LeakyRelu
from tests.formats.onnx.conftest import build_model

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def chain():
    """Gemm, LeakyRelu, Gemm, Relu, Gemm, of which the last Relu is dead on every input."""
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["a"], name="first"),
        helper.make_node("LeakyRelu", ["a"], ["b"], name="bend", alpha=0.25),
        helper.make_node("Tanh", ["b"], ["c"], name="squash"),
        helper.make_node("Add", ["c", "low"], ["d"], name="shift"),
        helper.make_node("Relu", ["d"], ["e"], name="dead"),
        helper.make_node("Gemm", ["e", "w"], ["y"], name="last"),
    ]
    return build_model(nodes, (1, 3), {"w": floats(3, 3), "low": np.full(3, -9, np.float32)})


def wrong_slope(call):
    call.attribute("alpha")
    return activated(call, call.variable(0), LeakyRelu(np.array(0.26)))


def wrong_shift(call):
    return scaled(call, call.variable(0), shift=call.constant(1, "c") + 1e-3)


@pytest.mark.parametrize(
    ("operator", "handler", "name"),
    [("LeakyRelu", wrong_slope, "bend"), ("Add", wrong_shift, "shift")],
)
def test_the_first_node_that_differs_is_named(operator, handler, name, save, monkeypatch):
    """Though no output tells: they are all zero."""
    path = save(chain())
    monkeypatch.setitem(HANDLERS, operator, handler)
    for load in (load_onnx, StoredModel.read):
        with pytest.raises(RuntimeDisagrees, match=rf"{operator} \(node '{name}'\) means some"):
            load(path)
    assert load_onnx(path, runtime_check=False).output_shape == (3,)
    monkeypatch.undo()
    load_onnx(path)


def test_a_difference_names_values_and_attributes(save, monkeypatch):
    monkeypatch.setitem(HANDLERS, "LeakyRelu", wrong_slope)
    with pytest.raises(RuntimeDisagrees) as caught:
        load_onnx(save(chain()))
    message = str(caught.value)
    assert message.startswith("model.onnx: operator LeakyRelu (node 'bend')")
    for part in ("output 'b' is -", "there and -", "±", "(alpha=0.25)", "`runtime_check=False`"):
        assert part in message


def test_a_difference_of_constants_is_named(save, monkeypatch):
    nodes = [
        helper.make_node("Sqrt", ["c"], ["e"], name="power"),
        helper.make_node("Add", ["x", "e"], ["y"], name="sum"),
    ]
    path = save(build_model(nodes, (1, 3), {"c": abs(floats(3))}))
    load_onnx(path)
    importer._AGREED.clear()
    monkeypatch.setitem(HANDLERS, "Sqrt", lambda call: np.cbrt(call.constant(0, "c")))
    with pytest.raises(RuntimeDisagrees, match=r"Sqrt \(node 'power'\)"):
        load_onnx(path)


def test_a_rewrite_that_changes_the_network_is_found(save, monkeypatch):
    def spoiled(network):
        return simplify(network).map_arrays(lambda a: a * (1 + 1e-6))

    simplify = importer.simplify
    monkeypatch.setattr(importer, "simplify", spoiled)
    path = save(chain())
    with pytest.raises(RuntimeDisagrees, match="simplifying the network changed"):
        load_onnx(path)
    load_onnx(path, simplified=False)


def two_of_one_name():
    nodes = [helper.make_node("Relu", [a], [b], name="n") for a, b in ("xz", "zy")]
    return build_model(nodes, (1, 3))


def other_types():
    graph = build_model([helper.make_node("Add", ["x", "c"], ["y"])], (1, 3), {"c": floats(3)})
    graph.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones(3), "c"))
    return graph


def unused_of_nobody():
    model = build_model([helper.make_node("Relu", ["x"], ["y"])], (1, 3))
    model.graph.node.append(helper.make_node("Relu", ["x"], ["z"], domain="com.example"))
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


@pytest.mark.parametrize("make", [two_of_one_name, other_types, unused_of_nobody])
def test_what_onnxruntime_does_not_run_is_refused(make, save):
    path = save(make())
    with pytest.raises(RuntimeDisagrees, match="onnxruntime does not run the model: "):
        load_onnx(path)
    load_onnx(path, runtime_check=False)


def test_a_node_that_the_output_does_not_need_is_not_run(save):
    """This loop would take years."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["d"]),
            helper.make_node("Identity", ["v"], ["w"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [1, 3]),
        ],
        [
            helper.make_tensor_value_info("d", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 3]),
        ],
    )
    constants = {"n": np.array(2**62), "t": np.array(True)}
    model = build_model([helper.make_node("Relu", ["x"], ["y"])], (1, 3), constants)
    model.graph.node.append(helper.make_node("Loop", ["n", "t", "x"], ["z"], body=body))
    assert load_onnx(save(model)).output_shape == (3,)


@pytest.mark.parametrize("element", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_honest_files_with_numbers_that_cancel_or_overflow(element, save):
    """Differences of 1e7, sums beyond float16, products beyond float32."""
    dtype = helper.tensor_dtype_to_np_dtype(element)
    large = 1e4 if element == TensorProto.FLOAT16 else 1e7
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Add", ["h", "b"], ["g"]),
        helper.make_node("Relu", ["g"], ["r"]),
        helper.make_node("MatMul", ["r", "c"], ["s"]),
        helper.make_node("Mul", ["s", "k"], ["y"]),
    ]
    arrays = {
        "a": np.array([[large, large], [large, -large]]),
        "b": np.array([0.3, 0.0]),
        "c": np.array([[1.0, large], [-1.0, large]]),
        "k": np.array([large, large]),
    }
    constants = {name: values.astype(dtype) for name, values in arrays.items()}
    load_onnx(save(build_model(nodes, (1, 2), constants, element=element)))


def test_a_long_sum_of_honest_numbers(save):
    """Of which the last digits depend on the order."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    load_onnx(save(build_model(nodes, (1, 20_000), {"w": 1e3 * floats(20_000, 2)})))


def test_a_file_is_compared_once(save, monkeypatch):
    path = save(chain())
    load_onnx(path)

    def refuse(*arguments):
        raise AssertionError("compared again")

    monkeypatch.setattr(importer, "check_agreement", refuse)
    monkeypatch.setattr(importer, "check_rewritten", refuse)
    load_onnx(path)
    load_onnx(path, simplified=False)
    path.write_bytes(chain().SerializeToString())
    with pytest.raises(AssertionError, match="compared again"):
        load_onnx(path)


def test_of_a_large_network_a_line_is_said(save, monkeypatch, caplog):
    monkeypatch.setattr(agreement, "_LONG", 10)
    with caplog.at_level(logging.WARNING):
        load_onnx(save(chain()))
    (record,) = caplog.records
    assert "takes its time; `runtime_check=False`" in record.getMessage()
