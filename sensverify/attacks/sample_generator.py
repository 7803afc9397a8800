"""Random numbers of every sample by itself, whichever samples are attacked beside it."""

from __future__ import annotations

import torch
from torch import Tensor

_WRAP = 1 << 64
_DIGITS = {torch.float64: 53}
_DIGITS_OF_FLOAT32 = 24


def _signed(number: int) -> int:
    """The int64 with the bits of an unsigned number, taken modulo 2^64."""
    number %= _WRAP
    return number - _WRAP if number >= _WRAP // 2 else number


_STEP = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


class SampleGenerator:
    """A stream of random numbers for every sample of a batch.

    Each stream is SplitMix64, started from a mixture of the seed and the sample's position in the
    data. All streams are equally far, also those of a part of the batch that goes on alone; so
    what a sample draws depends neither on the chunk it is in nor on who has dropped out. The
    numbers are the same on every device.

    Parameters
    ----------
    states : int64 Tensor, shape ``[batch]``
        Initial states of the streams.
    positions : int64 Tensor, shape ``[batch]``
        Positions of the samples in the data.

    Notes
    -----
    Source: Steele, Lea & Flood 2014, *Fast splittable pseudorandom number generators*.
    """

    def __init__(self, states: Tensor, positions: Tensor) -> None:
        self.positions = positions
        self._states = states
        self._taken = 0

    @classmethod
    def seeded(cls, seed: int, positions: Tensor) -> SampleGenerator:
        """The streams of the samples at some positions, for a seed.

        Parameters
        ----------
        seed : int
            Taken modulo 2^64.
        positions : int64 Tensor, shape ``[batch]``
            Its device is where numbers are drawn.
        """
        root = _mixed(torch.full_like(positions, _signed(seed)) + _STEP)
        return cls(_mixed(root + _STEP * (positions + 1)), positions)

    def __len__(self) -> int:
        return len(self._states)

    def __getitem__(self, index: Tensor) -> SampleGenerator:
        """The streams of some samples, as far as they are now; they go on by themselves."""
        part = SampleGenerator(self._states[index], self.positions[index])
        part._taken = self._taken
        return part

    def bits(self, count: int) -> Tensor:
        """The next 64-bit numbers of every stream, int64 of shape ``[batch, count]``."""
        places = torch.arange(self._taken + 1, self._taken + count + 1, device=self._states.device)
        self._taken += count
        return _mixed(self._states[:, None] + _STEP * places)

    def uniform(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Numbers drawn evenly from 0 (which may come) to 1 (which does not), ``[batch, *shape]``.

        Narrower dtypes than float32 may round up to 1.
        """
        digits = _DIGITS.get(dtype, _DIGITS_OF_FLOAT32)
        whole = _shifted(self.bits(torch.Size(shape).numel()), 64 - digits)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        return (whole.to(wide) * 2.0**-digits).to(dtype).reshape(-1, *shape)


def _mixed(z: Tensor) -> Tensor:
    """SplitMix64's output for a state; arithmetic of int64 wraps around as it has to."""
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, places: int) -> Tensor:
    """Logical shift to the right, with zeros from the left, where torch copies the sign."""
    return (z >> places) & ((1 << (64 - places)) - 1)
