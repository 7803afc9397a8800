"""Files with operators that are not known: run by onnxruntime, with their heads cut off."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from sensverify.bounds import Crown, Ibp, compute_bounds, forward_pass
from sensverify.bounds.rounding import slack
from sensverify.core.box import Box
from sensverify.errors import BackendFailure, BadModelFile, MissingRule, NotMeasured
from sensverify.formats.onnx import Ends
from sensverify.formats.onnx.opaque import read_opaque
from tests.formats.onnx.conftest import build_model, session

PEEL = Ends(head="peel")
RNG = np.random.default_rng(0)
W, ONE = (RNG.normal(size=(4, n)).astype(np.float32) for n in (3, 1))


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), [output], name=kind, **attributes)


EXP = node("Exp", "x", "e")
LOGITS = [EXP, node("MatMul", "e w", "z")]


def read(save, nodes, *, shape=("n", 4), output="z", ends=PEEL, **constants):
    model = build_model(nodes, list(shape), constants or {"w": W}, output=output)
    if nodes[-1].op_type == "ArgMax":
        model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    return read_opaque(save(model), ends=ends, reason="operator Exp: odd"), session(model)


@pytest.mark.parametrize("shape", [("n", 4), (1, 4), (8, 4)])
def test_outputs_are_those_of_the_file_for_any_number_of_samples(save, shape):
    found, runner = read(save, LOGITS, shape=shape)
    x = RNG.normal(size=(8, 4)).astype(np.float32)
    whole = x if shape[0] != 1 else None
    expected = (
        runner.run(None, {"x": x})[0]
        if whole is not None
        else np.concatenate([runner.run(None, {"x": each[None]})[0] for each in x])
    )
    assert found.network.input_shape == (4,)
    assert found.network.output_shape == (3,)
    for count in (1, 3, 8):
        outputs = forward_pass(found.network, torch.from_numpy(x[:count]))
        np.testing.assert_allclose(outputs.numpy(), expected[:count], rtol=1e-5, atol=1e-6)


def test_samples_are_run_one_by_one_where_they_would_change_each_other(save):
    nodes = [EXP, node("ReduceSum", "e axes", "s", keepdims=1), node("Div", "e s", "z")]
    found, runner = read(save, nodes, axes=np.array([0]))
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    outputs = forward_pass(found.network, torch.from_numpy(x))
    one = [runner.run(None, {"x": each[None]})[0][0] for each in x]
    np.testing.assert_allclose(outputs.numpy(), one, rtol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "operators", "size"),
    [
        ([node("Softmax", "z", "p")], ("Softmax",), 3),
        ([node("LogSoftmax", "z", "p")], ("LogSoftmax",), 3),
        ([node("ArgMax", "z", "p", axis=1)], ("ArgMax",), 3),
        ([node("Sigmoid", "z", "p")], None, 3),
    ],
)
def test_heads_are_cut_off_as_those_of_other_files(save, nodes, operators, size):
    found, runner = read(save, [*LOGITS, *nodes], output="p")
    x = RNG.normal(size=(5, 4)).astype(np.float32)
    outputs = forward_pass(found.network, torch.from_numpy(x)).numpy()
    assert outputs.shape == (5, size)
    theirs = runner.run(None, {"x": x})[0]
    if operators is None:
        assert found.head is None
        np.testing.assert_allclose(outputs, theirs, rtol=1e-5)
        return
    assert (found.head.operators, found.head.logits) == (operators, size)
    if operators == ("ArgMax",):
        assert (outputs.argmax(axis=1) == theirs.reshape(-1)).all()
        return
    logits = np.exp(x) @ W
    np.testing.assert_allclose(outputs, logits, rtol=1e-5)


def test_one_logit_becomes_two(save):
    nodes = [EXP, node("MatMul", "e one", "z"), node("Sigmoid", "z", "p")]
    found, runner = read(save, nodes, output="p", one=ONE)
    x = RNG.normal(size=(5, 4)).astype(np.float32)
    outputs = forward_pass(found.network, torch.from_numpy(x))
    theirs = runner.run(None, {"x": x})[0]
    np.testing.assert_allclose(outputs.softmax(dim=1)[:, 1:].numpy(), theirs, atol=1e-6)
    assert found.head.single


def test_nothing_is_bounded_and_gradients_are_refused_rather_than_zero(save):
    network = read(save, LOGITS)[0].network
    x = torch.zeros(1, 4)
    box = Box(x - 1, x + 1)
    for method in (Ibp(), Crown()):
        with pytest.raises(MissingRule, match="operator Exp: odd"):
            compute_bounds(network, box, method)
    with pytest.raises(NotMeasured, match="gradients"):
        forward_pass(network, x.requires_grad_())
    with torch.no_grad():
        forward_pass(network, x)
    assert torch.isinf(slack(network, box, torch.ones(1, 1, 3))).all()


def test_weights_are_counted(save):
    assert read(save, LOGITS)[0].network.parameters == W.size


def test_labels_alone_are_refused(save):
    nodes = [*LOGITS, node("Cast", "z", "label", to=TensorProto.INT64)]
    model = build_model(nodes, ["n", 4], {"w": W}, output="label", element=TensorProto.FLOAT)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(BadModelFile, match="label"):
        read_opaque(save(model), ends=PEEL, reason="")


def test_a_file_that_onnxruntime_does_not_run_is_refused(save):
    model = build_model([helper.make_node("Exp", ["x"], ["y"])], ["n", 4])
    model.graph.node[0].domain = "nowhere"
    model.opset_import.append(helper.make_opsetid("nowhere", 1))
    with pytest.raises(BackendFailure, match=r"model\.onnx: onnxruntime does not run"):
        read_opaque(save(model), ends=PEEL, reason="")


def test_several_inputs_and_outputs_of_a_file_that_is_only_run(save):
    model = build_model([helper.make_node("Exp", ["x"], ["y"])], ["n", 4])
    model.graph.node.append(helper.make_node("Mul", ["u", "u"], ["v"]))
    model.graph.input.append(helper.make_tensor_value_info("u", TensorProto.FLOAT, (1, 2)))
    model.graph.output.append(helper.make_tensor_value_info("v", TensorProto.FLOAT, (1, 2)))
    found = read_opaque(save(model), ends=Ends(), reason="odd")
    assert [(p.name, p.shape) for p in found.signature.outputs] == [("y", (1, 4)), ("v", (1, 2))]
    x = RNG.normal(size=(3, 6)).astype(np.float32)
    with torch.no_grad():
        outputs = forward_pass(found.network, torch.from_numpy(x)).numpy()
    wanted = np.concatenate([np.exp(x[:, :4]), x[:, 4:] ** 2], axis=1)
    np.testing.assert_allclose(outputs, wanted, rtol=1e-5)
