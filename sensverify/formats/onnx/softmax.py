"""Softmax, its logarithm, and what sums exponentials: through differences of their inputs."""

from __future__ import annotations

from math import prod

import numpy as np

from sensverify.formats import composites
from sensverify.formats.composites import Mask
from sensverify.formats.onnx.call import Call, Value, Variable, handles, without_batch_axis
from sensverify.formats.onnx.heads import SOFTMAX
from sensverify.formats.onnx.lowering import grouped_last, reshaped, transposed
from sensverify.formats.onnx.shapes import axis_of
from sensverify.network.operators import Reshape, Scale

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
    if logarithm:
        node = composites.log_shares(call, _plain(call, variable))
        return Variable(node, variable.shape)
    before, values = _masked(call, variable)
    return masked_shares(call, before, values)


def masked_shares(call: Call, variable: Variable, values: np.ndarray) -> Variable:
    """A softmax of entries plus a mask, along the last axis."""
    node = _plain(call, variable)
    shape = call.shape(node)
    # Where weights are wanted exactly, a finite number hides an entry almost, not altogether.
    mask = Mask.of(
        np.broadcast_to(values, variable.shape).reshape(shape),
        hidden=-np.inf if call.exact else HIDDEN,
    )
    found = composites.masked_shares(call, node, mask)
    if found is None:
        raise call.refusal("a mask hides everything from an entry")
    return Variable(found, variable.shape)


def _plain(call: Call, variable: Variable) -> int:
    """A node that holds the variable's numbers, its last axis as one."""
    return call.node_of(variable, without_batch_axis(variable.shape))


def _masked(call: Call, variable: Variable) -> tuple[Variable, np.ndarray]:
    """The input of a softmax without a mask that is added to it, and that mask."""
    nodes, place = call.builder.nodes, variable.node
    while isinstance(nodes[place].operator, Reshape):
        (place,) = nodes[place].inputs
    added = nodes[place].operator
    nothing = np.zeros((), call.dtype)
    if not isinstance(added, Scale) or added.scale is not None or added.shift is None:
        return variable, nothing
    shift = np.broadcast_to(np.asarray(added.shift), nodes[place].shape).reshape(variable.shape)
    if Mask.of(shift, hidden=HIDDEN).plain:
        return variable, nothing
    (before,) = nodes[place].inputs
    return Variable(before, variable.shape), shift


def log_sum_exp(call: Call, variable: Variable) -> Variable:
    """``log(sum_j exp(x_j))`` along the last axis, which disappears: relative to the first."""
    node = composites.log_sum_exp(call, _plain(call, variable))
    return Variable(node, variable.shape[:-1])
