"""Which samples are in which mini-batch, and what is drawn at a step: both by seed alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_ORDER, _DRAWS, _AUGMENTATION = 0, 1, 2
"""Streams of random numbers that have nothing to do with each other."""


class Batches:
    """Mini-batches of every epoch.

    An epoch is a permutation of all samples, drawn from the seed and the epoch's number alone: it
    does not depend on the loss, on what else is drawn, or on whether the training was resumed.
    It is cut into as few batches as their size allows, whose sizes differ by at most one: there
    is no small rest, whose gradient would be noisy and whose batch statistics useless.

    Parameters
    ----------
    samples : int
    batch_size : int
        Largest size of a batch.
    seed : int
    """

    def __init__(self, samples: int, batch_size: int, seed: int) -> None:
        self._samples, self._seed = samples, seed
        self.count = -(-samples // batch_size)
        self._known: tuple[int, list[Tensor]] | None = None

    @property
    def smallest(self) -> int:
        """Number of samples in the smallest batch."""
        return self._samples // self.count

    def at(self, step: int) -> Tensor:
        """Positions of the samples of a step, counted from 0 over all epochs; int64."""
        epoch, position = divmod(step, self.count)
        if self._known is None or self._known[0] != epoch:
            draw = torch.Generator().manual_seed(stream_seed(self._seed, _ORDER, epoch))
            order = torch.randperm(self._samples, generator=draw)
            self._known = epoch, list(torch.tensor_split(order, self.count))
        return self._known[1][position]


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """The seed of whatever is drawn at one step: dropout, random starts, permutations.

    Every step has its own, so that a resumed training draws what an unbroken one does, and
    trainings with other losses draw the same dropout.
    """
    return stream_seed(seed, _DRAWS, step, rank)


def augmentation_seed(seed: int, epoch: int) -> int:
    """The seed of an epoch's augmentation; every sample draws from it by its own place."""
    return stream_seed(seed, _AUGMENTATION, epoch)


def stream_seed(*numbers: int) -> int:
    """A seed of 63 bits that mixes some whole numbers of at least 0 well."""
    # Half of it: torch takes no seed of 2 to the 63 and more.
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
