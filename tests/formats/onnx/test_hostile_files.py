"""Files that are broken or mean harm: each gives its documented error, in one line."""

import gzip
import os
import tracemalloc

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sensverify.errors import BadModelFile, RuntimeDisagrees, UnsupportedOperator
from sensverify.formats.files import read_bytes
from sensverify.formats.onnx import load_onnx
from sensverify.formats.onnx.call import HANDLERS
from sensverify.network import Network
from sensverify.verification.replay import Replay


def refused(path, error=BadModelFile, match=None, **options):
    with pytest.raises(error, match=match) as caught:
        load_onnx(path, **options)
    assert type(caught.value) is error
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def info(name, shape, element=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, element, shape)


def small_model(weight=None, *, inputs=None, outputs=None, nodes=None, opset=17, extra=()):
    weight = np.ones((2, 3), np.float32) if weight is None else weight
    graph = helper.make_graph(
        nodes or [helper.make_node("MatMul", ["x", "w"], ["y"], name="multiply")],
        "test",
        inputs or [info("x", (1, 2))],
        outputs or [info("y", (1, 3))],
        [weight if isinstance(weight, TensorProto) else numpy_helper.from_array(weight, "w")]
        + [numpy_helper.from_array(np.asarray(v), k) for k, v in extra],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_the_small_model_is_fine(save):
    assert load_onnx(save(small_model())).output_shape == (3,)


def test_gzip_is_accepted(save):
    contents = small_model().SerializeToString()
    plain = load_onnx(save(contents))
    packed = load_onnx(save(gzip.compress(contents), "model.onnx.gz"))
    assert packed.digest == plain.digest
    assert load_onnx(save(gzip.compress(contents), "named_wrongly.onnx")).digest == plain.digest


def test_a_missing_file(tmp_path):
    refused(tmp_path / "nothing.onnx", match=r"nothing.onnx.*No such file")


def test_a_directory(tmp_path):
    refused(tmp_path, match="not a file")


def test_a_path_with_a_zero_byte():
    refused("a\0b.onnx")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", match="not a file")


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.gz"])
def test_an_empty_file(name, save):
    refused(save(b"", name), match="empty")
    refused(save(gzip.compress(b""), name), match="empty")


@pytest.mark.parametrize("contents", [b"hello, world\n", b"\x80\x04K\x01.", b"PK\x03\x04", b"\n"])
def test_what_is_no_onnx_file(contents, save):
    refused(save(contents))


def test_a_truncated_file(save):
    contents = small_model().SerializeToString()
    refused(save(contents[: len(contents) // 2]))
    packed = gzip.compress(contents)
    refused(save(packed[: len(packed) // 2], "model.onnx.gz"), match="gzip")
    refused(save(b"not packed", "model.onnx.gz"), match="gzip")


def test_a_large_file_is_refused_before_it_is_read(save):
    path = save(small_model())
    assert "at most 10 are read" in refused(path, limit=10)


def test_a_gzip_bomb_is_stopped(save):
    path = save(gzip.compress(bytes(2**26)), "bomb.onnx.gz")
    tracemalloc.start()
    with pytest.raises(BadModelFile, match="unpacks to more than"):
        read_bytes(path, 2**22)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


def test_the_checker_is_asked(save):
    model = small_model(nodes=[helper.make_node("MatMul", ["x", "missing"], ["y"])])
    refused(save(model), match="checker")
    model = small_model(nodes=[helper.make_node("Relu", ["x"], ["y"], axis=1)])
    refused(save(model), match="checker")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(number, save):
    weight = np.ones((2, 3), np.float32)
    weight[1, 1] = number
    refused(save(small_model(weight)), match="finite")


def test_constants_that_overflow(save):
    nodes = [
        helper.make_node("Exp", ["w"], ["e"]),
        helper.make_node("MatMul", ["x", "e"], ["y"]),
    ]
    refused(save(small_model(np.full((2, 3), 1e3, np.float32), nodes=nodes)), match="finite")


@pytest.mark.parametrize("opset", [1, 6, 10_000])
def test_operator_sets_out_of_range(opset, save):
    refused(save(small_model(opset=opset)), UnsupportedOperator, match="operator set")


def test_every_operator_set_in_range(save):
    for opset in range(7, onnx.defs.onnx_opset_version() + 1):
        path = save(small_model(opset=opset))
        assert load_onnx(path, runtime_check=False).output_shape == (3,)
        try:
            load_onnx(path)
        except RuntimeDisagrees as error:
            # onnx may know one more than onnxruntime.
            assert opset > 22
            assert "Opset" in str(error)  # noqa: PT017


def test_an_unsupported_operator_is_named(save):
    nodes = [helper.make_node("Hardmax", ["x"], ["y"], name="last")]
    message = refused(save(small_model(nodes=nodes)), UnsupportedOperator)
    assert "operator Hardmax (node 'last')" in message


def test_an_operator_of_another_domain_is_named(save):
    model = small_model(nodes=[helper.make_node("Relu", ["x"], ["y"], domain="com.example")])
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    assert "com.example" in refused(save(model), UnsupportedOperator)


def test_an_unsupported_node_that_nothing_needs_is_no_obstacle(save):
    nodes = [
        helper.make_node("Hardmax", ["x"], ["unused"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    assert len(load_onnx(save(small_model(nodes=nodes))).nodes) == 2


def test_a_second_output_of_a_node_is_refused_where_it_is_used(save):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p", "i"], kernel_shape=[2]),
        helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
    ]
    model = small_model(nodes=nodes, inputs=[info("x", (1, 1, 4))], outputs=[info("y", (1, 1, 3))])
    refused(save(model), UnsupportedOperator, match="output 1 is used")


@pytest.mark.parametrize("shape", [(1, None), ("batch", "height"), (1, "n", 2)], ids=str)
def test_dynamic_axes_behind_the_batch(shape, save):
    refused(save(small_model(inputs=[info("x", shape)])), match="only the first axis")


def test_an_input_without_a_shape(save):
    refused(save(small_model(inputs=[info("x", None)])))


@pytest.mark.parametrize("shape", [(0, 0), (1, 0), (2**40, 2**40)], ids=str)
def test_an_input_of_no_or_absurd_size(shape, save):
    refused(save(small_model(inputs=[info("x", shape)])), match="cannot be used")


@pytest.mark.parametrize("length", [0, -1])
def test_a_batch_of_any_size_that_is_written_as_a_number(length, save):
    """Some exporters write an open batch axis so; onnxruntime takes a 0 by its word."""
    path = save(small_model(inputs=[info("x", (length, 2))], outputs=[info("y", (length, 3))]))
    assert load_onnx(path).input_shape == (2,)
    point = np.array([0.25, -0.5])
    replayed = Replay(path).outputs(point, np.full(2, -1.0), np.ones(2))
    np.testing.assert_array_equal(replayed.outputs, np.full(3, -0.25))


def test_an_input_of_integers(save):
    refused(save(small_model(inputs=[info("x", (1, 2), TensorProto.INT64)])), match="INT64")


def test_no_input(save):
    made = small_model(nodes=[helper.make_node("Identity", ["w"], ["y"])])
    del made.graph.input[:]
    refused(save(made), match="no input")


@pytest.mark.parametrize(
    ("second", "match"),
    [
        (info("z", (1, "n")), "z.*shape"),
        (info("z", (1, 0)), "z.*cannot be used"),
        (info("z", (1, 2), TensorProto.BOOL), "z.*BOOL"),
        (info("z", (1, 2), TensorProto.STRING), "z.*STRING"),
        (info("z", (1 << 20, 1 << 20)), "z.*cannot be used"),
    ],
)
def test_a_second_input_that_cannot_be_used(second, match, save):
    refused(save(small_model(inputs=[info("x", (1, 2)), second])), match=match)


def test_an_initializer_listed_as_an_input_is_none(save):
    inputs = [info("x", (1, 2)), info("w", (2, 3))]
    assert load_onnx(save(small_model(inputs=inputs))).input_shape == (2,)


def test_a_tensor_of_text(save):
    weight = helper.make_tensor("w", TensorProto.STRING, (2, 3), ["a"] * 6)
    refused(save(small_model(weight)), UnsupportedOperator, match="STRING")


def test_a_tensor_with_fewer_values_than_its_shape(save):
    weight = numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    weight.dims[0] = 2**40
    refused(save(small_model(weight)))
    weight.dims[0] = -2
    refused(save(small_model(weight)))


BOMBS = {
    "ConstantOfShape": [helper.make_node("ConstantOfShape", ["big"], ["b"])],
    "Expand": [helper.make_node("Expand", ["one", "big"], ["b"])],
    "Tile": [helper.make_node("Tile", ["one", "big"], ["b"])],
    "Range": [helper.make_node("Range", ["zero", "huge", "step"], ["b"])],
    "Tile of the input": [helper.make_node("Tile", ["x", "big"], ["b"])],
    "Pad of the input": [helper.make_node("Pad", ["x", "pads"], ["b"])],
    "outer sum": [
        helper.make_node("ConstantOfShape", ["column"], ["c"]),
        helper.make_node("ConstantOfShape", ["row"], ["r"]),
        helper.make_node("Add", ["c", "r"], ["b"]),
    ],
    "doubling": [
        helper.make_node("Concat", [f"d{i}", f"d{i}"], [f"d{i + 1}"], axis=0) for i in range(60)
    ]
    + [helper.make_node("Identity", ["d60"], ["b"])],
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_small_files_cannot_ask_for_large_arrays(bomb, save):
    constants = {
        "big": np.array([2**20, 2**20]),
        "one": np.ones((1, 1), np.float32),
        "d0": np.ones((1, 1), np.float32),
        "zero": np.array(0),
        "huge": np.array(2**50),
        "step": np.array(1),
        "pads": np.array([0, 2**30, 0, 2**30]),
        "column": np.array([2**18, 1]),
        "row": np.array([1, 2**18]),
    }
    nodes = [*BOMBS[bomb], helper.make_node("Add", ["x", "b"], ["y"])]
    message = refused(save(small_model(nodes=nodes, extra=constants.items())))
    assert "numbers" in message or "cannot be computed with" in message


def external_model(folder, **entries):
    """A model whose weights lie in a file beside it; ``entries`` override how it says so."""
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    (folder / "weights.bin").write_bytes(b"\0" * 8 + weight.tobytes())
    tensor = TensorProto(name="w", dims=(2, 3), data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    described = {"location": "weights.bin", "offset": "8", "length": "24", **entries}
    for key, value in described.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    return small_model(tensor)


@pytest.mark.parametrize("length", ["24", None])
def test_external_data_is_read(length, save, tmp_path):
    network = load_onnx(save(external_model(tmp_path, length=length)))
    np.testing.assert_array_equal(network.nodes[1].operator.weight.T, np.arange(6).reshape(2, 3))


def test_external_data_in_a_folder_below(save, tmp_path):
    (tmp_path / "below").mkdir()
    model = external_model(tmp_path, location="below/weights.bin")
    (tmp_path / "weights.bin").rename(tmp_path / "below" / "weights.bin")
    assert load_onnx(save(model)).output_shape == (3,)


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../weights.bin", "a/../../weights.bin", "C:\\weights.bin", "..\\w", "", "a\0"],
)
def test_external_data_outside_of_the_folder(location, save, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    model = external_model(tmp_path, location=location)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    refused(path, match="external data of tensor 'w'")


def test_external_data_behind_a_link(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    model = external_model(tmp_path)
    (folder / "weights.bin").symlink_to(tmp_path / "weights.bin")
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    refused(path, match="link")


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "9"},
        {"offset": "-8"},
        {"offset": "many"},
        {"length": "23"},
        {"length": str(2**60)},
        {"location": "absent.bin"},
        {"location": "."},
    ],
    ids=str,
)
def test_external_data_that_does_not_fit(entries, save, tmp_path):
    refused(save(external_model(tmp_path, **entries)))


def test_external_data_of_absurd_size(save, tmp_path):
    model = external_model(tmp_path, length=None)
    model.graph.initializer[0].dims[0] = 2**40
    refused(save(model), match="too large")


def test_an_attribute_that_is_not_honoured_is_refused(save):
    nodes = [helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.3)]
    path = save(small_model(nodes=nodes, outputs=[info("y", (1, 2))]))
    original = HANDLERS["LeakyRelu"]
    HANDLERS["LeakyRelu"] = HANDLERS["Identity"]
    try:
        refused(path, UnsupportedOperator, match="attribute 'alpha'")
    finally:
        HANDLERS["LeakyRelu"] = original


def victim():
    """A model that uses many handlers, for mutation."""
    rng = np.random.default_rng(0)
    constants = {
        "k": rng.normal(size=(2, 1, 3, 3)).astype(np.float32),
        "s": np.array([0, -1], np.int64),
        "w": rng.normal(size=(8, 3)).astype(np.float32),
        "a": np.array([1], np.int64),
        "e": np.array([9], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["h1"], pads=[1, 1, 1, 1], strides=[1, 1]),
        helper.make_node("MaxPool", ["h1"], ["h2"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Transpose", ["h2"], ["h3"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["h3", "s"], ["h4"]),
        helper.make_node("LeakyRelu", ["h4"], ["h5"], alpha=0.1),
        helper.make_node("Slice", ["h5", "a", "e", "a"], ["h6"]),
        helper.make_node("Concat", ["h6", "c"], ["h7"], axis=1),
        helper.make_node("Gemm", ["h7", "w"], ["h8"], alpha=0.5),
        helper.make_node("ReduceMean", ["h8"], ["y"], axes=[1], keepdims=1),
    ]
    constants["c"] = np.ones((1, 1), np.float32)
    graph = helper.make_graph(
        nodes,
        "test",
        [info("x", (1, 1, 4, 4))],
        [info("y", (1, 1))],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    versions = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=versions, ir_version=8).SerializeToString()


VICTIM = victim()


def load_or_refuse(path):
    try:
        result = load_onnx(path)
    except (BadModelFile, UnsupportedOperator) as error:
        result = str(error)
    assert isinstance(result, Network) or "\n" not in result


def test_the_victim_is_fine(save):
    assert load_onnx(save(VICTIM)).output_shape == (1,)


FUZZ = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FUZZ
@given(
    st.lists(
        st.tuples(st.integers(0, len(VICTIM) - 1), st.integers(0, 255)), min_size=1, max_size=4
    )
)
def test_mutated_files(save, changes):
    contents = bytearray(VICTIM)
    for place, value in changes:
        contents[place] = value
    load_or_refuse(save(bytes(contents)))


def test_truncated_files(save):
    packed = gzip.compress(VICTIM)
    for end in range(0, len(VICTIM), 3):
        load_or_refuse(save(VICTIM[:end]))
    for end in range(0, len(packed), 7):
        load_or_refuse(save(packed[:end], "model.onnx.gz"))


@FUZZ
@given(st.binary(max_size=200))
def test_random_bytes(save, contents):
    load_or_refuse(save(contents))
