"""ONNX operators that pick and put entries by index, or by their position."""

from __future__ import annotations

import numpy as np

from sensverify.formats.onnx.arithmetic import total
from sensverify.formats.onnx.call import Call, Value, Variable, handles
from sensverify.formats.onnx.lowering import (
    joined,
    multiplied,
    rearranged,
    reshaped,
    scaled,
)
from sensverify.formats.onnx.shapes import axis_attribute, check_indices
from sensverify.formats.onnx.tensors import STORED


@handles("GatherND")
def gather_nd(call: Call) -> Value:
    """Entries or blocks, by the first coordinates that each has."""
    value = call.variable(0)
    indices = call.constant(1, "the indices")
    batch = int(call.attribute("batch_dims", 0))
    depth = indices.shape[-1] if indices.ndim else 0
    lengths = value.shape[batch : batch + depth]
    ranks_fit = 0 < depth <= len(value.shape) - batch and 0 <= batch < indices.ndim
    if not ranks_fit or indices.shape[:batch] != value.shape[:batch]:
        raise call.invalid(f"indices {indices.shape} do not fit {value.shape}")
    check_indices(call, indices, lengths)
    call.reserve((*indices.shape[:-1], *value.shape[batch + depth :]))
    # Open coordinates along the axes that both have, then those that the indices list.
    axes = np.ix_(*(np.arange(n) for n in indices.shape[:batch])) if batch else ()
    rest = (1,) * (indices.ndim - 1 - batch)
    own = tuple(axis.reshape(*axis.shape, *rest) for axis in axes)
    coordinates = tuple(indices[..., i] for i in range(depth))
    return rearranged(call, value, lambda values: values[(*own, *coordinates)])


@handles("ScatterND")
def scatter_nd(call: Call) -> Value:
    """Blocks put into the places that their first coordinates say."""
    data, updates = call.input(0), call.input(2)
    indices = call.constant(1, "the indices")
    depth = indices.shape[-1] if indices.ndim else 0
    if not 0 < depth <= len(data.shape) or (
        tuple(updates.shape) != (*indices.shape[:-1], *data.shape[depth:])
    ):
        raise call.invalid(f"{indices.shape} and {updates.shape} do not fit {data.shape}")
    check_indices(call, indices, data.shape[:depth])
    call.reserve(data.shape)
    places = np.arange(data.size)
    return _put(call, places.reshape(data.shape)[tuple(np.moveaxis(indices, -1, 0))])


@handles("Scatter", "ScatterElements")
def scatter_elements(call: Call) -> Value:
    """Entries put along one axis, each to the index that belongs to it."""
    data, updates = call.input(0), call.input(2)
    indices = call.constant(1, "the indices")
    axis = axis_attribute(call, data)
    if indices.shape != tuple(updates.shape) or indices.ndim != len(data.shape):
        raise call.invalid(f"{indices.shape} and {updates.shape} do not fit {data.shape}")
    check_indices(call, indices, data.shape[axis])
    call.reserve(data.shape)
    call.reserve(indices.shape)
    places: list[np.ndarray] = list(np.indices(indices.shape, sparse=True))
    places[axis] = indices % data.shape[axis]
    return _put(call, np.ravel_multi_index(np.broadcast_arrays(*places), data.shape))


def _put(call: Call, places: np.ndarray) -> Value:
    """Input 0 with the entries of input 2 put or added at the flat places given."""
    data, updates = call.input(0), call.input(2)
    how = call.attribute("reduction", b"none")
    if not places.size:
        return data
    places, shape = places.reshape(-1), tuple(data.shape)
    repeats = len(np.unique(places)) < len(places)
    if how == b"none" and repeats:
        raise call.refusal("an index that repeats leaves open which of its entries counts")
    if how == b"none":
        parts = [call.as_variable(value) for value in (data, updates)]
        flat = joined(call, [Variable(v.node, (v.size,)) for v in parts], 0)
        source = np.arange(parts[0].size)
        source[places] = parts[0].size + np.arange(len(places))
        return reshaped(call, rearranged(call, flat, lambda values: values[source]), shape)
    if how != b"add":
        raise call.refusal(f"the reduction '{how.decode()}' is not supported")
    call.reserve((data.size, len(places)))
    weight = np.zeros((data.size, len(places)))
    weight[places, np.arange(len(places))] = 1
    spread = call.as_variable(updates)
    spread = multiplied(call, Variable(spread.node, (1, len(places))), weight)
    return total(call, [data, Variable(spread.node, shape)])


@handles("Trilu")
def triangle(call: Call) -> Value:
    """The upper or lower triangle of matrices, 0 elsewhere."""
    variable = call.variable(0)
    offset = call.optional_constant(1, "the diagonal")
    k = 0 if offset is None else int(offset.reshape(()))
    call.reserve(variable.shape)
    keep = np.ones(variable.shape[-2:])
    keep = np.triu(keep, k) if call.attribute("upper", 1) else np.tril(keep, k)
    return scaled(call, variable, keep)


@handles("ReverseSequence")
def reverse_sequence(call: Call) -> Value:
    """The first entries of every item of a batch, backwards."""
    variable = call.variable(0)
    lengths = call.integers(1, "the lengths")
    batch, time = call.attribute("batch_axis", 1), call.attribute("time_axis", 0)
    axes_fit = {batch, time} == {0, 1} and len(lengths) == variable.shape[batch]
    if not axes_fit or not all(0 <= n <= variable.shape[time] for n in lengths):
        raise call.invalid(f"lengths {lengths} do not fit {variable.shape}")

    def turned(values: np.ndarray) -> np.ndarray:
        result = values.swapaxes(0, batch).copy()
        for row, n in zip(result, lengths, strict=True):
            row[:n] = row[:n][::-1].copy()
        return result.swapaxes(0, batch)

    return rearranged(call, variable, turned)


@handles("EyeLike", folds=True)
def eye_like(call: Call) -> Value:
    """Ones on a diagonal, in the shape of an input whose values do not matter."""
    shape = tuple(call.input(0).shape)
    if len(shape) != 2:
        raise call.invalid(f"expected a matrix, got an input of shape {shape}")
    call.reserve(shape)
    kind = call.attribute("dtype")
    value = call.input(0)
    own = value.dtype if isinstance(value, np.ndarray) else call.dtype
    return np.eye(*shape, int(call.attribute("k", 0)), dtype=STORED[kind] if kind else own)
