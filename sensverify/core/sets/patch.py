"""Patches: a few pixels of an image that may move, whichever they are."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from sensverify.core.sets.input_set import InputSet
from sensverify.errors import BadSetting


@dataclass(frozen=True, eq=False, repr=False)
class Patch(InputSet):
    """Inputs of a box that differ from a sample in a few pixels, whichever they are.

    The last two axes of an input are those of its pixels, and all that lies in front of them moves
    with a pixel: its colours. An input with one axis has as many pixels as numbers.

    Parameters
    ----------
    lower, upper, point
        As of `InputSet`; the point is the sample.
    count : int or None
        Any so many pixels.
    window : (height, width) or None
        The pixels of one window of that size, wherever it is. Exactly one of the two is given.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> x = np.full((1, 1, 2, 2), 0.5)
    >>> one = sv.Patch(x - 0.5, x + 0.5, x, count=1)
    >>> moved = x + np.array([[0.5, 0.0], [0.0, 0.0]])
    >>> one.contains(moved).all(), one.contains(moved + 0.1).all()
    (np.True_, np.False_)
    """

    count: int | None = None
    window: tuple[int, int] | None = None

    kind: ClassVar[str] = "patch"

    def _check(self) -> None:
        if (self.count is None) == (self.window is None):
            raise BadSetting("a patch is a number of pixels or a window of them: give one of them")
        if self.count is not None and not 0 <= self.count <= prod(self.grid):
            raise BadSetting(
                f"a patch of {self.count} pixels does not fit images of {prod(self.grid)}"
            )
        if self.window is not None and not all(
            1 <= side <= whole for side, whole in zip(self.window, self.grid, strict=True)
        ):
            raise BadSetting(
                f"a patch of {self.window[0]}x{self.window[1]} pixels does not fit images of "
                f"{self.grid[0]}x{self.grid[1]}"
            )

    @property
    def exact(self) -> bool:
        # Pixels that do not move may hold numbers that are none of float32.
        return False

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of an image, in pixels."""
        shape = (1, *self.shape) if len(self.shape) == 1 else self.shape
        return (int(shape[-2]), int(shape[-1])) if len(shape) > 1 else (1, 1)

    @property
    def words(self) -> str:
        if self.window is not None:
            return f"one patch of {self.window[0]}x{self.window[1]} pixels, anywhere"
        return f"any {self.count} of {prod(self.grid)} pixels"

    def by_pixel(self, values: Any) -> Any:
        """Numbers ``[..., features]`` as ``[..., colours, height, width]``."""
        return values.reshape(*values.shape[:-1], -1, *self.grid)

    def _excess(self, moved: np.ndarray) -> np.ndarray:
        size = abs(self.by_pixel(moved)).max(axis=-3)
        flat = size.reshape(*size.shape[:-2], -1)
        if self.count is not None:
            if self.count == flat.shape[-1]:
                return np.zeros(flat.shape[:-1])
            return -np.partition(-flat, self.count, axis=-1)[..., self.count]
        outside = [np.where(mask, 0.0, flat).max(axis=-1) for mask in self.windows()]
        return np.min(outside, axis=0)

    def windows(self) -> np.ndarray:
        """Masks of all places of the window, ``[places, pixels]``."""
        assert self.window is not None
        (height, width), (rows, columns) = self.window, self.grid
        masks = []
        for top in range(rows - height + 1):
            for left in range(columns - width + 1):
                mask = np.zeros((rows, columns), dtype=bool)
                mask[top : top + height, left : left + width] = True
                masks.append(mask.ravel())
        return np.stack(masks)

    def _retracted(self, moved: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        by_pixel = self.by_pixel(moved)
        size = (by_pixel**2).sum(axis=-3).reshape(*moved.shape[:-1], -1)
        kept = np.zeros(size.shape, dtype=bool)
        if self.count is not None:
            best = np.argsort(-size, axis=-1, kind="stable")[..., : self.count]
            np.put_along_axis(kept, best, True, axis=-1)
        else:
            masks = self.windows()
            kept = masks[(size @ masks.T.astype(np.float64)).argmax(axis=-1)]
        kept = kept.reshape(*moved.shape[:-1], 1, *self.grid)
        return np.where(kept, by_pixel, 0.0).reshape(moved.shape)
