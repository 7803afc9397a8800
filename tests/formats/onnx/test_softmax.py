"""A softmax at the end of a file: left out where nothing but the order of outputs is asked for."""

import numpy as np
import pytest
import torch
from onnx import helper

from sensverify.bounds import forward_pass
from sensverify.errors import BadModelFile, RuntimeDisagrees, UnsupportedOperator
from sensverify.formats.onnx import importer, read_onnx, softmax
from sensverify.formats.onnx.call import HANDLERS
from sensverify.formats.onnx.lowering import rearranged
from tests.formats.onnx.conftest import session

W = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
ENDS = {
    "plain": ([helper.make_node("{}", ["z"], ["y"], axis=1)], 17),
    "old": ([helper.make_node("{}", ["z"], ["y"])], 11),
    "identity": (
        [helper.make_node("{}", ["z"], ["p"]), helper.make_node("Identity", ["p"], ["y"])],
        17,
    ),
    "flattened": (
        [
            helper.make_node("{}", ["z"], ["p"]),
            helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("Dropout", ["f"], ["y"]),
        ],
        13,
    ),
}


def model(make_model, kind, name):
    end, opset = ENDS[name]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"])]
    for node in end:
        copy = type(node)()
        copy.CopyFrom(node)
        copy.op_type = kind if node.op_type == "{}" else node.op_type
        nodes.append(copy)
    return make_model(nodes, (1, 4), {"w": W}, opset=opset)


@pytest.mark.parametrize("kind", softmax.SOFTMAX)
@pytest.mark.parametrize("name", sorted(ENDS))
def test_the_order_is_that_of_the_file(name, kind, make_model, save):
    made = model(make_model, kind, name)
    path = save(made)
    found = read_onnx(path, order_only=True)
    assert found.softmax == kind
    points = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    runner = session(made)
    theirs = np.stack([runner.run(None, {"x": x[None]})[0].reshape(-1) for x in points])
    ours = forward_pass(found.network, torch.from_numpy(points)).numpy()
    np.testing.assert_array_equal(ours.argsort(axis=1), theirs.argsort(axis=1))
    with pytest.raises(UnsupportedOperator, match="ends the network"):
        read_onnx(path)
    with pytest.raises(UnsupportedOperator, match="ends the network"):
        read_onnx(path, simplified=False)


def test_a_softmax_inside_is_refused(make_model, save):
    nodes = [
        helper.make_node("Softmax", ["x"], ["p"], name="inside"),
        helper.make_node("MatMul", ["p", "w"], ["y"]),
    ]
    with pytest.raises(UnsupportedOperator, match=r"Softmax \(node 'inside'\)"):
        read_onnx(save(make_model(nodes, (1, 4), {"w": W})), order_only=True)


def test_a_softmax_over_a_part_of_the_outputs_is_refused(make_model, save):
    nodes = [helper.make_node("Softmax", ["x"], ["y"], axis=2)]
    with pytest.raises(BadModelFile, match="3 of 6 outputs"):
        read_onnx(save(make_model(nodes, (1, 2, 3))), order_only=True)


def test_a_softmax_of_constants_is_no_end(make_model, save):
    nodes = [helper.make_node("Softmax", ["w"], ["y"], axis=1)]
    made = make_model(nodes, (1, 4), {"w": W[:1]})
    found = read_onnx(save(made), order_only=True)
    assert found.softmax is None
    expected = np.exp(W[0]) / np.exp(W[0]).sum()
    ours = forward_pass(found.network, torch.zeros(1, 4)).numpy()[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_what_enters_it_is_compared_with_onnxruntime(make_model, save, monkeypatch):
    """A reading of the softmax that turns the order is found."""

    def turned(call):
        return rearranged(call, softmax.softmax(call), lambda values: values[..., ::-1])

    monkeypatch.setitem(HANDLERS, "Softmax", turned)
    monkeypatch.setattr(importer, "_AGREED", set())
    with pytest.raises(RuntimeDisagrees, match="Softmax"):
        read_onnx(save(model(make_model, "Softmax", "plain")), order_only=True)
