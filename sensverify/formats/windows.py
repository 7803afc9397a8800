"""Windows of convolutions and pooling layers. Imports numpy, never torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Windows:
    """Windows of a convolution or pooling layer: one entry for every spatial axis.

    Parameters
    ----------
    spatial : tuple of int
        Sizes of the input's spatial axes.
    kernel, stride : tuple of int
    before, after : tuple of int
        Padding on both sides.
    dilation : tuple of int
    ceil : bool
        True where a window that reaches past the padded end counts, as long as it starts before
        the trailing padding.
    """

    spatial: Sizes
    kernel: Sizes
    stride: Sizes
    before: Sizes
    after: Sizes
    dilation: Sizes
    ceil: bool = False

    @property
    def outputs(self) -> Sizes:
        """Number of windows along every axis; 0 where none fits."""
        return tuple(map(self._count, range(len(self.spatial))))

    def _count(self, axis: int) -> int:
        start_limit, stride = self.spatial[axis] + self.before[axis], self.stride[axis]
        free = start_limit + self.after[axis] - self._extent(axis)
        if free < 0:
            return 0
        if not self.ceil:
            return free // stride + 1
        count = -(-free // stride) + 1
        # A window that would start behind the input is left out.
        return count - 1 if (count - 1) * stride >= start_limit else count

    def _extent(self, axis: int) -> int:
        return (self.kernel[axis] - 1) * self.dilation[axis] + 1

    @property
    def ends(self) -> Sizes:
        """Padding behind the input that the last windows reach into; at least 0."""
        return tuple(
            max((n - 1) * self.stride[axis] + self._extent(axis) - self.before[axis] - length, 0)
            for axis, (n, length) in enumerate(zip(self.outputs, self.spatial, strict=True))
        )

    @property
    def overhang(self) -> Sizes:
        """Entries of the last windows past the padded end; at least 0."""
        return tuple(max(end - after, 0) for end, after in zip(self.ends, self.after, strict=True))

    def positions(self, axis: int) -> np.ndarray:
        """Coordinate of every entry, ``[outputs, kernel]``; below 0 it lies in the padding."""
        starts = np.arange(self.outputs[axis]) * self.stride[axis] - self.before[axis]
        return starts[:, None] + np.arange(self.kernel[axis]) * self.dilation[axis]

    def indices(self, channels: Sizes) -> np.ndarray:
        """Flat indices of every window in an input ``[*channels, *spatial]``.

        Returns
        -------
        int64 array, shape ``[*channels, *outputs, entries]``
            An entry inside of the window stands in for one outside of the input: a maximum stays.

        Raises
        ------
        ValueError
            A window lies outside altogether.
        """
        flat = np.zeros((1, 1), dtype=np.int64)
        for axis, n in enumerate(self.spatial):
            place = self.positions(axis)
            inside = (place >= 0) & (place < n)
            if not inside.any(axis=1).all():
                raise ValueError("a pooling window lies in the padding altogether")
            first = place[np.arange(len(place)), inside.argmax(axis=1)]
            place = np.where(inside, place, first[:, None])
            joined = flat[:, None, :, None] * n + place[None, :, None, :]
            flat = joined.reshape(len(flat) * len(place), -1)
        area = prod(self.spatial)
        offsets = np.arange(prod(channels), dtype=np.int64)[:, None, None] * area
        return (offsets + flat).reshape(*channels, *self.outputs, prod(self.kernel))

    def counts(self, *, include_padding: bool) -> np.ndarray:
        """Entries of every window that an average divides by, shape ``[*outputs]``.

        Entries past the padded end never count.
        """
        counts = np.ones((), dtype=np.int64)
        for axis, n in enumerate(self.spatial):
            before, after = self.before[axis], self.after[axis]
            low, high = (-before, n + after) if include_padding else (0, n)
            place = self.positions(axis)
            along = ((place >= low) & (place < high)).sum(axis=1)
            counts = counts[..., None] * along
        return counts
