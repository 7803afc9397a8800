"""ONNX pooling layers and reductions."""

from __future__ import annotations

from math import prod

import numpy as np

from sensverify.formats.onnx.call import Call, Value, Variable, handles, without_batch_axis
from sensverify.formats.onnx.geometry import windows
from sensverify.formats.onnx.lowering import (
    activated,
    divided,
    grouped_last,
    largest,
    multiplied,
    reshaped,
    scaled,
)
from sensverify.formats.onnx.normalising import product_along, squares_summed
from sensverify.formats.onnx.shapes import axis_of
from sensverify.formats.onnx.softmax import log_sum_exp
from sensverify.formats.windows import Windows
from sensverify.network.operators import Abs, Conv, Log, Pad, Select, Sqrt
from sensverify.network.shapes import Shape


@handles("MaxPool")
def max_pool(call: Call) -> Value:
    """The largest entry of every window: a `Select` that lists the windows, then a `Max`."""
    call.attribute("storage_order")  # concerns the second output alone
    variable, place = _pool(call)
    batch, channels, *spatial = variable.shape
    call.reserve((batch * channels, *place.outputs, prod(place.kernel)))
    offsets, valid = _window_entries(place, tuple(spatial))
    if not valid.any(axis=1).all():
        raise call.refusal("a window that holds nothing but padding is not supported")
    # Padding never wins: an entry outside of the input repeats one inside.
    offsets = np.where(
        valid, offsets, offsets[np.arange(len(valid)), valid.argmax(axis=1)][:, None]
    )
    planes = np.arange(batch * channels)[:, None, None] * prod(spatial)
    shape = (batch, channels, *place.outputs)
    indices = (planes + offsets).reshape(without_batch_axis((*shape, offsets.shape[-1])))
    entries = Variable(call.emit(Select(indices), variable.node), (*shape, offsets.shape[-1]))
    return largest(call, entries)


@handles("AveragePool")
def average_pool(call: Call) -> Value:
    """The mean of every window: a convolution of every channel on its own, then a division.

    Windows that reach over the edge are divided by the entries they hold, those in the padding
    included where ``count_include_pad`` says so.
    """
    with_padding = bool(call.attribute("count_include_pad", 0))
    variable, place = _pool(call)
    batch, channels, *spatial = variable.shape
    call.reserve((batch * channels, *place.kernel))
    call.reserve(place.outputs)
    call.reserve([max(n * k for n, k in zip(place.outputs, place.kernel, strict=True))])
    counts = place.counts(include_padding=with_padding)
    if not (counts > 0).all():
        raise call.refusal("a window that holds nothing but padding is not supported")
    node = call.node_of(variable, (batch * channels, *spatial))
    padding = place.before
    if place.before != place.ends:
        node = call.emit(Pad((0, *place.before), (0, *place.ends)), node)
        padding = (0,) * len(spatial)
    weight = np.ones((batch * channels, 1, *place.kernel))
    operator = Conv(weight, None, place.stride, padding, place.dilation, batch * channels)
    result = Variable(call.emit(operator, node), (batch, channels, *place.outputs))
    return divided(call, result, counts.max() if (counts == counts.max()).all() else counts)


def _pool(call: Call) -> tuple[Variable, Windows]:
    variable = call.variable(0)
    kernel = tuple(int(n) for n in call.attribute("kernel_shape") or ())
    if len(variable.shape) != len(kernel) + 2 or not kernel or min(kernel) < 1:
        raise call.invalid(f"windows of {kernel} do not fit {variable.shape}")
    if len(kernel) > 3:
        raise call.refusal("pooling over more than three axes is not supported")
    ceil_mode = bool(call.attribute("ceil_mode", 0))
    call.reserve([prod(kernel)])
    place = windows(call, variable.shape[2:], kernel, ceil_mode=ceil_mode)
    # onnxruntime looks at the pads also where auto_pad takes their place.
    pads = tuple(call.attributes.get("pads", ()))
    if any(p >= k for p, k in zip(pads, (*kernel, *kernel), strict=False)):
        raise call.refusal(
            f"pads {pads} are as large as the window {kernel}, which onnxruntime does not run",
            "put a Pad before it",
        )
    return variable, place


def _window_entries(place: Windows, spatial: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Offsets in a plane of every window's entries, and the mask of those inside of the plane."""
    count = len(spatial)
    offsets, valid = np.zeros((), np.int64), np.ones((), bool)
    for axis, length in enumerate(spatial):
        positions = place.positions(axis)
        shape = [1] * (2 * count)
        shape[axis], shape[count + axis] = positions.shape
        stride = prod(spatial[axis + 1 :])
        offsets = offsets + positions.reshape(shape) * stride
        valid = valid & ((positions >= 0) & (positions < length)).reshape(shape)
    rows = prod(place.outputs)
    return offsets.reshape(rows, -1), valid.reshape(rows, -1)


@handles(
    "GlobalAveragePool",
    "GlobalMaxPool",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)
def reduce(call: Call) -> Value:
    """The sum, mean, product, norm or largest entry along some axes."""
    value = call.variable(0)
    axes, keep = _axes(call, len(value.shape))
    kind = call.operator_type.removeprefix("Reduce")
    shape = tuple(
        1 if axis in axes else n for axis, n in enumerate(value.shape) if keep or axis not in axes
    )
    if kind == "L1":
        value = activated(call, value, Abs())
    if kind in _CURVED:
        return reshaped(call, _curved(call, kind, grouped_last(call, value, axes)), shape)
    if all(value.shape[axis] == 1 for axis in axes):
        return reshaped(call, value, shape)
    if kind == "Min":
        value = scaled(call, value, -1.0)
    last = grouped_last(call, value, axes)
    if kind in ("Max", "Min", "GlobalMaxPool"):
        result = largest(call, last)
        result = scaled(call, result, -1.0) if kind == "Min" else result
    else:
        size = last.shape[-1]
        result = multiplied(call, last, np.ones((1, size)))
        result = result if kind in ("Sum", "L1") else divided(call, result, size)
    return reshaped(call, result, shape)


_CURVED = ("L2", "LogSum", "LogSumExp", "Prod", "SumSquare")


def _curved(call: Call, kind: str, last: Variable) -> Variable:
    """A nonlinear reduction along the last axis, which stays with length 1 or disappears."""
    if kind == "LogSumExp":
        return log_sum_exp(call, last)
    if kind == "Prod":
        return product_along(call, last)
    if kind == "LogSum":
        summed = multiplied(call, last, np.ones((1, last.shape[-1])))
        return activated(call, summed, Log())
    squares = squares_summed(call, last)
    return activated(call, squares, Sqrt()) if kind == "L2" else squares


def _axes(call: Call, rank: int) -> tuple[list[int], bool]:
    """The axes to reduce, from an attribute or an input, and whether they stay with length 1."""
    if call.operator_type.startswith("Global"):
        if rank < 3:
            raise call.invalid("the input has no axis to pool over")
        return list(range(2, rank)), True
    keep = bool(call.attribute("keepdims", 1))
    empty_is_none = bool(call.attribute("noop_with_empty_axes", 0))
    axes = call.attribute("axes")
    if call.optional(1) is not None:
        axes = call.integers(1, "the axes")
    if not axes:
        return ([] if empty_is_none else list(range(rank))), keep
    return sorted({axis_of(call, int(axis), rank) for axis in axes}), keep
