"""Memory that the tiles of a pass share.

Fresh temporaries of a few megabytes come from the operating system page by page, which costs as
much as the arithmetic on them. A workspace hands out the same memory to tile after tile. Where
autograd must keep temporaries there is nothing to share, and it hands out fresh memory.
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor


class Workspace:
    """A bump allocator for the temporaries of one tile at a time."""

    def __init__(self) -> None:
        self._blocks: list[Tensor] = []
        self._next = 0

    def reset(self) -> None:
        """Everything handed out before may be overwritten from now on."""
        self._next = 0

    def like(self, shape: tuple[int, ...], values: Tensor) -> Tensor | None:
        """Memory for a result, or None where it has to be fresh (autograd, or not on a CPU)."""
        if torch.is_grad_enabled() or values.device.type != "cpu":
            return None
        size = prod(shape)
        if self._next == len(self._blocks):
            self._blocks.append(values.new_empty(size))
        block = self._blocks[self._next]
        if block.numel() < size or block.dtype != values.dtype:
            block = self._blocks[self._next] = values.new_empty(size)
        self._next += 1
        return block[:size].view(shape)

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """``a * b``, broadcast."""
        # torch's own broadcast_shapes imports sympy: half a second at the first call.
        shape = np.broadcast_shapes(a.shape, b.shape)
        return torch.mul(a, b, out=self.like(shape, a))

    def clamp(self, a: Tensor, *, low: float | None = None, high: float | None = None) -> Tensor:
        """``a`` cut to ``[low, high]``."""
        return torch.clamp(a, low, high, out=self.like(tuple(a.shape), a))

    def absolute(self, a: Tensor) -> Tensor:
        """``|a|``."""
        return torch.abs(a, out=self.like(tuple(a.shape), a))

    def matmul(self, a: Tensor, matrix: Tensor) -> Tensor:
        """``a @ matrix`` along the last axis of ``a``."""
        shape = (*a.shape[:-1], matrix.shape[-1])
        out = self.like(shape, a)
        if out is None:
            return a @ matrix
        # Not -1: a layer may have no neurons.
        torch.mm(a.flatten(0, -2), matrix, out=out.flatten(0, -2))
        return out
