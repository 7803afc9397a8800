"""Files with several inputs and outputs, and with integers that choose rows of tables."""

from math import prod

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from sensverify.bounds import Crown, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.errors import BadModelFile
from sensverify.formats.onnx import Ends, load_onnx, read_onnx
from sensverify.formats.onnx.original import OriginalFile
from tests.formats.onnx.conftest import session

RNG = np.random.default_rng(5)


class Steering(nn.Module):
    """An image and a pose; a class and a box."""

    def __init__(self):
        super().__init__()
        self.conv, self.inner = nn.Conv2d(1, 2, 3), nn.Linear(2 * 4 * 4 + 3, 8)
        self.kind, self.place = nn.Linear(8, 3), nn.Linear(8, 2)

    def forward(self, image, pose):
        features = torch.relu(self.conv(image)).flatten(1)
        inner = torch.relu(self.inner(torch.cat([features, pose], 1)))
        return self.kind(inner), self.place(inner) + pose[:, :2]


class Words(nn.Module):
    """Tokens that choose rows of a table, beside plain numbers."""

    def __init__(self):
        super().__init__()
        self.table, self.inner, self.out = nn.Embedding(5, 4), nn.Linear(14, 6), nn.Linear(6, 2)

    def forward(self, tokens, x):
        return self.out(torch.relu(self.inner(torch.cat([self.table(tokens).flatten(1), x], 1))))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("exported")
    image, pose = torch.zeros(1, 1, 6, 6), torch.zeros(1, 3)
    tokens = torch.zeros(1, 3, dtype=torch.int64)
    steering, words = Steering().eval(), Words().eval()
    ends = {"input_names": ["image", "pose"], "output_names": ["kind", "place"]}
    found = {}
    for dynamo in (False, True):
        found["steering", dynamo] = folder / f"steering-{dynamo}.onnx"
        torch.onnx.export(steering, (image, pose), found["steering", dynamo], dynamo=dynamo, **ends)
        found["words", dynamo] = folder / f"words-{dynamo}.onnx"
        torch.onnx.export(
            words,
            (tokens, torch.zeros(1, 2)),
            found["words", dynamo],
            dynamo=dynamo,
            input_names=["tokens", "x"],
            output_names=["y"],
        )
    return found


def at(network, values):
    return forward_pass(network, torch.from_numpy(values)[None]).numpy().ravel()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [False, True])
def test_two_inputs_and_two_outputs_of_an_exporter(dynamo, exported):
    path = exported["steering", dynamo]
    found = read_onnx(path)
    assert [(p.name, prod(p.shape), p.start) for p in found.signature.inputs] == [
        ("image", 36, 0),
        ("pose", 3, 36),
    ]
    assert [(p.name, p.shape) for p in found.signature.outputs] == [
        ("kind", (1, 3)),
        ("place", (1, 2)),
    ]
    original = OriginalFile(path, signature=found.signature)
    for _ in range(5):
        values = RNG.normal(size=39)
        np.testing.assert_allclose(
            at(found.network, values), original.outputs(values), rtol=1e-5, atol=1e-6
        )
    chosen = read_onnx(path, ends=Ends(output="place"))
    assert chosen.network.output_shape == (2,)
    np.testing.assert_array_equal(at(chosen.network, values), at(found.network, values)[3:])


@pytest.mark.parametrize("dynamo", [False, True])
def test_rows_that_integers_choose(dynamo, exported):
    found = read_onnx(exported["words", dynamo])
    tokens, x = found.signature.inputs
    assert (tokens.dtype, tokens.values, x.values) == ("int64", (-5, 4), None)
    original = OriginalFile(exported["words", dynamo], signature=found.signature)
    for _ in range(10):
        values = np.concatenate([RNG.integers(-5, 5, 3), RNG.normal(size=2)])
        np.testing.assert_allclose(
            at(found.network, values), original.outputs(values), rtol=1e-5, atol=1e-6
        )


def test_bounds_contain_every_choice_of_rows(exported):
    network = read_onnx(exported["words", False]).network
    low, high = np.array([0, 1, -2, -0.1, 0.2]), np.array([3, 1, 0, 0.1, 0.3])
    box = Box(low[None], high[None])
    found = compute_bounds(network, box, Crown())
    for first in range(4):
        for last in range(-2, 1):
            for share in (0.0, 0.4, 1.0):
                point = low + share * (high - low)
                point[[0, 2]] = first, last
                values = at(network, point)
                assert (values >= found.outer.lower.numpy()[0] - 1e-5).all()
                assert (values <= found.outer.upper.numpy()[0] + 1e-5).all()


