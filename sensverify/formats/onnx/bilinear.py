"""Products of two values that depend on the input."""

from __future__ import annotations

from math import prod

import numpy as np

from sensverify.formats.onnx.call import Call, Variable, without_batch_axis
from sensverify.formats.onnx.lowering import activated, broadcast_shape, multiplied
from sensverify.network.operators import Concat, Product, Select, Square
from sensverify.network.shapes import Shape


def times(call: Call, first: Variable, second: Variable) -> Variable:
    """``x * y``, with broadcasting."""
    if first == second:
        return activated(call, first, Square())
    shape = broadcast_shape(first, second)
    call.reserve((2, *shape))
    node, places = _beside(call, first, second)
    return _products(call, node, *(np.broadcast_to(each, shape) for each in places))


def matrices_multiplied(call: Call, first: Variable, second: Variable) -> Variable:
    """``X @ Y`` of values with two axes or more, with broadcasting of those in front."""
    rows, inner = first.shape[-2:]
    columns = second.shape[-1]
    batch = tuple(np.broadcast_shapes(first.shape[:-2], second.shape[:-2]))
    shape = (*batch, rows, columns, inner)
    call.reserve((2, *shape))
    node, (left, right) = _beside(call, first, second)
    right = np.swapaxes(right, -1, -2)[..., None, :, :]
    pairs = (np.broadcast_to(each, shape) for each in (left[..., :, None, :], right))
    terms = _products(call, node, *pairs)
    if inner == 1:
        return Variable(terms.node, shape[:-1])
    summed = multiplied(call, terms, np.ones((1, inner), call.dtype))
    return Variable(summed.node, shape[:-1])


def _beside(
    call: Call, first: Variable, second: Variable
) -> tuple[int, tuple[np.ndarray, np.ndarray]]:
    """A node that holds both values, and the places of their entries in it."""
    places = [np.arange(value.size).reshape(value.shape) for value in (first, second)]
    if first.node == second.node:
        return first.node, (places[0], places[1])
    nodes = (call.node_of(value, (value.size,)) for value in (first, second))
    return call.emit(Concat(0), *nodes), (places[0], places[1] + first.size)


def _products(call: Call, node: int, left: np.ndarray, right: np.ndarray) -> Variable:
    """The product of two entries of a node at each place."""
    shape: Shape = left.shape
    inside = without_batch_axis(shape) if prod(shape) > 1 else shape
    pairs = np.stack([left, right], axis=-1).reshape(*inside, 2)
    return Variable(call.emit(Product(), call.emit(Select(pairs), node)), shape)
