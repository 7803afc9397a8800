"""Small ONNX files and the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from sensverify.cli.main import main

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """``run("verify", "iris", ...)`` as a person would type it."""

    def call(*args: object) -> Result:
        return CliRunner().invoke(main, [str(a) for a in args], prog_name="sensverify")

    return call


def _save_mlp(path: Path, *layers: tuple[np.ndarray, np.ndarray], last: str | None = None) -> Path:
    """Write affine layers (weight ``[out, in]``, bias ``[out]``) with ReLU between them."""
    nodes, constants, source = [], [], "x"
    for k, (weight, bias) in enumerate(layers):
        for name, values in ((f"w{k}", weight), (f"b{k}", bias)):
            constants.append(numpy_helper.from_array(np.asarray(values, dtype=np.float32), name))
        nodes.append(
            helper.make_node("Gemm", [source, f"w{k}", f"b{k}"], [f"y{k}"], transB=1, name=f"fc{k}")
        )
        source = f"y{k}"
        if k < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [source], [f"r{k}"], name=f"act{k}"))
            source = f"r{k}"
    if last is not None:
        nodes.append(helper.make_node(last, [source], ["last"], name="odd one"))
        source = "last"
    inputs, outputs = layers[0][0].shape[1], layers[-1][0].shape[0]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", inputs])],
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch", outputs])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture
def save_mlp() -> Callable[..., Path]:
    """Writes a fully-connected ONNX model; see `_save_mlp`."""
    return _save_mlp


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A model whose two outputs are its two inputs: every answer is known by hand."""
    return _save_mlp(tmp_path / "identity.onnx", (np.eye(2), np.zeros(2)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two samples of two features, the second one with the wrong label."""
    path = tmp_path / "data.npz"
    np.savez(
        path,
        x=np.array([[2.0, 0.0], [0.0, 2.0]], dtype=np.float32),
        y=np.array([0, 0]),
        feature_range=np.array([2.0, 0.0]),
    )
    return path
