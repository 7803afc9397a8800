"""Shapes and types that a file declares for its inputs and outputs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from sensverify.errors import BadModelFile
from sensverify.formats.onnx.call import MAX_ELEMENTS
from sensverify.formats.onnx.reader import read_model
from sensverify.formats.onnx.tensors import FLOATS, OTHERS, type_name


def declared(
    item: onnx.ValueInfoProto, types: Collection[int] = FLOATS
) -> tuple[tuple[int, ...], int]:
    """Shape, with a batch axis of 1, and ONNX element type of an input of the model."""
    kind = item.type.tensor_type
    if not item.type.HasField("tensor_type") or kind.elem_type not in types:
        raise BadModelFile(
            f"input '{item.name}' holds {type_name(kind.elem_type)}; expected real numbers"
        )
    if not kind.HasField("shape"):
        raise BadModelFile(f"input '{item.name}' has no declared shape", "export with fixed sizes")
    lengths = [int(d.dim_value) if d.HasField("dim_value") else -1 for d in kind.shape.dim]
    if lengths and lengths[0] < 0:
        lengths[0] = 1
    if any(n < 0 for n in lengths):
        raise BadModelFile(
            f"input '{item.name}' has the shape {_dimensions(kind)}",
            "only the first axis, the batch, may be dynamic: give `input_shape`, or export with "
            "fixed sizes",
        )
    if not 0 < prod(lengths) <= MAX_ELEMENTS:
        raise BadModelFile(f"input '{item.name}' of shape {_dimensions(kind)} cannot be used")
    return tuple(lengths), kind.elem_type


def _dimensions(kind: TensorProto) -> str:
    texts = [
        d.dim_param or (str(d.dim_value) if d.HasField("dim_value") else "?")
        for d in kind.shape.dim
    ]
    return f"({', '.join(texts)})"


@dataclass(frozen=True)
class DeclaredEnd:
    """An input or output as a file declares it; ``shape`` has None for a length left open.

    ``dtype`` is numpy's name of its type; empty where numpy has none.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


@dataclass(frozen=True)
class DeclaredEnds:
    """The inputs, outputs and node types of a file, as they are declared; nothing is computed."""

    inputs: tuple[DeclaredEnd, ...]
    outputs: tuple[DeclaredEnd, ...]
    operators: tuple[str, ...]


def declared_ends(path: Path) -> DeclaredEnds:
    """The inputs and outputs of a file.

    Raises
    ------
    BadModelFile
        It is no usable file.
    """
    graph = read_model(path).graph
    stored = {tensor.name for tensor in graph.initializer}
    return DeclaredEnds(
        tuple(_end(item) for item in graph.input if item.name not in stored),
        tuple(_end(item) for item in graph.output),
        tuple(node.op_type for node in graph.node),
    )


def _end(item: onnx.ValueInfoProto) -> DeclaredEnd:
    kind = item.type.tensor_type
    shape = None
    if kind.HasField("shape"):
        shape = tuple(int(d.dim_value) if d.dim_value > 0 else None for d in kind.shape.dim)
    names = {
        TensorProto.FLOAT16: "float16",
        TensorProto.BFLOAT16: "bfloat16",
        TensorProto.FLOAT: "float32",
        TensorProto.DOUBLE: "float64",
        **{each: np.dtype(dtype).name for each, dtype in OTHERS.items()},
    }
    return DeclaredEnd(item.name, shape, names.get(kind.elem_type, ""))
