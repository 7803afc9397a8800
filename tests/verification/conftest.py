"""Small models and properties whose answers are known by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

SaveProperty = Callable[..., Path]


def _save_relu(path: Path, kind: int = TensorProto.FLOAT) -> Path:
    """A model with input ``[1, 2, 1]`` and outputs ``relu(x0) + relu(x1), relu(x0) - relu(x1)``."""
    dtype = np.float64 if kind == TensorProto.DOUBLE else np.float32
    weight = np.array([[1, 1], [1, -1]], dtype=dtype)
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, [1, 2, 1])],
        [helper.make_tensor_value_info("y", kind, [1, 2])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture
def save_relu() -> Callable[..., Path]:
    """Writes a small model; see `_save_relu`."""
    return _save_relu


@pytest.fixture
def relu(tmp_path: Path) -> Path:
    """See `_save_relu`."""
    return _save_relu(tmp_path / "relu.onnx")


@pytest.fixture
def save_property(tmp_path: Path) -> SaveProperty:
    """``save_property("(<= Y_0 1)", ...)`` over inputs in [-1, 1], or other bounds."""

    def save(
        *asserted: str,
        box: str = "(and (<= -1 X_0 1) (<= -1 X_1 1))",
        name: str = "p.vnnlib",
        inputs: int = 2,
    ) -> Path:
        declared = [f"(declare-const X_{i} Real)" for i in range(inputs)]
        declared += [f"(declare-const Y_{i} Real)" for i in range(2)]
        path = tmp_path / name
        path.write_text("\n".join([*declared, *(f"(assert {item})" for item in (box, *asserted))]))
        return path

    return save
