"""The windows of a pooling layer, found in the `Select` that lists them."""

from __future__ import annotations

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
    """

    offsets: np.ndarray
    stride: Shape

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
    source : shape
        ``[channels, *spatial]``, of what it picks from.
    """
    if indices.ndim != len(source) + 1 or indices.shape[0] != source[0]:
        return None
    if not indices.size or indices.shape[-1] == 1:
        return None
    places = np.stack(np.unravel_index(indices, source), axis=-1)
    origin = places[(0,) * len(source)]
    stride = [1] * (len(source) - 1)
    for axis in range(1, len(source)):
        if indices.shape[axis] > 1:
            second = tuple(int(a == axis) for a in range(len(source)))
            stride[axis - 1] = int(places[second][0, axis] - origin[0, axis])
    at = np.moveaxis(np.indices(indices.shape[:-1]), 0, -1)
    at[..., 1:] *= np.array(stride, dtype=np.int64)
    if min(stride, default=1) < 1 or not np.array_equal(places, at[..., None, :] + origin):
        return None
    return Pool(origin[:, 1:], tuple(stride))


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
