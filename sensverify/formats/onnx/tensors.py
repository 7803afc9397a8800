"""ONNX tensors as numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from sensverify.errors import BadModelFile, UnsupportedOperator

FLOATS: dict[int, Any] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float32,
    TensorProto.BFLOAT16: np.float32,
}
"""Types a network may compute in, and the type their constants are held in."""

OTHERS: dict[int, Any] = {
    TensorProto.BOOL: np.bool_,
    TensorProto.INT8: np.int8,
    TensorProto.INT16: np.int16,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.UINT8: np.uint8,
    TensorProto.UINT16: np.uint16,
    TensorProto.UINT32: np.uint32,
    TensorProto.UINT64: np.uint64,
    TensorProto.INT4: np.int8,
    TensorProto.UINT4: np.uint8,
}

STORED = {**FLOATS, **OTHERS}


def to_array(tensor: TensorProto, name: str) -> np.ndarray:
    """A tensor's values; 16-bit floats are widened to float32, which changes none of them.

    Raises
    ------
    BadModelFile
        The values do not fit the shape, or hold NaN.
    UnsupportedOperator
        The type is none a network computes in (text, complex, 8-bit floats, ...).
    """
    if tensor.data_type not in STORED:
        raise UnsupportedOperator(
            f"tensor '{name}' has type {type_name(tensor.data_type)}; supported are real numbers "
            "of 16 bits or more, integers and booleans"
        )
    try:
        values = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise BadModelFile(f"tensor '{name}' cannot be read: {error}") from None
    values = np.array(values, dtype=STORED[tensor.data_type])
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise BadModelFile(f"tensor '{name}' holds NaN; weights must be finite")
    return values


def type_name(data_type: int) -> str:
    """Name of an element type in ONNX."""
    if data_type in TensorProto.DataType.values():
        return TensorProto.DataType.Name(data_type)
    return f"number {data_type}"
