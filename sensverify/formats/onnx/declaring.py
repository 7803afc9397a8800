"""Shapes and types that a file declares for its inputs."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import onnx
from onnx import TensorProto

from sensverify.errors import BadModelFile
from sensverify.formats.onnx.call import MAX_ELEMENTS
from sensverify.formats.onnx.tensors import FLOATS, type_name


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
