"""ONNX operators that move, pick and repeat entries."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.lowering import broadcast, joined, rearranged, reshaped, transposed

LONGEST = (2**31 - 1, 2**63 - 1)
"""Ends of a slice that stand for the end of an axis, as onnxruntime reads them."""


def axis_of(call: Call, axis: int, rank: int) -> int:
    """An axis counted from the front, from one that may be negative.

    Raises
    ------
    BadModelFile
        There is no such axis.
    """
    if not -rank <= axis < rank:
        raise call.invalid(f"axis {axis} does not fit {rank} axes")
    return axis % rank


def axis_attribute(call: Call, value: Value) -> int:
    """The attribute ``axis``, by default 0, as an axis of a value; errors as `axis_of`."""
    return axis_of(call, int(call.attribute("axis", 0)), len(value.shape))


def check_indices(call: Call, indices: np.ndarray, lengths: int | Sequence[int]) -> None:
    """Refuse indices out of range, of axes whose lengths broadcast against them."""
    if not ((indices >= -np.asarray(lengths)) & (indices < np.asarray(lengths))).all():
        raise call.invalid("an index is out of range")


def parts_along(call: Call, value: Value, axis: int, lengths: Sequence[int]) -> list[Value]:
    """Ranges of the lengths given, one behind the other, along an axis."""
    if sum(lengths) != value.shape[axis] or min(lengths, default=0) < 0:
        raise call.invalid(f"cannot split {value.shape[axis]} entries into {lengths}")
    before = (slice(None),) * axis
    return [
        rearranged(call, value, lambda v, s=slice(end - n, end): v[(*before, s)])  # type: ignore[misc]
        for n, end in zip(lengths, np.cumsum(lengths, dtype=np.int64), strict=True)
    ]


def _attribute_or_input(call: Call, name: str, index: int, since: int) -> list[int] | None:
    """Integers that are an attribute in old operator sets and an input in newer ones."""
    if call.opset < since:
        values = call.attribute(name)
        return None if values is None else [int(n) for n in values]
    return None if call.optional(index) is None else call.integers(index, name)


@handles("Identity", folds=True)
def identity(call: Call) -> Value:
    """x itself."""
    return call.input(0)


@handles("Dropout", folds=True)
def dropout(call: Call) -> Value:
    """x itself, as dropout is in inference."""
    call.attribute("ratio")
    call.attribute("seed")
    training = call.optional_constant(2, "training_mode")
    if training is not None and training.any():
        raise call.refusal("dropout in training mode is not supported", "export in evaluation mode")
    return call.input(0)


@handles("Reshape", folds=True)
def reshape(call: Call) -> Value:
    """Another shape; 0 copies a length and -1 is what remains."""
    value = call.input(0)
    shape = call.integers(1, "the shape")
    if not call.attribute("allowzero", 0):
        shape = [value.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    size = prod(value.shape)
    if shape.count(-1) == 1:
        rest = prod(n for n in shape if n != -1)
        if rest == 0 or size % rest:
            raise call.invalid(f"cannot reshape {value.shape} to {shape}")
        shape = [size // rest if n == -1 else n for n in shape]
    if min(shape, default=0) < 0 or prod(shape) != size:
        raise call.invalid(
            f"cannot reshape {tuple(value.shape)} to {shape}",
            "a model with a fixed batch size other than 1 must be exported again with 1",
        )
    return reshaped(call, value, tuple(shape))


@handles("Flatten", folds=True)
def flatten(call: Call) -> Value:
    """Two axes: those before ``axis``, and the rest."""
    value = call.input(0)
    axis = call.attribute("axis", 1)
    rank = len(value.shape)
    if not -rank <= axis <= rank or (axis < 0 and call.opset < 11):
        raise call.invalid(f"axis {axis} does not fit {rank} axes")
    axis = axis + rank if axis < 0 else axis
    return reshaped(call, value, (prod(value.shape[:axis]), prod(value.shape[axis:])))


@handles("Squeeze", folds=True)
def squeeze(call: Call) -> Value:
    """x without axes of length 1."""
    value = call.input(0)
    axes = _attribute_or_input(call, "axes", 1, 13)
    if axes == [] and 1 in value.shape:
        raise call.refusal(
            "an empty list of axes is none of them by the definition and every axis of length 1 to "
            "onnxruntime",
            "export it with the axes meant, or without an input for them",
        )
    if axes is None:
        return reshaped(call, value, tuple(n for n in value.shape if n != 1))
    gone = {axis_of(call, axis, len(value.shape)) for axis in axes}
    if any(value.shape[axis] != 1 for axis in gone):
        raise call.invalid(f"axes {axes} of {value.shape} do not all have length 1")
    return reshaped(call, value, tuple(n for i, n in enumerate(value.shape) if i not in gone))


@handles("Unsqueeze", folds=True)
def unsqueeze(call: Call) -> Value:
    """x with new axes of length 1."""
    value = call.input(0)
    axes = _attribute_or_input(call, "axes", 1, 13)
    if axes is None:
        raise call.invalid("no axes are given")
    rank = len(value.shape) + len(axes)
    new = {axis_of(call, axis, rank) for axis in axes}
    if len(new) != len(axes):
        raise call.invalid(f"axes {axes} repeat")
    rest = iter(value.shape)
    return reshaped(call, value, tuple(1 if i in new else next(rest) for i in range(rank)))


@handles("Transpose", folds=True)
def transpose(call: Call) -> Value:
    """Axes in another order; without one, backwards."""
    value = call.input(0)
    axes = call.attribute("perm")
    if axes is None:
        axes = range(len(value.shape) - 1, -1, -1)
    return transposed(call, value, tuple(int(axis) for axis in axes))


@handles("Concat", folds=True)
def concat(call: Call) -> Value:
    """Inputs joined along an axis."""
    values = [call.input(i) for i in range(len(call.inputs))]
    axis = axis_of(call, int(call.attribute("axis", 1)), len(values[0].shape))
    return concatenated(call, values, axis)


def concatenated(call: Call, values: list[Value], axis: int) -> Value:
    """Values joined along an axis."""
    if not any(isinstance(value, Variable) for value in values):
        call.reserve([sum(value.size for value in values)])
        return np.concatenate(values, axis)  # type: ignore[arg-type]
    if len({(*v.shape[:axis], *v.shape[axis + 1 :]) for v in values}) > 1:
        shapes = ", ".join(str(tuple(v.shape)) for v in values)
        raise call.invalid(f"inputs of shapes {shapes} cannot be joined along axis {axis}")
    parts = [value for value in values if isinstance(value, Variable) or value.size]
    return joined(call, [call.as_variable(value) for value in parts], axis)


@handles("Slice", folds=True)
def slice_(call: Call) -> Value:
    """A range along some axes; ends are cut to the input, steps may be negative."""
    value = call.input(0)
    starts, ends, axes = (
        _attribute_or_input(call, name, index, 10)
        for index, name in ((1, "starts"), (2, "ends"), (3, "axes"))
    )
    steps = _attribute_or_input(call, "steps", 4, 10) if call.opset >= 10 else None
    if starts is None or ends is None:
        raise call.invalid("starts or ends are missing")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    picks: list[slice | np.ndarray] = [slice(None)] * len(value.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(call, axis, len(value.shape))
        picks[axis] = _range(call, start, end, step, value.shape[axis])
    return rearranged(call, value, lambda values: values[tuple(picks)])


def _range(call: Call, start: int, end: int, step: int, length: int) -> slice:
    if step == 0:
        raise call.invalid("a slice cannot have step 0")
    start = start + length if start < 0 else start
    if end in LONGEST:
        # "To the end" in either direction; taken as a number it would leave nothing backwards.
        end = length if step > 0 else -1
    elif end < 0:
        end += length
    if step > 0:
        return slice(min(max(start, 0), length), min(max(end, 0), length), step)
    start, end = min(max(start, 0), length - 1), min(max(end, -1), length - 1)
    # An end of -1 means the front here, and the last entry to numpy.
    return slice(start, None if end == -1 else end, step)


@handles("Split", folds=True)
def split(call: Call) -> Sequence[Value]:
    """Ranges along one axis, one for each output."""
    value = call.input(0)
    axis = axis_attribute(call, value)
    length = value.shape[axis]
    sizes = _attribute_or_input(call, "split", 1, 13)
    count = call.attribute("num_outputs")
    if sizes is None:
        if call.opset >= 18 and count != call.outputs:
            raise call.invalid(
                f"neither sizes nor num_outputs say that there are {call.outputs} outputs"
            )
        if call.opset >= 18 and call.outputs > length:
            raise call.invalid(f"onnxruntime makes no {call.outputs} parts of {length} entries")
        if call.opset < 18 and length % call.outputs:
            raise call.invalid(f"{length} entries make no {call.outputs} equal parts")
        size = -(-length // call.outputs)
        sizes = [size] * (call.outputs - 1) + [length - size * (call.outputs - 1)]
    if len(sizes) != call.outputs:
        raise call.invalid(f"cannot split {length} entries into {sizes}")
    return parts_along(call, value, axis, sizes)


@handles("Gather", folds=True)
def gather(call: Call) -> Value:
    """Entries along one axis by index; a negative index counts from the end."""
    value = call.input(0)
    indices = call.constant(1, "the indices")
    axis = axis_attribute(call, value)
    call.reserve((*value.shape[:axis], *indices.shape, *value.shape[axis + 1 :]))
    return rearranged(call, value, lambda values: np.take(values, indices, axis))


@handles("GatherElements", folds=True)
def gather_elements(call: Call) -> Value:
    """Entries along one axis, by an index for every output entry."""
    value = call.input(0)
    indices = call.constant(1, "the indices")
    axis = axis_attribute(call, value)
    length = value.shape[axis]
    check_indices(call, indices, length)
    if len(indices.shape) != len(value.shape) or any(
        m > n for i, (m, n) in enumerate(zip(indices.shape, value.shape, strict=True)) if i != axis
    ):
        raise call.invalid(f"indices {indices.shape} do not fit {tuple(value.shape)}")
    inside = tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(indices.shape))
    return rearranged(
        call, value, lambda values: np.take_along_axis(values[inside], indices % length, axis)
    )


@handles("Expand", folds=True)
def expand(call: Call) -> Value:
    """Axes of length 1 repeated to a shape."""
    value = call.input(0)
    target = tuple(call.integers(1, "the shape"))
    return broadcast(call, value, tuple(np.broadcast_shapes(tuple(value.shape), target)))


@handles("Tile", folds=True)
def tile(call: Call) -> Value:
    """The whole repeated along every axis."""
    value = call.input(0)
    repeats = call.integers(1, "the repeats")
    if len(repeats) != len(value.shape) or min(repeats, default=0) < 0:
        raise call.invalid(f"repeats {repeats} do not fit {value.shape}")
    call.reserve([n * r for n, r in zip(value.shape, repeats, strict=True)])
    return rearranged(call, value, lambda values: np.tile(values, repeats))


@handles("DepthToSpace", "SpaceToDepth", folds=True)
def depth_space(call: Call) -> Value:
    """Blocks of channels against blocks of positions."""
    value = call.input(0)
    size = int(call.attribute("blocksize"))
    batch, channels, height, width = value.shape
    if size < 1:
        raise call.invalid(f"blocksize {size} is not positive")
    if call.operator_type == "SpaceToDepth":
        shape = (batch, channels, height // size, size, width // size, size)
        order, last = (0, 3, 5, 1, 2, 4), (channels * size**2, height // size, width // size)
    else:
        depth = channels // size**2
        last = (depth, height * size, width * size)
        if call.attribute("mode", b"DCR") == b"CRD":
            shape, order = (batch, depth, size, size, height, width), (0, 1, 4, 2, 5, 3)
        else:
            shape, order = (batch, size, size, depth, height, width), (0, 3, 4, 1, 5, 2)
    moved = transposed(call, reshaped(call, value, shape), order)
    return reshaped(call, moved, (batch, *last))
