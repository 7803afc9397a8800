"""Small ONNX files that between them hold most operators, for `frozen_scenarios`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Layer = tuple[str, dict[str, Any], list[str]]
"""Operator, attributes, and inputs besides the value so far: names of constants or of values."""


def save(
    path: Path, layers: list[Layer], shape: tuple[int, ...], outputs: int, **constants: np.ndarray
) -> None:
    """A model whose layers follow each other; the value after layer k is ``v{k}``, from 1."""
    nodes, value = [], "x"
    for k, (operator, attributes, others) in enumerate(layers, 1):
        inputs = [value, *others]
        nodes.append(helper.make_node(operator, inputs, [f"v{k}"], name=f"n{k}", **attributes))
        value = f"v{k}"
    ends = (("x", ["batch", *shape]), (value, ["batch", outputs]))
    infos = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, s)] for n, s in ends]
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "net", *infos, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def identity(path: Path) -> None:
    """A model whose two outputs are its two inputs."""
    weight, bias = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    save(path, [("Gemm", {"transB": 1}, ["w", "b"])], (2,), 2, w=weight, b=bias)


def _numbers(*shape: int) -> np.ndarray:
    """Numbers in [-1, 1) that are the same with every release of NumPy."""
    steps = np.arange(1, int(np.prod(shape)) + 1, dtype=np.float64) * 0.6180339887498949
    return (2 * (steps % 1.0) - 1).astype(np.float32).reshape(shape)


def _gemm(weight: str) -> Layer:
    return "Gemm", {}, [weight, f"{weight}_bias"]


_DENSE = {
    "a": _numbers(4, 6),
    "a_bias": 0.5 * _numbers(6),
    "b": 0.7 * _numbers(6, 6),
    "b_bias": 0.3 * _numbers(6),
    "c": _numbers(6, 3),
    "c_bias": _numbers(3),
    "low": np.float32(-0.5),
    "high": np.float32(0.75),
    "halves": np.float32([0.5, 1.5, -0.5, 1.0, 2.0, 0.25]),
    "order": np.array([2, 0, 5], np.int64),
    "dims": np.array([-1, 2, 3], np.int64),
    "flat": np.array([-1, 6], np.int64),
}
"""Constants of the networks on four inputs; each file holds all of them."""

_ACTIVATIONS: dict[str, Layer] = {
    "relu": ("Relu", {}, []),
    "leaky-relu": ("LeakyRelu", {"alpha": 0.1}, []),
    "sigmoid": ("Sigmoid", {}, []),
    "tanh": ("Tanh", {}, []),
    "abs": ("Abs", {}, []),
    "clip": ("Clip", {}, ["low", "high"]),
    "hard-sigmoid": ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}, []),
    "maximum": ("Max", {}, ["halves"]),
}
_RELU = _ACTIVATIONS["relu"]
_STRUCTURES: dict[str, list[Layer]] = {
    "residual": [
        _gemm("a"),
        _RELU,
        _gemm("b"),
        _RELU,
        ("Add", {}, ["v2"]),
        ("Mul", {}, ["halves"]),
        ("Sub", {}, ["v1"]),
        _gemm("c"),
    ],
    "shapes": [
        _gemm("a"),
        _RELU,
        ("Reshape", {}, ["dims"]),
        ("Transpose", {"perm": [0, 2, 1]}, []),
        ("Reshape", {}, ["flat"]),
        ("Concat", {"axis": 1}, ["v1"]),
        ("Gather", {"axis": 1}, ["order"]),
        ("Neg", {}, []),
    ],
    "largest of two": [_gemm("a"), _RELU, _gemm("b"), ("Max", {}, ["v1"]), _gemm("c")],
    "division": [_gemm("a"), _RELU, ("Div", {}, ["halves"]), _gemm("c")],
    "softmax": [_gemm("a"), _RELU, _gemm("c"), ("Softmax", {"axis": 1}, [])],
}

_IMAGE = (1, 6, 6)
_CONV = {
    "k": _numbers(3, 1, 3, 3),
    "k_bias": 0.5 * _numbers(3),
    "up": _numbers(3, 2, 2, 2),
    "scale": np.float32([1.0, 0.5, -0.8]),
    "shift": np.float32([0.1, -0.2, 0.0]),
    "average": np.float32([0.05, 0.1, -0.1]),
    "variance": np.float32([0.5, 1.0, 2.0]),
    "pads": np.array([0, 0, 1, 0, 0, 0, 0, 1], np.int64),
    "d27": 0.4 * _numbers(27, 3),
    "d27_bias": _numbers(3),
    "d12": 0.6 * _numbers(12, 3),
    "d12_bias": _numbers(3),
}
"""Constants of the networks on images."""

_FIRST: Layer = ("Conv", {"strides": [2, 2], "pads": [1, 1, 1, 1]}, ["k", "k_bias"])
_FLAT: Layer = ("Flatten", {}, [])
_CONVOLUTIONAL: dict[str, list[Layer]] = {
    "batch normalisation": [
        _FIRST,
        ("BatchNormalization", {}, ["scale", "shift", "average", "variance"]),
        _RELU,
        _FLAT,
        _gemm("d27"),
    ],
    "max-pooling": [_FIRST, _RELU, ("MaxPool", {"kernel_shape": [2, 2]}, []), _FLAT, _gemm("d12")],
    "average-pooling": [
        _FIRST,
        ("Pad", {}, ["pads"]),
        _RELU,
        ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, []),
        _FLAT,
        _gemm("d12"),
    ],
    "transposed convolution": [
        _FIRST,
        _RELU,
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, []),
        ("ConvTranspose", {}, ["up"]),
        _RELU,
        ("GlobalAveragePool", {}, []),
        _FLAT,
    ],
}
ON_FOUR = (*_ACTIVATIONS, *_STRUCTURES)
"""Names of the networks on four inputs."""
ON_IMAGES = tuple(_CONVOLUTIONAL)
"""Names of those on images."""


def networks(folder: Path) -> None:
    """``NAME.onnx`` of every network, boxes in ``four.npz`` and ``images.npz``."""
    for name, activation in _ACTIVATIONS.items():
        layers = [_gemm("a"), activation, _gemm("b"), activation, _gemm("c")]
        save(folder / f"{name}.onnx", layers, (4,), 3, **_DENSE)
    for name, layers in _STRUCTURES.items():
        save(folder / f"{name}.onnx", layers, (4,), 3, **_DENSE)
    for name, layers in _CONVOLUTIONAL.items():
        save(folder / f"{name}.onnx", layers, _IMAGE, 2 if "transposed" in name else 3, **_CONV)
    save(
        folder / "unsupported.onnx", [_gemm("a"), ("Asinh", {}, []), _gemm("c")], (4,), 3, **_DENSE
    )
    for name, shape in (("four", (4,)), ("images", _IMAGE)):
        center = _numbers(2, *shape)
        labels = np.array([0, 1])
        np.savez(folder / f"{name}.npz", lower=center - 0.1, upper=center + 0.15, y=labels)