def test_integers_alone_choose_rows_exactly(make_model, save):
    table = RNG.normal(size=(3, 2)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "x"], ["y"])]
    made = make_model(nodes, (1, 2), {"table": table}, element=TensorProto.INT32)
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    found = read_onnx(save(made))
    assert found.integers is None
    for chosen in ([0, 1], [2, -1], [-3, 1]):
        theirs = session(made).run(None, {"x": np.array([chosen], np.int32)})[0]
        np.testing.assert_array_equal(
            at(found.network, np.array(chosen, float)), theirs.ravel().astype(float)
        )


@pytest.mark.parametrize(
    ("rows", "columns", "axis"), [(2000, 2, 0), (3, 4, 1)], ids=["many rows", "columns"]
)
def test_tables_that_integers_may_not_choose_from(rows, columns, axis, make_model, save):
    table = np.zeros((rows, columns), np.float32)
    nodes = [helper.make_node("Gather", ["table", "x"], ["y"], axis=axis)]
    made = make_model(nodes, (1, 2), {"table": table}, element=TensorProto.INT64)
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    with pytest.raises(BadModelFile, match="'x' holds INT64"):
        read_onnx(save(made))


def test_inputs_of_several_types(make_model, save):
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["wide", "z"], ["y"]),
    ]
    made = make_model(nodes, (1, 3), {}, element=TensorProto.UINT8)
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.DOUBLE, (1, 3)))
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    found = read_onnx(save(made))
    assert [port.dtype for port in found.signature.inputs] == ["uint8", "float64"]
    values = np.array([1, 2, 3, 0.25, -1, 1e-3])
    np.testing.assert_array_equal(at(found.network, values), values[:3] + values[3:])


def test_a_name_that_the_file_has_already(make_model, save):
    nodes = [
        helper.make_node("Add", ["inputs", "x"], ["outputs"]),
        helper.make_node("Relu", ["outputs"], ["y"]),
    ]
    made = make_model(nodes, (1, 2), {})
    made.graph.input.append(helper.make_tensor_value_info("inputs", TensorProto.FLOAT, (1, 2)))
    made.graph.output.append(helper.make_tensor_value_info("outputs", TensorProto.FLOAT, (1, 2)))
    found = read_onnx(save(made))
    values = np.array([1.0, -2.0, 0.5, 0.5])
    np.testing.assert_array_equal(at(found.network, values), [1.5, 0, 1.5, -1.5])


def test_one_input_and_one_output_have_no_names(make_model, save):
    found = read_onnx(save(make_model([helper.make_node("Relu", ["x"], ["y"])], (1, 2), {})))
    assert found.signature is None


def test_inner_values_beside_the_output(make_model, save):
    nodes = [
        helper.make_node("Neg", ["x"], ["inner"]),
        helper.make_node("Relu", ["inner"], ["y"]),
    ]
    path = save(make_model(nodes, (1, 2), {}))
    found = read_onnx(path, ends=Ends(beside=("inner",)))
    assert [port.name for port in found.signature.outputs] == ["y", "inner"]
    np.testing.assert_array_equal(at(found.network, np.array([1.0, -2.0])), [0, 2, -1, 2])
    with pytest.raises(BadModelFile, match="did you mean 'inner'"):
        read_onnx(path, ends=Ends(beside=("iner",)))


def test_parameters_as_they_are_stored(exported):
    exact = load_onnx(exported["steering", False], simplified=False)
    network = load_onnx(exported["steering", False])
    values = RNG.normal(size=39)
    np.testing.assert_allclose(at(exact, values), at(network, values), rtol=1e-12)


def test_lengths_that_several_inputs_leave_open(make_model, save):
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=0),
        helper.make_node("Add", ["m", "z"], ["y"]),
    ]
    made = make_model(nodes, ("n", "length", 2), {}, opset=13)
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ("n", "k")))
    path = save(made)
    with pytest.raises(BadModelFile, match=r"'x' has the shape .n, length, 2."):
        load_onnx(path)
    network = load_onnx(path, input_shape={"x": (3, 2), "z": (2,)})
    values = np.arange(8.0)
    np.testing.assert_allclose(at(network, values), [2 + 6, 3 + 7])
    ends = Ends.asked(None, None, {"x": (3, 2), "z": (2,)})
    original = OriginalFile(path, ends, signature=read_onnx(path, ends=ends).signature)
    np.testing.assert_allclose(original.outputs(values), [8, 10])
    for shapes, words in (
        ({"x": (3, 3), "z": (2,)}, "'x' has the shape"),
        ({"x": (3, 2)}, "'z' has the shape"),
        ({"w": (3, 2), "z": (2,)}, "no value 'w'"),
    ):
        with pytest.raises(BadModelFile, match=words):
            load_onnx(path, input_shape=shapes)
