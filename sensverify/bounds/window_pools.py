"""The windows of a pooling layer, found in the `Select` that lists them."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from sensverify.network.shapes import Shape


class Pool(NamedTuple):
    """The places that an output of a pooling layer reads, in every channel alike.

    Attributes
    ----------
    offsets : int64 array ``[numbers, axes]``
        From the place ``output place * stride``.
    stride : one number for each spatial axis
    stand_for : int64 array ``[outputs, numbers]`` or None
        With padding: for each number the one that it repeats, which is its own where the place
        lies inside of the image. None where all do.
    """

    offsets: np.ndarray
    stride: Shape
    stand_for: np.ndarray | None

    @property
    def first(self) -> Shape:
        """The smallest offset along each axis."""
        return tuple(int(n) for n in self.offsets.min(axis=0))

    @property
    def extent(self) -> Shape:
        """The reach of the window along each axis."""
        return tuple(int(n) + 1 for n in np.ptp(self.offsets, axis=0))


def pool_of(indices: np.ndarray, source: Shape) -> Pool | None:
    """The pool whose windows a `Select` lists, or None where it lists something else.

    Parameters
    ----------
    indices : int64 array ``[channels, *spatial, numbers]``
        Where a window reaches outside of the image, an entry inside of it stands in for another.
    source : shape
        ``[channels, *spatial]``, of what it picks from.
    """
    if indices.ndim != len(source) + 1 or indices.shape[0] != source[0]:
        return None
    if not indices.size or indices.shape[-1] == 1:
        return None
    channels = np.arange(source[0]).reshape(-1, *(1 for _ in indices.shape[1:])) * prod(source[1:])
    if not np.array_equal(indices, indices[:1] + channels):
        return None
    places = np.stack(np.unravel_index(indices[0], source[1:]), axis=-1)
    # In the middle no window reaches outside.
    middle = tuple(n // 2 for n in indices.shape[1:-1])
    stride = [1] * len(middle)
    for axis, n in enumerate(indices.shape[1:-1]):
        if n > 1:
            before = tuple(m - (a == axis) for a, m in enumerate(middle))
            stride[axis] = int((places[middle] - places[before])[0, axis])
    if min(stride) < 1:
        return None
    offsets = places[middle] - np.multiply(middle, stride)
    at = np.moveaxis(np.indices(indices.shape[1:-1]), 0, -1) * np.array(stride)
    regular = at[..., None, :] + offsets
    inside = ((regular >= 0) & (regular < np.array(source[1:]))).all(axis=-1)
    if not np.array_equal(places[inside], regular[inside]):
        return None
    if inside.all():
        return Pool(offsets, tuple(stride), None)
    same = (places[..., :, None, :] == places[..., None, :, :]).all(axis=-1) & inside[..., None, :]
    if not same.any(axis=-1).all():
        return None
    own = np.arange(indices.shape[-1])
    stand_for = np.where(inside, own, same.argmax(axis=-1))
    return Pool(offsets, tuple(stride), stand_for.reshape(-1, indices.shape[-1]))


def picked_in_window(
    pool: Pool, channels: int, out: tuple[Shape, Shape], source: tuple[Shape, Shape]
) -> np.ndarray:
    """Flat indices into a window of the source, ``[outputs, numbers]`` for those of a window.

    ``out`` and ``source`` are offset and size of the two windows.
    """
    flat = np.zeros((), dtype=np.int64)
    places = np.indices(out[1]).reshape(len(out[1]), -1)
    for axis, n in enumerate(source[1]):
        first = (out[0][axis] + places[axis]) * pool.stride[axis] - source[0][axis]
        flat = flat * n + (first[:, None] + pool.offsets[:, axis])
    area = int(np.prod(source[1]))
    channel = np.arange(channels)[:, None, None] * area
    return (channel + flat).reshape(-1, len(pool.offsets))
