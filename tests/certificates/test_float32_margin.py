"""What onnxruntime computes in float32 lies within the margin around the true value."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from onnxruntime import GraphOptimizationLevel

from sensverify.bounds import forward_pass
from sensverify.certificates import StoredModel, float32_margin
from sensverify.models import resolve
from tests.certificates.exact_values import rational, values_at
from tests.formats.onnx.conftest import build_model

LEVELS = (GraphOptimizationLevel.ORT_DISABLE_ALL, GraphOptimizationLevel.ORT_ENABLE_ALL)
SHIPPED = {"iris": 1e-4, "digits": 1e-3, "mnist-conv1": 1e-3, "mnist-conv2": 1e-2}
FOUND = {"marabou/fc1.onnx": 1e-2, "marabou/mnist2x10.onnx": 0.05, "dnnv/mnist_relu_3_50.onnx": 0.2}
"""The margin's largest share of the outputs' range: wide and deep networks have large ones."""


def run(path: Path, level: GraphOptimizationLevel, inputs: np.ndarray) -> np.ndarray:
    """The outputs for float32 inputs ``[points, features]``, flat, in float64."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    shape = [n if isinstance(n, int) else 1 for n in given.shape]
    outputs = [session.run(None, {given.name: x.reshape(shape)})[0] for x in inputs]
    return np.array(outputs, np.float64).reshape(len(inputs), -1)


def boxed(rng: np.random.Generator, centre: np.ndarray, radius: float) -> tuple[np.ndarray, ...]:
    """A box, and float32 points of it: corners, others, the middle."""
    lower, upper = (centre + sign * radius for sign in (-1, 1))
    lower, upper = (end.astype(np.float32).astype(np.float64) for end in (lower, upper))
    corners = np.where(rng.random((4, len(centre))) < 0.5, lower, upper)
    inside = lower + rng.random((4, len(centre))) * (upper - lower)
    points = np.concatenate([corners, inside, centre[None]]).astype(np.float32)
    return lower, upper, np.clip(points, lower.astype(np.float32), upper.astype(np.float32))


def layer(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * rng.normal(size=shape)).astype(np.float32)


def function(rng: np.random.Generator) -> tuple[str, dict[str, float]]:
    names = ["Relu", "LeakyRelu", "Sigmoid", "Tanh", "Abs"]
    name = str(rng.choice(names))
    return name, {"alpha": 0.3} if name == "LeakyRelu" else {}


def dense_model(rng: np.random.Generator) -> tuple[onnx.ModelProto, int]:
    """Layers of all sizes of weights, divisions, clips."""
    sizes = [int(n) for n in rng.integers(1, 30, rng.integers(2, 5))]
    nodes, constants, name = [], {}, "x"
    for i, (before, after) in enumerate(pairwise(sizes)):
        scale = 10.0 ** rng.integers(-3, 3)
        constants |= {
            f"w{i}": layer(rng, after, before, scale=scale),
            f"b{i}": layer(rng, after, scale=10.0 ** rng.integers(-3, 4)),
            f"d{i}": layer(rng, after) + np.float32(3),
            f"l{i}": np.array(-0.7, np.float32),
            f"h{i}": np.array(1.3, np.float32),
        }
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"g{i}"], transB=1))
        kind, settings = function(rng)
        nodes.append(helper.make_node(kind, [f"g{i}"], [f"f{i}"], **settings))
        name = f"f{i}"
        if rng.random() < 0.5:
            nodes.append(helper.make_node("Div", [name, f"d{i}"], [f"q{i}"]))
            nodes.append(helper.make_node("Add", [f"q{i}", name], [f"a{i}"]))
            name = f"a{i}"
        if rng.random() < 0.3:
            nodes.append(helper.make_node("Clip", [name, f"l{i}", f"h{i}"], [f"c{i}"]))
            name = f"c{i}"
    return build_model(nodes, [1, sizes[0]], constants, output=name), sizes[0]


