"""ONNX normalisation by statistics of the input itself: of layers, instances and groups."""

from __future__ import annotations

from math import prod

import numpy as np

from sensverify.formats import composites
from sensverify.formats.onnx.arithmetic import total
from sensverify.formats.onnx.bilinear import times
from sensverify.formats.onnx.call import (
    Call,
    Result,
    Value,
    Variable,
    handles,
    without_batch_axis,
)
from sensverify.formats.onnx.lowering import (
    activated,
    multiplied,
    rearranged,
    reshaped,
    scaled,
)
from sensverify.formats.onnx.shapes import axis_of
from sensverify.network.operators import Square


@handles("LayerNormalization", "RMSNormalization")
def layer_normalization(call: Call) -> list[Result]:
    """Over the last axes: ``(x - mean) / sqrt(variance + epsilon) * scale + shift``.

    Of root mean squares, ``x / sqrt(mean of squares + epsilon) * scale``.
    """
    variable = call.variable(0)
    call.attribute("stash_type", 1)
    epsilon = call.attribute("epsilon", 1e-5)
    rank = len(variable.shape)
    axis = axis_of(call, int(call.attribute("axis", -1)), rank)
    size = prod(variable.shape[axis:])
    rows = Variable(variable.node, (*variable.shape[:axis], size))
    rooted = call.operator_type == "RMSNormalization"
    result = normalised(call, rows, epsilon, centre=not rooted)
    scale = call.constant(1, "the scale")
    shift = None if rooted else call.optional_constant(2, "the shift")
    whole = reshaped(call, result, variable.shape)
    return [scaled(call, whole, scale, shift)]  # type: ignore[arg-type]


@handles("InstanceNormalization", "GroupNormalization")
def group_normalization(call: Call) -> Value:
    """Over the spatial axes of a channel, or of a group of channels."""
    variable = call.variable(0)
    epsilon = call.attribute("epsilon", 1e-5)
    if len(variable.shape) < 2:
        raise call.invalid(f"an input of shape {variable.shape} has no channels")
    batch, channels = variable.shape[:2]
    scale, shift = call.constant(1, "the scale"), call.constant(2, "the shift")
    groups = channels
    if call.operator_type == "GroupNormalization":
        groups = int(call.attribute("num_groups"))
        call.attribute("stash_type", 1)
    if groups < 1 or channels % groups or scale.shape != shift.shape:
        raise call.invalid(f"{groups} groups do not fit {channels} channels")
    if scale.shape != (channels,):
        raise call.invalid(f"a scale of shape {scale.shape} does not fit {channels} channels")
    rows = Variable(variable.node, (batch, groups, variable.size // (batch * groups)))
    result = normalised(call, rows, epsilon, centre=True)
    whole = Variable(result.node, variable.shape)
    places = (channels, *(1 for _ in variable.shape[2:]))
    return scaled(call, whole, scale.reshape(places), shift.reshape(places))


def normalised(call: Call, rows: Variable, epsilon: float, *, centre: bool) -> Variable:
    """`sensverify.formats.composites.normalised` along the last axis."""
    if epsilon <= 0:
        raise call.refusal("without an epsilon above 0 it divides by 0 where all inputs are equal")
    node = call.node_of(rows, without_batch_axis(rows.shape))
    return Variable(composites.normalised(call, node, epsilon, centre=centre), rows.shape)


def squares_summed(call: Call, last: Variable) -> Variable:
    """The sum of squares along the last axis, which stays with length 1."""
    size = last.shape[-1]
    return multiplied(call, activated(call, last, Square()), np.ones((1, size), call.dtype))


def product_along(call: Call, last: Variable) -> Variable:
    """The product along the last axis, which stays with length 1; two numbers at a time."""
    parts: list[Value] = [
        rearranged(call, last, lambda values, k=k: values[..., k : k + 1])  # type: ignore[misc]
        for k in range(last.shape[-1])
    ]
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        odd = parts[-1:] if len(parts) % 2 else []
        parts = [*(times(call, call.as_variable(a), call.as_variable(b)) for a, b in pairs), *odd]
    return call.as_variable(total(call, parts))
