"""ONNX operators that make constants, and arithmetic on values known at import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from sensverify.formats.onnx.call import Call, Value, handles
from sensverify.formats.onnx.folding import computed
from sensverify.formats.onnx.tensors import FLOATS, OTHERS, STORED, to_array, type_name

DIGITS: dict[int, tuple[int, int]] = {
    TensorProto.FLOAT: (24, 8),
    TensorProto.DOUBLE: (53, 11),
    TensorProto.FLOAT16: (11, 5),
    TensorProto.BFLOAT16: (8, 8),
}
"""Binary digits of the significand and of the exponent, by the type of a real number."""


def folded(call: Call, function: Callable[..., Any]) -> np.ndarray:
    """A numpy function of constant inputs; the result's size is counted before it is computed."""
    arrays = [call.constant(i, f"input {i}") for i in range(len(call.inputs))]
    call.reserve(np.broadcast_shapes(*(array.shape for array in arrays)))
    with np.errstate(all="ignore"):
        return np.asarray(function(*arrays))


@handles("Constant", folds=True)
def constant(call: Call) -> Value:
    """A constant in any of its forms."""
    if len(call.attributes) != 1:
        raise call.invalid("a constant has exactly one value")
    (key,) = call.attributes
    value = call.attributes[key]
    if key == "value":
        call.attribute(key)
        return to_array(value, call.name)
    if key in ("value_float", "value_floats"):
        call.attribute(key)
        result = np.array(value, np.float32)
        if np.isnan(result).any():
            raise call.invalid("the constant holds NaN")
        return result
    if key in ("value_int", "value_ints"):
        call.attribute(key)
        return np.array(value, np.int64)
    raise call.refusal(f"constants given by '{key}' are not supported")


@handles("ConstantOfShape", folds=True)
def constant_of_shape(call: Call) -> Value:
    """One value, repeated."""
    shape = call.integers(0, "the shape")
    call.reserve(shape)
    value = call.attribute("value")
    fill = np.zeros(1, np.float32) if value is None else to_array(value, call.name).reshape(-1)
    if fill.size != 1:
        raise call.invalid("the value to repeat must be one number")
    return np.full(shape, fill[0])


@handles("Shape", folds=True)
def shape_of(call: Call) -> Value:
    """A value's shape, which is known with a batch axis of 1."""
    shape = call.input(0).shape
    start, end = call.attribute("start", 0), call.attribute("end", len(shape))
    return np.array(shape[slice(start, end)], np.int64)


@handles("Size", folds=True)
def size_of(call: Call) -> Value:
    """Number of entries of a value."""
    return np.array(call.input(0).size, np.int64)


@handles("Cast", "CastLike", folds=True)
def cast(call: Call) -> Value:
    """Another type: of a constant any, of a variable one that holds all numbers of the input's.

    Bounds are those of the network in real arithmetic, where such a cast changes nothing. A cast
    to a narrower type rounds, which is no rounding error but part of the network.
    """
    value = call.input(0)
    call.attribute("saturate")
    call.attribute("round_mode")
    if call.operator_type == "CastLike":
        like = call.input(1)
        if isinstance(value, np.ndarray) and isinstance(like, np.ndarray):
            if value.dtype.kind == "f" and like.dtype.kind in "iu" and not _fits(value, like.dtype):
                return _beyond(call)
            return value.astype(like.dtype)
        if isinstance(value, np.ndarray):
            return value.astype(call.dtype)
        if isinstance(like, np.ndarray) and like.dtype != np.float64:
            # 16-bit constants are held in float32, so its own type is not known here.
            raise call.refusal(
                "a cast to the type of a constant, which may round, is not supported",
                "export it as a Cast",
            )
        return value
    target = call.attribute("to")
    if isinstance(value, np.ndarray) and target in STORED:
        if value.dtype.kind == "f" and target in OTHERS and not _fits(value, STORED[target]):
            return _beyond(call)
        if value.dtype == np.float64 and target == TensorProto.BFLOAT16:
            call.refuse_inexact(value)  # rounded twice, by way of float32
        with np.errstate(all="ignore"):
            rounded = value.astype(onnx.helper.tensor_dtype_to_np_dtype(target))
            return rounded.astype(STORED[target])
    if target not in FLOATS:
        raise call.refusal(f"a cast to {type_name(target)} is not supported")
    if any(t < n for t, n in zip(DIGITS[target], DIGITS[call.element], strict=True)):
        raise call.refusal(
            f"a cast to {type_name(target)} rounds what is computed in {type_name(call.element)}, "
            "and rounding has no bounds here",
            "export the network in one precision",
        )
    return value


def _beyond(call: Call) -> Value:
    """A cast of real numbers that the integer type does not hold: as onnxruntime does it here."""
    if call.exact:
        raise call.refusal(
            "a real number that does not fit the integer type it is cast to gives what the machine "
            "makes of it, so the file does not define its weights exactly"
        )
    (result,) = computed(call)
    return result


def _fits(values: np.ndarray, kind: Any) -> bool:
    """True where real numbers, cut to whole ones, are among the numbers of a type."""
    if np.dtype(kind).kind == "b":
        return True
    limits = np.iinfo(kind)
    wide = values.astype(np.float64)
    # Written so that NaN fits nowhere.
    return bool(((wide > limits.min - 1.0) & (wide < limits.max + 1.0)).all())
