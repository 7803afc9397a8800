"""Random numbers of every image by itself, whatever else is in the batch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


class Draws:
    """A stream of random numbers for every image of a batch.

    The stream of an image follows from the seed, the purpose and the image's place in the data set
    alone. Numbers are drawn on the CPU, in float32, and then moved.

    Parameters
    ----------
    seed : int
    purpose : str
        Corruptions of different names draw different numbers; severities of one draw the same.
    places : sequence of int
        The images' numbers in their data set, from 0.
    like : Tensor
        The numbers get its dtype and device.
    """

    def __init__(self, seed: int, purpose: str, *, places: Sequence[int], like: Tensor) -> None:
        base = zlib.crc32(f"{seed}/{purpose}".encode())
        self._like = like
        # Different places of one base never share a seed: the scrambling is one to one.
        self._streams = [
            torch.Generator().manual_seed(_scrambled((base + place) & _MASK)) for place in places
        ]

    def only(self, members: Sequence[int]) -> Draws:
        """The streams of some of the images, where they have got to by now."""
        found = Draws.__new__(Draws)
        found._like, found._streams = self._like, [self._streams[k] for k in members]
        return found

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Numbers from ``[low, high)``, ``[count, *shape]``."""
        unit = self._each(lambda stream: torch.rand(shape, generator=stream))
        return low + (high - low) * unit

    def normal(self, *shape: int) -> Tensor:
        """Numbers of the standard normal distribution, ``[count, *shape]``."""
        return self._each(lambda stream: torch.randn(shape, generator=stream))

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from ``low`` up to but without ``high``, int64 ``[count, *shape]``."""
        draw = [torch.randint(low, high, shape, generator=stream) for stream in self._streams]
        return torch.stack(draw).to(self._like.device)

    def signs(self, *shape: int) -> Tensor:
        """Minus or plus one, ``[count, *shape]``."""
        return (2 * self.integers(0, 2, *shape) - 1).to(self._like)

    def poisson(self, rates: Tensor) -> Tensor:
        """Poisson-distributed counts with these means, ``[count, *shape]``."""
        host = rates.cpu()
        draw = [torch.poisson(r, generator=s) for r, s in zip(host, self._streams, strict=True)]
        return torch.stack(draw).to(self._like)

    def _each(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        return torch.stack([draw(stream) for stream in self._streams]).to(self._like)


def _scrambled(number: int) -> int:
    """A one-to-one mixing of 32 bits (the last steps of MurmurHash3)."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        number = ((number ^ (number >> shift)) * factor) & _MASK
    return number ^ (number >> 16)
