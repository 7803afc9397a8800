"""Comparing an imported network with onnxruntime."""

import re

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from sensverify.bounds import forward_pass
from sensverify.errors import UnsupportedOperator
from sensverify.formats.onnx import load_onnx
from tests.formats.onnx.stored import assert_as_stored

INEXACT = "does not define its weights exactly|they are rounded"
"""Pattern of the errors about weights without a definite last digit."""


def build_model(
    nodes, input_shape, constants=None, *, opset=17, output="y", element=TensorProto.FLOAT
):
    """A model with the input x, of constants by name and nodes; shapes are inferred."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", element, input_shape)],
        [helper.make_tensor_value_info(output, element, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    versions = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    kind = model.graph.output[0].type.tensor_type
    if not kind.HasField("shape"):
        # The checker asks for a shape even where its own inference finds none.
        for axis in range(len(input_shape)):
            kind.shape.dim.add().dim_param = f"n{axis}"
    return model


@pytest.fixture(scope="session")
def make_model():
    """The function `build_model`."""
    return build_model


def session(model):
    """onnxruntime without its optimisations, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    contents = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])


def read_exactly(path):
    """A file's network with nothing rounded; None where its weights cannot be read so."""
    try:
        return load_onnx(path, simplified=False)
    except UnsupportedOperator as error:
        if not re.search(INEXACT, str(error)):
            raise
        return None


@pytest.fixture
def save(tmp_path):
    """Write a model (or bytes) into a file and return the path."""

    def write(model, name="model.onnx"):
        path = tmp_path / name
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return write


@pytest.fixture
def check_equal(save):
    """Assert that a model evaluates as in onnxruntime, and the laws of `assert_as_stored`.

    Where it is not ``exact``, reading it exactly is refused; None: the laws hold, or it is refused.
    Where its weights are not ``stored``,
    they are computed in the file, each with one rounding. Returns the simplified network.
    """

    def check(model, *, low=-2.0, high=2.0, tolerance=1e-5, exact=True, stored=True):
        path = save(model)
        network = load_onnx(path)
        assert not network.consumers[-1]
        runner = session(model)
        (declared,) = runner.get_inputs()
        shape = [n if isinstance(n, int) else 1 for n in declared.shape]
        dtype = np.float64 if "double" in declared.type else np.float32
        rng = np.random.default_rng(0)
        expected, got = [], []
        for _ in range(8):
            x = rng.uniform(low, high, shape).astype(dtype)
            (y,) = runner.run(None, {declared.name: x})
            batch = torch.from_numpy(x.reshape(1, *network.input_shape))
            expected.append(y)
            got.append(forward_pass(network, batch).numpy()[0])
        shape = expected[0].shape
        assert network.output_shape == (shape[1:] if len(shape) > 1 and shape[0] == 1 else shape)
        plain = read_exactly(path)
        assert exact is None or exact == (plain is not None)
        if plain is not None:
            points = torch.from_numpy(rng.uniform(low, high, (3, *network.input_shape)))
            assert_as_stored(path, plain, network, points, stored=stored)
        difference = np.abs(np.stack(got).reshape(-1) - np.stack(expected).reshape(-1)).max()
        assert difference <= tolerance * max(np.abs(np.stack(expected)).max(), 1e-30)
        return network

    return check


@pytest.fixture
def check_node(check_equal):
    """Like ``check_equal``, for one operator with constants as its other inputs.

    What fails says which operator set and which attributes it was, so that tests may loop.
    """

    def check(
        operator,
        shape,
        *constants,
        opset=17,
        outputs=("y",),
        first=True,
        exact=True,
        tolerance=1e-5,
        **attributes,
    ):
        names = [None if c is None else f"c{i}" for i, c in enumerate(constants)]
        inputs = ["" if name is None else name for name in names]
        inputs = ["x", *inputs] if first else [*inputs, "x"]
        node = helper.make_node(operator, inputs, list(outputs), name="node", **attributes)
        stored = {n: c for n, c in zip(names, constants, strict=True) if n is not None}
        try:
            model = build_model([node], shape, stored, opset=opset)
            onnx.checker.check_model(model)
            return check_equal(model, exact=exact, tolerance=tolerance)
        except Exception as error:
            error.add_note(f"{operator} of {shape} in operator set {opset}: {attributes}")
            raise

    return check
