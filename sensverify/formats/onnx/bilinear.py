"""Products of two values that depend on the input."""

from __future__ import annotations

import numpy as np

from sensverify.formats.onnx.call import Call, Variable
from sensverify.formats.onnx.lowering import activated, broadcast_shape
from sensverify.formats.products import Entries, matrix_product, products
from sensverify.network.operators import Square


def times(call: Call, first: Variable, second: Variable) -> Variable:
    """``x * y``, with broadcasting."""
    if first == second:
        return activated(call, first, Square())
    node = products(call, _entries(first, 1), _entries(second, 1))
    return Variable(node, broadcast_shape(first, second))


def matrices_multiplied(call: Call, first: Variable, second: Variable) -> Variable:
    """``X @ Y`` of values with two axes or more, with broadcasting of those in front."""
    batch = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
    node = matrix_product(call, _entries(first, 2), _entries(second, 2))
    return Variable(node, (*batch, first.shape[-2], second.shape[-1]))


def _entries(variable: Variable, least: int) -> Entries:
    """All entries of a variable, without a batch axis of 1 in front of that many axes."""
    shape = variable.shape
    kept = shape[1:] if len(shape) > least and shape[0] == 1 else shape
    return variable.node, np.arange(variable.size).reshape(kept)
