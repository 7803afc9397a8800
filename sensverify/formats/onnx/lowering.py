"""Building blocks for lowering ONNX operators."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from sensverify.formats.onnx.call import Call, Value, Variable, without_batch_axis
from sensverify.network.operators import (
    Add,
    Affine,
    Concat,
    Divide,
    Elementwise,
    Max,
    Permute,
    Scale,
    Select,
)
from sensverify.network.shapes import Shape


def rearranged(call: Call, value: Value, function: Callable[[np.ndarray], np.ndarray]) -> Value:
    """A function that only picks and moves entries, applied to a constant or to a variable.

    For a variable, it is applied to the positions of the entries: that is the `Select` it is.
    """
    if not isinstance(value, Variable):
        result = np.array(function(value))
        call.reserve(result.shape)
        return result
    call.reserve(value.shape)
    # Not ascontiguousarray, which gives one number an axis.
    indices = np.array(function(np.arange(value.size).reshape(value.shape)), order="C")
    if indices.size == 0:
        # What has no entries does not depend on the input.
        return np.zeros(indices.shape, call.dtype)
    if indices.size == value.size and (indices.reshape(-1) == np.arange(value.size)).all():
        return Variable(value.node, indices.shape)
    call.reserve(indices.shape)
    return Variable(call.emit(Select(indices), value.node), indices.shape)


def reshaped(call: Call, value: Value, shape: Shape) -> Value:
    """The same numbers under another shape: free for a variable."""
    if not isinstance(value, Variable):
        return value.reshape(shape)
    if prod(shape) != value.size:
        raise ValueError(f"cannot reshape {value.shape} to {shape}")
    return Variable(value.node, shape)


def transposed(call: Call, value: Value, axes: tuple[int, ...]) -> Value:
    """Axes in another order; free for a variable where only axes of length 1 move."""
    if not isinstance(value, Variable):
        return np.array(value.transpose(axes), order="C")
    if sorted(axes) != list(range(len(value.shape))):
        raise ValueError(f"{axes} is no order of the axes of {value.shape}")
    shape = tuple(value.shape[axis] for axis in axes)
    moved = [axis for axis in axes if value.shape[axis] != 1]
    if moved == sorted(moved):
        return Variable(value.node, shape)
    if axes[0] == 0 and value.shape[0] == 1:
        node = call.node_of(value, value.shape[1:])
        return Variable(call.emit(Permute(tuple(axis - 1 for axis in axes[1:])), node), shape)
    return Variable(call.emit(Permute(axes), call.node_of(value, value.shape)), shape)


def broadcast(call: Call, value: Value, shape: Shape) -> Value:
    """A value repeated along axes of length 1 until it has the shape given."""
    if tuple(value.shape) == shape:
        return value
    call.reserve(shape)
    return rearranged(call, value, lambda values: np.broadcast_to(values, shape))


def broadcast_shape(*values: Value) -> Shape:
    """The shape that values have after numpy's (and ONNX's) broadcasting."""
    return tuple(np.broadcast_shapes(*(tuple(value.shape) for value in values)))


def aligned(call: Call, variable: Variable, parameter: np.ndarray) -> tuple[int, np.ndarray]:
    """A node for a variable, and a parameter reshaped so that it broadcasts to that node.

    ``parameter`` broadcasts to the variable's ONNX shape. The node keeps its own shape where that
    has the same axes longer than 1, which spares a reshape.
    """
    shape = variable.shape
    lengths = (1,) * (len(shape) - parameter.ndim) + parameter.shape
    wanted = [n for n in shape if n != 1]
    node = variable.node
    if [n for n in call.builder.shape(node) if n != 1] != wanted:
        node = call.node_of(variable, without_batch_axis(shape))
    longer = iter([m for m, n in zip(lengths, shape, strict=True) if n != 1])
    places = tuple(next(longer) if n != 1 else 1 for n in call.builder.shape(node))
    return node, parameter.reshape(places if prod(lengths) != 1 else ())


def empty(call: Call, *values: Value) -> np.ndarray | None:
    """Zeros in the broadcast shape of values where that has no entries, else None."""
    shape = broadcast_shape(*values)
    return np.zeros(shape, call.dtype) if 0 in shape else None


def scaled(call: Call, variable: Variable, scale: Any = None, shift: Any = None) -> Variable:
    """``scale * x + shift``, with broadcasting in both directions; either may be None."""
    parameters = [None if p is None else call.real(p) for p in (scale, shift)]
    shape = broadcast_shape(variable, *(p for p in parameters if p is not None))
    variable = broadcast(call, variable, shape)  # type: ignore[assignment]
    node = variable.node
    arrays = []
    for parameter in parameters:
        if parameter is not None:
            node, parameter = aligned(call, Variable(node, shape), parameter)
        arrays.append(parameter)
    return Variable(call.emit(Scale(*arrays), node), shape)


def divided(call: Call, variable: Variable, divisor: Any) -> Variable:
    """``x / divisor``, with broadcasting in both directions."""
    divisor = call.real(divisor)
    if (divisor == 0).any():
        raise call.invalid("division by zero")
    shape = broadcast_shape(variable, divisor)
    variable = broadcast(call, variable, shape)  # type: ignore[assignment]
    node, divisor = aligned(call, variable, divisor)
    return Variable(call.emit(Divide(divisor), node), shape)


def added(call: Call, *variables: Variable) -> Variable:
    """The sum of variables, with broadcasting."""
    shape = broadcast_shape(*variables)
    terms: list[Variable] = [broadcast(call, v, shape) for v in variables]  # type: ignore[misc]
    shapes = {call.builder.shape(term.node) for term in terms}
    if len(shapes) > 1:
        terms = [Variable(call.node_of(term, without_batch_axis(shape)), shape) for term in terms]
    counts: dict[int, int] = {}
    for term in terms:
        counts[term.node] = counts.get(term.node, 0) + 1
    nodes = [
        node if count == 1 else scaled(call, Variable(node, shape), float(count)).node
        for node, count in counts.items()
    ]
    return Variable(nodes[0] if len(nodes) == 1 else call.emit(Add(), *nodes), shape)


def activated(call: Call, variable: Variable, operator: Elementwise) -> Variable:
    """A function of one number, applied to all of them."""
    return Variable(call.emit(operator, variable.node), variable.shape)


def multiplied(
    call: Call, variable: Variable, weight: np.ndarray, bias: np.ndarray | None = None
) -> Variable:
    """``x @ weight.T + bias`` along the last axis."""
    node = variable.node
    if call.builder.shape(node)[-1:] != variable.shape[-1:]:
        node = call.node_of(variable, without_batch_axis(variable.shape))
    shape = (*variable.shape[:-1], weight.shape[0])
    weight = np.ascontiguousarray(weight)
    return Variable(call.emit(Affine(weight, bias), node), shape)


def joined(call: Call, variables: list[Variable], axis: int) -> Variable:
    """Variables joined along an axis."""
    shape = list(variables[0].shape)
    shape[axis] = sum(v.shape[axis] for v in variables)
    drop = axis > 0 and len(shape) >= 2 and all(v.shape[0] == 1 for v in variables)
    nodes = [call.node_of(v, v.shape[1:] if drop else v.shape) for v in variables]
    node = nodes[0] if len(nodes) == 1 else call.emit(Concat(axis - drop), *nodes)
    return Variable(node, tuple(shape))


def grouped_last(call: Call, variable: Variable, axes: list[int]) -> Variable:
    """The axes given moved behind the others, in order, and joined into one."""
    rest = [axis for axis in range(len(variable.shape)) if axis not in axes]
    moved: Variable = transposed(call, variable, (*rest, *axes))  # type: ignore[assignment]
    size = prod(variable.shape[axis] for axis in axes)
    return Variable(moved.node, (*(variable.shape[axis] for axis in rest), size))


def along_axis(
    call: Call, variable: Variable, axis: int, weight: np.ndarray, divisor: int = 1
) -> Variable:
    """``weight / divisor``, of shape ``[new length, length]``, times the entries along an axis."""
    count = len(variable.shape)
    rest = [other for other in range(count) if other != axis]
    moved: Variable = transposed(call, variable, (*rest, axis))  # type: ignore[assignment]
    result = multiplied(call, moved, weight)
    result = result if divisor == 1 else divided(call, result, divisor)
    back = list(range(count - 1))
    back.insert(axis, count - 1)
    return transposed(call, result, tuple(back))  # type: ignore[return-value]


def largest(call: Call, variable: Variable) -> Variable:
    """The maximum along the last axis, which disappears."""
    if variable.shape[-1] == 1:
        return Variable(variable.node, variable.shape[:-1])
    shape = variable.shape if len(variable.shape) == 1 else without_batch_axis(variable.shape)
    return Variable(call.emit(Max(), call.node_of(variable, shape)), variable.shape[:-1])


def repeated(call: Call, batch: int, values: np.ndarray) -> np.ndarray:
    """Parameters for every item of a batch: more items than one are lowered to channels."""
    if batch == 1:
        return values
    call.reserve((batch, values.size))
    return np.tile(values, (batch, *(1 for _ in values.shape[1:])))
