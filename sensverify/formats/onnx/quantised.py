"""ONNX operators on integers that stand for real numbers.

Quantising is dividing, rounding to the nearest integer (of two the even one), moving by the zero
point and keeping within the integer type; everything else is affine. So a quantised network is one
of steps, and nothing of it is taken for the network that it was made of. Integers are computed with
as real numbers, which hold all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.convolutions import convolved
from sensverify.formats.onnx.lowering import activated, divided, scaled
from sensverify.formats.onnx.matrices import product
from sensverify.formats.onnx.tensors import STORED, type_name
from sensverify.network.operators import Clip, Round

_TYPES = (np.uint8, np.int8, np.uint16, np.int16)

_FOUR_BITS = (TensorProto.INT4, TensorProto.UINT4)
"""Held in 8 bits here, which would saturate elsewhere."""


def has_four_bits(graph: onnx.GraphProto) -> bool:
    """Whether a graph holds integers of 4 bits, or makes any."""
    for node in graph.node:
        for item in node.attribute:
            inner = [item.g, *item.graphs] if item.HasField("g") else item.graphs
            if item.t.data_type in _FOUR_BITS or any(has_four_bits(each) for each in inner):
                return True
            if item.name in ("to", "output_dtype") and item.i in _FOUR_BITS:
                return True
    return any(tensor.data_type in _FOUR_BITS for tensor in graph.initializer)


@handles("QuantizeLinear")
def quantize_linear(call: Call) -> Value:
    """``saturate(round(x / scale) + zero point)``."""
    variable = call.variable(0)
    axis = _axis(call, variable)
    call.attribute("saturate")  # concerns floats of 8 bits alone
    output, precision = call.attribute("output_dtype", 0), call.attribute("precision", 0)
    if precision not in (0, call.element):
        raise call.refusal(f"a division in {type_name(precision)} is not supported")
    scale = _positive(call, 1, "the scale")
    zero = call.optional_constant(2, "the zero point")
    kind = np.dtype(np.uint8) if zero is None else zero.dtype
    if output and zero is None:
        kind = np.dtype(STORED.get(output, np.void))
    return _quantised(call, variable, _along(call, scale, variable, axis), zero, kind, axis)


@handles("DequantizeLinear")
def dequantize_linear(call: Call) -> Value:
    """``(x - zero point) * scale``."""
    variable = call.variable(0)
    axis = _axis(call, variable)
    if call.attribute("output_dtype", 0) not in (0, call.element):
        raise call.refusal("an output of another type than the network's is not supported")
    scale = _along(call, call.constant(1, "the scale"), variable, axis)
    zero = call.optional_constant(2, "the zero point")
    moved = _from_zero(call, variable, None if zero is None else _along(call, zero, variable, axis))
    return scaled(call, moved, scale)


@handles("DynamicQuantizeLinear")
def dynamic_quantize_linear(call: Call) -> Value:
    """Of constants it is computed; of a variable its scale is no constant."""
    raise call.refusal(
        "its scale depends on the network's input, so that every output depends on all inputs",
        "quantise the network with constant scales (static quantisation)",
    )


@handles("ConvInteger")
def conv_integer(call: Call) -> Value:
    """A convolution of integers, each kind less its zero point."""
    zeros = [call.optional_constant(i, "a zero point") for i in (2, 3)]
    weight = _kernel(call, call.constant(1, "the kernel"), zeros[1])
    return convolved(call, _from_zero(call, call.variable(0), zeros[0]), weight, None)


@handles("MatMulInteger")
def matmul_integer(call: Call) -> Value:
    """A product of integers, each kind less its zero point."""
    zeros = [call.optional_constant(i, "a zero point") for i in (2, 3)]
    first = _less(call, call.input(0), _by_row(zeros[0]))
    return product(call, first, _less(call, call.input(1), zeros[1]))


@handles("QLinearConv")
def qlinear_conv(call: Call) -> Value:
    """A convolution of integers, whose sums are scaled and quantised."""
    variable = call.variable(0)
    first, second = (_positive(call, i, "a scale") for i in (1, 4))
    zeros = [call.constant(i, "a zero point") for i in (2, 5, 7)]
    weight = _kernel(call, call.constant(3, "the kernel"), zeros[1])
    bias = call.optional_constant(8, "the bias")
    bias = None if bias is None else call.real(bias)
    sums = convolved(call, _from_zero(call, variable, zeros[0]), weight, bias)
    result = scaled(call, scaled(call, sums, first), _along(call, second, sums, 1))
    return _quantised(call, result, _positive(call, 6, "a scale"), zeros[2], zeros[2].dtype, 1)


@handles("QLinearMatMul")
def qlinear_matmul(call: Call) -> Value:
    """A product of integers, whose sums are scaled and quantised."""
    scales = [_positive(call, i, "a scale") for i in (1, 4, 6)]
    zeros = [call.constant(i, "a zero point") for i in (2, 5, 7)]
    first = _less(call, call.input(0), _by_row(zeros[0]))
    sums = call.as_variable(product(call, first, _less(call, call.input(3), zeros[1])))
    result = scaled(call, scaled(call, sums, _by_row(scales[0])), scales[1])
    return _quantised(call, result, _by_row(scales[2]), _by_row(zeros[2]), zeros[2].dtype, None)


def _quantised(
    call: Call,
    variable: Variable,
    scale: Any,
    zero: np.ndarray | None,
    kind: np.dtype[Any],
    axis: int | None,
) -> Variable:
    """``saturate(round(x / scale) + zero)``, in the order of ONNX."""
    if call.four_bits or kind not in _TYPES:
        named = "4 bits" if call.four_bits else str(kind)
        raise call.refusal(f"quantising to integers of {named} is not supported")
    result = activated(call, divided(call, variable, scale), Round())
    if zero is not None and zero.any():
        placed = zero if axis is None else _along(call, zero, result, axis)
        result = scaled(call, result, shift=placed)
    limits = np.iinfo(kind)
    return activated(call, result, Clip(float(limits.min), float(limits.max)))


def _axis(call: Call, variable: Variable) -> int:
    """The axis that scales and zero points go along."""
    axis = int(call.attribute("axis", 1))
    if call.attribute("block_size", 0):
        raise call.refusal("scales for blocks of entries are not supported")
    return axis + len(variable.shape) if axis < 0 else axis


def _along(call: Call, values: np.ndarray, variable: Variable, axis: int) -> np.ndarray:
    """One number, or one for every entry along an axis, to be broadcast to a variable."""
    if values.size == 1:
        return values.reshape(())
    if values.ndim != 1 or not axis < len(variable.shape) or len(values) != variable.shape[axis]:
        raise call.invalid(f"parameters of shape {values.shape} do not fit {variable.shape}")
    return values.reshape(-1, *(1,) * (len(variable.shape) - axis - 1))


def _by_row(values: Any) -> Any:
    """One number for all of a matrix, or one for every row."""
    return values if values is None or values.ndim != 1 or values.size == 1 else values[:, None]


def _positive(call: Call, index: int, what: str) -> np.ndarray:
    """A scale, which has to be a positive number."""
    values = call.constant(index, what)
    # Written so that a NaN fails it.
    if values.dtype.kind != "f" or not ((values > 0) & np.isfinite(values)).all():
        raise call.invalid(f"{what} is not positive")
    return values


def _kernel(call: Call, weight: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
    """A kernel less its zero point, one number or one for every output channel."""
    if zero is not None and zero.size > 1:
        zero = zero.reshape(-1, *(1,) * (weight.ndim - 1))
    return np.asarray(_less(call, weight, zero))


def _less(call: Call, value: Value, zero: np.ndarray | None) -> Value:
    """Integers less their zero point."""
    if isinstance(value, Variable):
        return _from_zero(call, value, zero)
    return call.real(value) if zero is None else call.real(value) - call.real(zero)


def _from_zero(call: Call, variable: Variable, zero: np.ndarray | None) -> Variable:
    if zero is None or not zero.any():
        return variable
    zero = zero.reshape(()) if zero.size == 1 else zero
    return scaled(call, variable, shift=-call.real(zero))