def image_model(rng: np.random.Generator) -> tuple[onnx.ModelProto, int]:
    """A convolution, batch normalisation (which runtimes fold into it), pooling, a layer."""
    constants = {
        "k": layer(rng, 3, 2, 3, 3),
        "b": layer(rng, 3),
        "scale": layer(rng, 3, scale=3.0),
        "shift": layer(rng, 3),
        "mean": layer(rng, 3, scale=10.0),
        "var": np.abs(layer(rng, 3, scale=10.0 ** rng.integers(-4, 3))),
        "w": layer(rng, 27, 4),
    }
    kind, settings = function(rng)
    norm = ["c", "scale", "shift", "mean", "var"]
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", norm, ["n"], epsilon=1e-5),
        helper.make_node(kind, ["n"], ["f"], **settings),
        helper.make_node("MaxPool", ["f"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["v"]),
        helper.make_node("MatMul", ["v", "w"], ["y"]),
    ]
    return build_model(nodes, [1, 2, 6, 6], constants), 72


MODELS = {"dense": dense_model, "image": image_model}


@pytest.mark.parametrize("level", LEVELS, ids=["plain", "optimised"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", MODELS)
def test_the_margin_holds_for_random_networks(
    kind: str, seed: int, level: GraphOptimizationLevel, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    model, features = MODELS[kind](rng)
    path = tmp_path / "some.onnx"
    path.write_bytes(model.SerializeToString())
    stored = StoredModel.read(path)
    centre = rng.normal(size=features) * 10.0 ** rng.integers(-2, 2)
    lower, upper, points = boxed(rng, centre, float(rng.choice([0.0, 0.01, 1.0])))
    points = points[-4:] if kind == "image" else points
    rows = np.eye(stored.program.outputs)[None]
    (margin,) = float32_margin(stored.program, lower[None], upper[None], rows)
    assert np.isfinite(margin).all()
    found = run(path, level, points)
    exact = values_at(stored.network, points.astype(np.float64))
    for values, ends in zip(found, exact, strict=True):
        for value, (low, high), most in zip(values, ends, margin, strict=True):
            off = max(abs(rational(value) - low), abs(rational(value) - high))
            assert off <= rational(most), (float(most), float(off.p) / float(off.q))


def assert_holds_and_is_small(path: Path, share: float) -> None:
    """The margin, over small boxes: it holds, and is a small share of the outputs' range."""
    stored, rng = StoredModel.read(path), np.random.default_rng(0)
    rows = np.eye(stored.program.outputs)[None]
    middles, margins, errors = [], [], []
    for _ in range(4):
        centre = rng.random(stored.program.features)
        lower, upper, points = boxed(rng, centre, 0.02)
        (margin,) = float32_margin(stored.program, lower[None], upper[None], rows)
        x = torch.from_numpy(points.astype(np.float64)).reshape(-1, *stored.network.input_shape)
        exact = forward_pass(stored.network, x).numpy().reshape(len(points), -1)
        for level in LEVELS:
            errors.append(np.abs(run(path, level, points) - exact).max(axis=0) <= margin + 1e-12)
        middles.append(exact)
        margins.append(margin)
    assert np.all(errors)
    every = np.concatenate(middles)
    assert np.max(margins) < share * (every.max() - every.min())


@pytest.mark.parametrize("name", SHIPPED)
def test_the_margin_holds_for_shipped_networks(name: str) -> None:
    assert_holds_and_is_small(Path(resolve(name).path), SHIPPED[name])


@pytest.mark.parametrize("name", FOUND)
def test_the_margin_holds_for_networks_of_others(name: str, data_dir: Path) -> None:
    assert_holds_and_is_small(data_dir / "nets" / name, FOUND[name])


def test_the_margin_grows_with_the_box_and_the_rows() -> None:
    stored = StoredModel.read(resolve("iris").path)
    centre, rows = np.full((1, 4), 0.5), np.eye(3)[None]
    small, large = (
        float32_margin(stored.program, centre - radius, centre + radius, rows)
        for radius in (0.01, 0.5)
    )
    assert (small > 0).all()
    assert (small <= large).all()
    assert (small < large).any()
    twice = float32_margin(stored.program, centre - 0.01, centre + 0.01, -2 * rows)
    np.testing.assert_allclose(twice, 2 * small, rtol=1e-12)
