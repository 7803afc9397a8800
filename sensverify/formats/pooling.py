"""Windows of pooling layers, as torch defines them. Imports numpy, never torch.

ONNX defines more (padding by rule, uneven sides); `sensverify.formats.onnx` has its own windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class PoolWindows:
    """Windows of a pooling layer: one entry for every spatial axis.

    Parameters
    ----------
    spatial : tuple of int
        Sizes of the input's spatial axes.
    kernel, stride, dilation : tuple of int
    before, after : tuple of int
        Padding on both sides.
    ceil : bool
        Whether a window that reaches past the padded end counts, as long as it starts before the
        trailing padding.
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
        """Sizes of the output's spatial axes."""
        sizes = []
        for n, k, s, b, a, d in zip(
            self.spatial,
            self.kernel,
            self.stride,
            self.before,
            self.after,
            self.dilation,
            strict=True,
        ):
            free = n + b + a - d * (k - 1) - 1
            size = (-(-free // s) if self.ceil else free // s) + 1
            if self.ceil and (size - 1) * s >= n + b:
                size -= 1
            sizes.append(size)
        return tuple(sizes)

    @property
    def overhang(self) -> Sizes:
        """Entries of the last window past the padded end; at least 0."""
        return tuple(
            max((size - 1) * s + d * (k - 1) + 1 - (n + b + a), 0)
            for size, n, k, s, b, a, d in zip(
                self.outputs,
                self.spatial,
                self.kernel,
                self.stride,
                self.before,
                self.after,
                self.dilation,
                strict=True,
            )
        )

    def indices(self, channels: Sizes) -> np.ndarray:
        """Flat indices of every window in an input ``[*channels, *spatial]``.

        Returns
        -------
        int64 array, shape ``[*channels, *outputs, entries]``
            Where a window reaches outside, an entry inside of it stands in: a maximum stays.

        Raises
        ------
        ValueError
            A window lies outside altogether.
        """
        flat = np.zeros((1, 1), dtype=np.int64)
        for axis, n in enumerate(self.spatial):
            place = self._places(axis)
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

        What overhangs the padded end never counts.
        """
        counts = np.ones((), dtype=np.int64)
        for axis, n in enumerate(self.spatial):
            before, after = self.before[axis], self.after[axis]
            low, high = (-before, n + after) if include_padding else (0, n)
            place = self._places(axis)
            along = ((place >= low) & (place < high)).sum(axis=1)
            counts = counts[..., None] * along
        return counts

    def _places(self, axis: int) -> np.ndarray:
        """Coordinates along one axis that every window reads, ``[outputs, kernel]``."""
        starts = np.arange(self.outputs[axis]) * self.stride[axis] - self.before[axis]
        return starts[:, None] + np.arange(self.kernel[axis])[None, :] * self.dilation[axis]
