"""Every ONNX file of the development data against onnxruntime."""

import gzip

import numpy as np
import pytest
import torch
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

from sensverify.bounds import forward_pass
from sensverify.formats.onnx import load_onnx
from tests.formats.onnx.stored import assert_as_stored

EVALUATED = 69
TOLERANCE = 1e-5


def contents(path):
    packed = path.read_bytes()
    return gzip.decompress(packed) if path.suffix == ".gz" else packed


def input_range(path):
    """Range of a network's inputs: those of ACAS Xu are normalised around zero."""
    return (-0.5, 0.5) if "acasxu" in path.parts or "test" in path.parts else (0.0, 1.0)


def inputs(shape, low, high):
    """20 random inputs, both extreme corners and 8 random corners."""
    rng = np.random.default_rng(0)
    unit = [rng.random(shape) for _ in range(20)]
    unit += [np.zeros(shape), np.ones(shape)]
    unit += [(rng.random(shape) < 0.5) for _ in range(8)]
    return [(low + (high - low) * u).astype(np.float32) for u in unit]


def relative_error(path, network):
    """Largest difference over all inputs and outputs, relative to the largest output magnitude.

    The magnitude is that over all inputs too: single outputs near zero are differences of large
    numbers, which no float32 evaluation gets to any relative precision.
    """
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    session = InferenceSession(contents(path), options, providers=["CPUExecutionProvider"])
    (declared,) = session.get_inputs()
    shape = [n if isinstance(n, int) and n > 0 else 1 for n in declared.shape]
    batch = inputs(shape, *input_range(path))
    expected = np.stack([session.run(None, {declared.name: x})[0].reshape(-1) for x in batch])
    stacked = torch.from_numpy(np.stack([x.reshape(network.input_shape) for x in batch]))
    got = forward_pass(network, stacked).numpy().reshape(expected.shape)
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def test_every_file_is_equal_to_onnxruntime(data_dir):
    paths = sorted([*data_dir.rglob("*.onnx"), *data_dir.rglob("*.onnx.gz")])
    evaluated = []
    for path in paths:
        network = load_onnx(path)
        error = relative_error(path, network)
        assert error <= TOLERANCE, f"{path.name}: {error}"
        low, high = input_range(path)
        samples = np.random.default_rng(1).uniform(low, high, (3, *network.input_shape))
        plain = load_onnx(path, simplified=False)
        assert_as_stored(path, plain, network, torch.from_numpy(samples))
        evaluated.append(path.name)
    assert len(evaluated) == EVALUATED


@pytest.mark.parametrize("name", ["resnet_2b.onnx.gz", "NN_rul_full_window_20.onnx.gz"])
def test_only_the_operators_that_are_needed_remain(name, data_dir):
    (path,) = data_dir.rglob(name)
    kinds = {type(node.operator).__name__ for node in load_onnx(path).nodes}
    assert kinds <= {"Input", "Conv", "Affine", "Relu", "Add", "Reshape"}
