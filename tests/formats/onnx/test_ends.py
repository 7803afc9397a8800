"""The part of a file that is a network: chosen values, open lengths, integer inputs, batches."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from sensverify.bounds import forward_pass
from sensverify.errors import BadModelFile, RuntimeDisagrees, UnsupportedOperator
from sensverify.formats.onnx import Ends, load_onnx, read_onnx
from tests.formats.onnx.conftest import session

RNG = np.random.default_rng(3)
W = RNG.normal(size=(4, 3)).astype(np.float32)
K = RNG.normal(size=(2, 3, 3, 3)).astype(np.float32)
HEAD = RNG.normal(size=(2 * 4 * 4, 5)).astype(np.float32)
PEEL = Ends(head="peel")


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs, outputs, **attributes)


CONV = node("Conv", ["x", "k"], ["c"])
IMAGES = [
    CONV,
    node("Relu", ["c"], ["r"]),
    node("Reshape", ["r", "shape"], ["f"]),
    node("MatMul", ["f", "head"], ["y"]),
]


def constants(rows):
    return {"k": K, "head": HEAD, "shape": np.array([rows, 32])}


def outputs(network, x):
    return forward_pass(network, torch.from_numpy(np.asarray(x, np.float32))).numpy()


def test_lengths_that_are_left_open(make_model, save):
    made = make_model(IMAGES, ("n", 3, "height", "width"), constants(-1))
    path = save(made)
    with pytest.raises(BadModelFile) as caught:
        load_onnx(path)
    assert "(n, 3, height, width)" in caught.value.problem
    assert "`input_shape`" in caught.value.remedy
    x = RNG.normal(size=(2, 3, 6, 6)).astype(np.float32)
    theirs = session(made).run(None, {"x": x})[0]
    for shape in ((3, 6, 6), (1, 3, 6, 6)):
        found = load_onnx(path, input_shape=shape)
        assert found.input_shape == (3, 6, 6)
        np.testing.assert_allclose(outputs(found, x), theirs, rtol=1e-5, atol=1e-5)
    with pytest.raises(BadModelFile, match=r"\(4, 6, 6\) does not fit"):
        load_onnx(path, input_shape=(4, 6, 6))


def test_a_network_begins_and_ends_at_inner_values(make_model, save):
    path = save(make_model(IMAGES, (1, 3, 6, 6), constants(1)))
    found = load_onnx(path, input="r", output="f")
    assert (found.input_shape, found.output_shape) == ((2, 4, 4), (32,))
    whole, tail = load_onnx(path), load_onnx(path, input="r")
    x = RNG.normal(size=(1, 3, 6, 6)).astype(np.float32)
    inner = outputs(load_onnx(path, output="r"), x)
    np.testing.assert_allclose(outputs(tail, inner), outputs(whole, x), rtol=1e-5, atol=1e-5)
    with pytest.raises(BadModelFile, match="no value 'rr' for its input"):
        load_onnx(path, input="rr")


def test_one_of_two_inputs(make_model, save):
    """A network of one input; what the other one says has to come from it."""
    made = make_model(
        [
            node("MatMul", ["x", "w"], ["a"]),
            node("Relu", ["a"], ["r"]),
            node("Add", ["r", "b"], ["y"]),
        ],
        (1, 4),
        {"w": W},
    )
    made.graph.input.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, (1, 3)))
    path = save(made)
    assert load_onnx(path).input_shape == (7,)
    assert load_onnx(path, input="x", output="r").output_shape == (3,)
    with pytest.raises(BadModelFile, match="'b'"):
        load_onnx(path, input="x")


@pytest.mark.parametrize("kind", ["UINT8", "INT64"])
def test_integers_that_are_cast_are_real_numbers(kind, make_model, save):
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        node("Cast", ["t"], ["s"], to=TensorProto.FLOAT),
        node("Conv", ["s", "k"], ["c"]),
        *IMAGES[1:],
    ]
    element = TensorProto.DataType.Value(kind)
    made = make_model(nodes, (1, 6, 6, 3), constants(1), element=element)
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    found = read_onnx(save(made))
    assert found.integers == kind.lower()
    x = RNG.integers(0, 256, size=(1, 6, 6, 3))
    dtype = {"UINT8": np.uint8, "INT64": np.int64}[kind]
    theirs = session(made).run(None, {"x": x.astype(dtype)})[0]
    np.testing.assert_allclose(outputs(found.network, x), theirs, rtol=1e-4, atol=1e-3)


def test_integers_that_are_computed_with_are_refused(make_model, save):
    nodes = [
        node("Div", ["x", "two"], ["d"]),
        node("Cast", ["d"], ["s"], to=TensorProto.FLOAT),
        node("MatMul", ["s", "w"], ["y"]),
    ]
    made = make_model(nodes, (1, 4), {"w": W, "two": np.array(2)}, element=TensorProto.INT64)
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    with pytest.raises(BadModelFile, match="INT64"):
        read_onnx(save(made))


def test_a_batch_of_eight_is_eight_samples(make_model, save):
    made = make_model(
        [*IMAGES, node("Softmax", ["y"], ["p"], axis=1)], (8, 3, 6, 6), constants(8), output="p"
    )
    found = read_onnx(save(made), ends=PEEL)
    assert (found.batch, found.network.input_shape) == (8, (3, 6, 6))
    x = RNG.normal(size=(8, 3, 6, 6)).astype(np.float32)
    theirs = session(made).run(None, {"x": x})[0]
    ours = found.head.probabilities(outputs(found.network, x))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_shape_of_all_axes_has_no_batch(make_model, save):
    path = save(make_model([node("MatMul", ["x", "w"], ["y"])], (8, 4), {"w": W}))
    assert read_onnx(path, ends=PEEL).network.input_shape == (4,)
    whole = read_onnx(path, ends=Ends(shape=(8, 4), head="peel"))
    assert (whole.batch, whole.network.input_shape) == (1, (8, 4))


def test_a_reshape_by_a_constant_node_is_of_one_sample(make_model, save):
    shape = helper.make_tensor("value", TensorProto.INT64, [2], [8, -1])
    nodes = [
        node("Constant", [], ["shape"], value=shape),
        node("Reshape", ["x", "shape"], ["f"]),
        node("MatMul", ["f", "w"], ["y"]),
    ]
    path = save(make_model(nodes, (8, 2, 2), {"w": W}))
    found = read_onnx(path, ends=PEEL)
    assert (found.batch, found.network.input_shape, found.network.output_shape) == (8, (2, 2), (3,))


def test_samples_of_a_batch_that_meet_are_refused(make_model, save):
    """A file that subtracts the mean of the batch is no network of one sample."""
    nodes = [
        node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        node("Sub", ["x", "m"], ["d"]),
        node("MatMul", ["d", "w"], ["y"]),
    ]
    path = save(make_model(nodes, (8, 4), {"w": W}))
    with pytest.raises((RuntimeDisagrees, UnsupportedOperator, BadModelFile)):
        read_onnx(path, ends=PEEL)
    # As it stands, it is a network of 32 features.
    assert load_onnx(path).output_shape == (8, 3)
