"""ONNX matrix products and batch normalisation."""

from __future__ import annotations

import numpy as np

from sensverify.formats.onnx.arithmetic import total
from sensverify.formats.onnx.bilinear import matrices_multiplied
from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.lowering import (
    broadcast,
    divided,
    multiplied,
    repeated,
    reshaped,
    scaled,
    transposed,
)
from sensverify.network.operators import BatchNorm, Conv
from sensverify.network.shapes import Shape


@handles("MatMul")
def matmul(call: Call) -> Value:
    """A matrix product."""
    return product(call, call.input(0), call.input(1))


def product(call: Call, first: Value, second: Value, factor: float = 1.0) -> Value:
    """``factor * first @ second`` with numpy's rules for one and more than two axes."""
    if not first.shape or not second.shape:
        raise call.invalid("a matrix product needs matrices")
    if len(first.shape) == 1 and len(second.shape) > 1:
        result = product(call, reshaped(call, first, (1, *first.shape)), second, factor)
        return reshaped(call, result, (*result.shape[:-2], result.shape[-1]))
    if len(second.shape) == 1:
        column = reshaped(call, second, (*second.shape, 1))
        result = product(call, _matrix(call, first), column, factor)
        return reshaped(call, result, (*first.shape[:-1],) if len(first.shape) > 1 else ())
    if first.shape[-1] != second.shape[-2]:
        raise call.invalid(f"matrices {first.shape} and {second.shape} do not fit")
    if isinstance(first, Variable) and isinstance(second, Variable):
        return _times(call, matrices_multiplied(call, first, second), factor)
    if isinstance(first, np.ndarray):
        # A x = (x' A')'
        sides = _swap(call, second), _swap(call, first)
        return _swap(call, _right(call, *sides, factor))  # type: ignore[arg-type]
    return _right(call, first, second, factor)  # type: ignore[arg-type]


def _matrix(call: Call, value: Value) -> Value:
    return reshaped(call, value, (1, *value.shape)) if len(value.shape) == 1 else value


def _swap(call: Call, value: Value) -> Value:
    axes = tuple(range(len(value.shape)))
    return transposed(call, value, (*axes[:-2], axes[-1], axes[-2]))


def _right(call: Call, variable: Variable, weight: np.ndarray, factor: float) -> Value:
    """A variable times a constant and a number; both have two axes or more."""
    batch = tuple(np.broadcast_shapes(variable.shape[:-2], weight.shape[:-2]))
    rows, inner = variable.shape[-2:]
    outputs = weight.shape[-1]
    if weight.size == inner * outputs:
        result = multiplied(call, variable, weight.reshape(inner, outputs).T)
        result = _times(call, result, factor)
        return reshaped(call, result, (*batch, rows, outputs))
    # One matrix for every item of the batch is a convolution in groups with kernel 1.
    count = int(np.prod(batch))
    call.reserve((count, inner, outputs))
    variable = broadcast(call, variable, (*batch, rows, inner))  # type: ignore[assignment]
    items = _swap(call, Variable(variable.node, (count, rows, inner)))
    node = call.node_of(call.as_variable(items), (count * inner, rows))
    kernels = np.broadcast_to(weight, (*batch, inner, outputs)).reshape(count, inner, outputs)
    kernels = np.ascontiguousarray(kernels.transpose(0, 2, 1)).reshape(count * outputs, inner, 1)
    node = call.emit(Conv(kernels, None, (1,), (0,), (1,), count), node)
    multiplications = _swap(call, _times(call, Variable(node, (count, outputs, rows)), factor))
    return reshaped(call, multiplications, (*batch, rows, outputs))


@handles("Gemm")
def gemm(call: Call) -> Value:
    """``alpha * A' B' + beta * C``; C may be missing."""
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    sides = []
    for index, name in ((0, "transA"), (1, "transB")):
        value = call.input(index)
        if len(value.shape) != 2:
            raise call.invalid(f"input {index} has shape {value.shape}, not a matrix's")
        sides.append(_swap(call, value) if call.attribute(name, 0) else value)
    first, second = sides
    result = product(call, first, second, alpha)
    offset = call.optional(2)
    if offset is None:
        return result
    if np.broadcast_shapes(tuple(offset.shape), tuple(result.shape)) != tuple(result.shape):
        raise call.invalid(f"C of shape {offset.shape} does not fit {result.shape}")
    if beta == 0.0:
        return result
    if beta == 1.0:
        return total(call, [result, offset])
    if isinstance(offset, Variable):
        return total(call, [result, scaled(call, offset, beta)])
    # beta * (result / beta + C), which multiplies no stored number by another.
    inner = total(call, [divided(call, call.as_variable(result), beta), offset])
    return scaled(call, call.as_variable(inner), beta)


@handles("BatchNormalization")
def batch_normalization(call: Call) -> Value:
    """``(x - mean) / sqrt(variance + epsilon) * weight + bias`` with fixed statistics."""
    epsilon = call.attribute("epsilon", 1e-5)
    call.attribute("momentum")  # concerns training alone
    if call.attribute("training_mode", 0) or not call.attribute("spatial", 1):
        raise call.refusal("only batch normalisation over channels in inference is supported")
    variable = call.variable(0)
    names = ("the weight", "the bias", "the mean", "the variance")
    arrays = [call.constant(i, name) for i, name in enumerate(names, start=1)]
    channels = variable.shape[1:2]
    if not channels or any(array.shape != channels for array in arrays):
        raise call.invalid(f"statistics do not fit an input of shape {variable.shape}")
    if not (arrays[3].astype(np.float64) + epsilon > 0).all():
        raise call.invalid("a variance is not positive")
    batch = variable.shape[0]
    weight, bias, mean, variance = (repeated(call, batch, array) for array in arrays)
    node = _channels_first(call, variable, (batch * channels[0], *variable.shape[2:]))
    node = call.emit(BatchNorm(weight, bias, mean, variance, epsilon), node)
    return Variable(node, variable.shape)


def _channels_first(call: Call, variable: Variable, shape: Shape) -> int:
    """A node of the shape given, or of one with other axes of length 1 behind the first."""
    own = call.builder.shape(variable.node)
    alike = [n for n in own if n != 1] == [n for n in shape if n != 1]
    return variable.node if alike and own[:1] == shape[:1] else call.node_of(variable, shape)


def _times(call: Call, variable: Variable, factor: float) -> Variable:
    return variable if factor == 1.0 else scaled(call, variable, factor)
