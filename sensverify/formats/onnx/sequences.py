"""ONNX sequences: lists of values that are taken apart again while the file is read."""

from __future__ import annotations

import numpy as np

from sensverify.formats.onnx.call import Call, Result, Value, ValueSequence, handles
from sensverify.formats.onnx.lowering import reshaped
from sensverify.formats.onnx.shapes import axis_attribute, axis_of, concatenated, parts_along


@handles("SequenceConstruct", "SequenceEmpty", folds=True)
def construct(call: Call) -> Result:
    """The inputs as a sequence."""
    call.attribute("dtype")
    return ValueSequence(tuple(call.input(i) for i in range(len(call.inputs))))


@handles("SequenceInsert", folds=True)
def insert(call: Call) -> Result:
    """A sequence with one more value, at its end unless a position is given."""
    values, new = list(call.sequence(0)), call.input(1)
    values.insert(_position(call, 2, len(values) + 1, len(values)), new)
    return ValueSequence(tuple(values))


@handles("SequenceErase", folds=True)
def erase(call: Call) -> Result:
    """A sequence without one of its values: the last one unless a position is given."""
    values = list(call.sequence(0))
    del values[_position(call, 1, len(values), len(values) - 1)]
    return ValueSequence(tuple(values))


@handles("SequenceAt", folds=True)
def at(call: Call) -> Value:
    """One value of a sequence."""
    values = call.sequence(0)
    return values[_position(call, 1, len(values), 0)]


@handles("SequenceLength", folds=True)
def length(call: Call) -> Value:
    """Number of values of a sequence."""
    return np.array(len(call.sequence(0)), np.int64)


@handles("SplitToSequence", folds=True)
def split(call: Call) -> Result:
    """Ranges along one axis: of one length, of a length for each, or single entries."""
    value = call.input(0)
    axis = axis_attribute(call, value)
    sizes, total = call.optional_constant(1, "the lengths"), value.shape[axis]
    keep = bool(call.attribute("keepdims", 1)) or sizes is not None
    if sizes is None or sizes.ndim == 0:
        size = 1 if sizes is None else int(sizes)
        if size < 1:
            raise call.invalid(f"cannot split {total} entries into parts of {size}")
        lengths = [min(size, total - start) for start in range(0, total, size)]
    else:
        lengths = [int(n) for n in sizes.reshape(-1)]
    parts = parts_along(call, value, axis, lengths)
    if not keep:
        shape = (*value.shape[:axis], *value.shape[axis + 1 :])
        parts = [reshaped(call, part, shape) for part in parts]
    return ValueSequence(tuple(parts))


@handles("ConcatFromSequence", folds=True)
def concatenate(call: Call) -> Value:
    """All values of a sequence joined along an axis, which may be a new one."""
    values = list(call.sequence(0))
    if not values:
        raise call.invalid("the sequence is empty")
    new = bool(call.attribute("new_axis", 0))
    axis = axis_of(call, int(call.attribute("axis")), len(values[0].shape) + new)
    if new:
        values = [reshaped(call, v, (*v.shape[:axis], 1, *v.shape[axis:])) for v in values]
    return concatenated(call, values, axis)


def _position(call: Call, index: int, count: int, default: int) -> int:
    value = call.optional_constant(index, "the position")
    position = default if value is None else int(value.reshape(()))
    if not -count <= position < count:
        raise call.invalid(f"position {position} does not fit a sequence of {count}")
    return position % count
