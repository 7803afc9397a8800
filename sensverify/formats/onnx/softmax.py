"""Softmax, its logarithm, and what sums exponentials: through differences of their inputs.

The form is that of `sensverify.formats.softmax`.
"""

from __future__ import annotations

from math import prod

import numpy as np

from sensverify.formats.onnx.arithmetic import total
from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.heads import SOFTMAX
from sensverify.formats.onnx.lowering import (
    activated,
    grouped_last,
    joined,
    multiplied,
    rearranged,
    reshaped,
    scaled,
    transposed,
)
from sensverify.formats.onnx.shapes import axis_of
from sensverify.formats.softmax import differences, visible
from sensverify.network.operators import (
    Exp,
    Log,
    Reciprocal,
    Reshape,
    Scale,
    Select,
)

HIDDEN = -1e30
"""Numbers up to which, added to what enters a softmax, are a mask: the exponential is 0 in every
type. Exporters write minus infinity, or the least float32."""


@handles(*SOFTMAX)
def softmax(call: Call) -> Value:
    """Shares of exponentials along an axis; before operator set 13, along all from it on."""
    variable = call.variable(0)
    rank = len(variable.shape)
    axis = axis_of(call, int(call.attribute("axis", -1 if call.opset >= 13 else 1)), rank)
    logarithm = call.operator_type == "LogSoftmax"
    if call.opset < 13:
        flat = (prod(variable.shape[:axis]), prod(variable.shape[axis:]))
        result = shares(call, Variable(variable.node, flat), logarithm=logarithm)
        return reshaped(call, result, variable.shape)
    last = grouped_last(call, variable, [axis])
    result = shares(call, last, logarithm=logarithm)
    back = [*range(axis), rank - 1, *range(axis, rank - 1)]
    return transposed(call, result, tuple(back))


def shares(call: Call, variable: Variable, *, logarithm: bool = False) -> Variable:
    """``exp(x_i) / sum_j exp(x_j)`` along the last axis, or the logarithm of it."""
    if not logarithm:
        variable, seen = _unmasked(call, variable)
        if not seen.all():
            return _visible_shares(call, variable, seen)
    n = variable.shape[-1]
    total = _relative_sums(call, variable, n)
    if logarithm:
        return scaled(call, activated(call, total, Log()), -1.0)
    return activated(call, total, Reciprocal())


def _unmasked(call: Call, variable: Variable) -> tuple[Variable, np.ndarray]:
    """The input of a softmax without a mask that is added to it, and the entries that it shows."""
    nodes, place = call.builder.nodes, variable.node
    while isinstance(nodes[place].operator, Reshape):
        (place,) = nodes[place].inputs
    added = nodes[place].operator
    if not isinstance(added, Scale) or added.scale is not None or added.shift is None:
        return variable, np.ones(variable.shape, bool)
    shift = np.broadcast_to(np.asarray(added.shift), nodes[place].shape)
    seen = shift > HIDDEN
    if seen.all():
        return variable, seen.reshape(variable.shape)
    if call.exact and np.isfinite(shift[~seen]).any():
        raise call.refusal(
            "a mask of large numbers hides entries almost, not exactly",
            "export it with minus infinity",
        )
    (before,) = nodes[place].inputs
    rest = np.where(seen, shift, np.zeros((), shift.dtype))
    node = call.emit(Scale(None, rest), before) if rest.any() else before
    return Variable(node, variable.shape), seen.reshape(variable.shape)


def _visible_shares(call: Call, variable: Variable, seen: np.ndarray) -> Variable:
    """A softmax of the entries that are seen along the last axis; the others have no share."""
    found = visible(seen)
    if found is None:
        raise call.refusal("a mask hides everything from an entry")
    parts: list[Variable] = []
    for picked in found.picked:
        node = call.emit(Select(picked), variable.node)
        part = shares(call, Variable(node, picked.shape))
        parts.append(Variable(part.node, (picked.size,)))
    nothing = scaled(call, parts[0], np.zeros((), call.dtype))
    flat = joined(call, [*parts, nothing], 0)
    return Variable(call.emit(Select(found.order), flat.node), variable.shape)


def log_sum_exp(call: Call, variable: Variable) -> Variable:
    """``log(sum_j exp(x_j))`` along the last axis, which disappears: relative to the first."""
    first = rearranged(call, variable, lambda values: values[..., :1])
    relative = activated(call, _relative_sums(call, variable, 1), Log())
    result = total(call, [first, relative])
    return reshaped(call, result, variable.shape[:-1])  # type: ignore[return-value]


def _relative_sums(call: Call, variable: Variable, count: int) -> Variable:
    """``1 + sum_(j != i) exp(x_j - x_i)`` for the first entries i of the last axis."""
    n = variable.shape[-1]
    call.reserve((count, n, n))
    if n == 1:
        # exp(0) for an entry that has none beside it: a constant that reads its input.
        return scaled(call, variable, np.zeros((), call.dtype), np.ones((), call.dtype))
    apart = multiplied(call, variable, differences(n, count, call.dtype))
    powers = activated(call, apart, Exp())
    grouped = Variable(powers.node, (*variable.shape[:-1], count, n - 1))
    one = np.ones(1, call.dtype)
    summed = multiplied(call, grouped, np.ones((1, n - 1), call.dtype), one)
    return Variable(summed.node, (*variable.shape[:-1], count))
