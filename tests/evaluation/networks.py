"""Small networks as ONNX files, and what is asked of them in many tests."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.training.directory.export import export_onnx

QUICK: dict[str, Any] = {
    "count": 12,
    "attacks": ("fgsm", "pgd(steps=3)"),
    "corruptions": ("gaussian-noise", "contrast"),
    "severities": (1, 5),
    "sequences": ("translation",),
    "measures": ("parameters", "l2", "inverse-margin", "input-gradient"),
}
"""A little of everything."""


def mlp(path: Path, *, seed: int = 0, inputs: int = 4, hidden: int = 8, classes: int = 3) -> Path:
    """A network with one hidden layer and weights from a seed."""
    generator = torch.Generator().manual_seed(seed)
    module = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    with torch.no_grad():
        for values in module.parameters():
            values.copy_(torch.randn(values.shape, generator=generator))
    export_onnx(module, (inputs,), path)
    return path


def linear(path: Path, weight: Any, bias: Any) -> Path:
    """``weight @ x + bias``."""
    constants = [
        numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)
        for name, values in (("weight", weight), ("bias", bias))
    ]
    outputs, inputs = np.shape(weight)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "weight", "bias"], ["y"], transB=1, name="linear")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", outputs])],
        constants,
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def blobs(path: Path, *, samples: int = 40, classes: int = 3, train: bool = True) -> Path:
    """Samples around a point for each class, in [0, 1], labelled by the point."""
    draw = np.random.default_rng(0)
    middles = draw.uniform(0.2, 0.8, size=(classes, 4))

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.arange(count) % classes
        x = middles[y] + draw.normal(scale=0.05, size=(count, 4))
        return x.clip(0, 1).astype(np.float32), y

    arrays = dict(zip(("x_test", "y_test"), part(samples), strict=True))
    if train:
        arrays |= dict(zip(("x_train", "y_train"), part(2 * samples), strict=True))
    else:
        arrays = {name.removesuffix("_test"): values for name, values in arrays.items()}
    np.savez(path, **arrays)
    return path


def request(*models: Any, **changes: Any) -> EvaluateRequest:
    """A quick evaluation."""
    return EvaluateRequest(models=tuple(map(str, models)), **(QUICK | changes))


def timeless(evaluation: Evaluation) -> Evaluation:
    """The same without seconds and date."""

    def rows(model: ModelEvaluation) -> dict[str, Any]:
        return {
            f.name: tuple(
                replace(row, seconds=0.0) if hasattr(row, "seconds") else row
                for row in getattr(model, f.name)
            )
            for f in fields(model)
            if f.name != "model"
        }

    models = tuple(replace(model, **rows(model)) for model in evaluation.models)
    record = replace(evaluation.record, date="")
    return replace(evaluation, models=models, seconds=0.0, record=record)
