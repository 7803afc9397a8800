"""Whatever is loaded is what onnxruntime computes; what onnxruntime does not run is refused."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sensverify.bounds import forward_pass
from sensverify.errors import BadModelFile, RuntimeDisagrees, UnsupportedOperator
from sensverify.formats.onnx import load_onnx
from tests.formats.onnx.random_nodes import KINDS, random_model


def outputs(model, x):
    """By onnxruntime as anybody runs it, with its rewrites."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    contents = model.SerializeToString()
    runner = onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    return runner.run(None, {"x": x})[0]


def agrees(kind, seed, path):
    """True where a random model is loaded; then it must be what onnxruntime makes of it.

    Refusals are the importer's own: the comparison with onnxruntime finds nothing more.
    """
    try:
        model = random_model(kind, seed)
    except onnx.shape_inference.InferenceError:
        return False
    path.write_bytes(model.SerializeToString())
    try:
        network = load_onnx(path, runtime_check=False)
    except (BadModelFile, UnsupportedOperator):
        return False
    try:
        load_onnx(path)
    except RuntimeDisagrees as error:
        pytest.fail(f"{kind} {seed}: {error}")
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    expected = outputs(model, x)
    tensor = torch.from_numpy(x.reshape(1, *network.input_shape)).double()
    found = forward_pass(network, tensor).numpy()[0]
    compact = expected.shape[1:] if expected.ndim > 1 and len(expected) == 1 else expected.shape
    assert network.output_shape == compact, f"{kind} {seed}"
    close = np.allclose(found.reshape(-1), expected.reshape(-1), rtol=1e-4, atol=1e-4)
    assert close, f"{kind} {seed}"
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_random_nodes(kind, tmp_path):
    loaded = sum(agrees(kind, seed, tmp_path / "net.onnx") for seed in range(30))
    assert loaded >= 6


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_random_nodes(kind, tmp_path):
    loaded = sum(agrees(kind, seed, tmp_path / "net.onnx") for seed in range(30, 1000))
    assert loaded >= 200
