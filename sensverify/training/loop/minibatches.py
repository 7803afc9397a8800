"""Mini-batches as the terms of a loss see them: here alone their samples are changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.training.batches import augmentation_seed
from sensverify.training.plan import Plan


@dataclass(frozen=True, eq=False)
class MiniBatch:
    """One process's share of a mini-batch.

    Attributes
    ----------
    x : Tensor, shape ``[samples, *features]``
        Augmented.
    y : integer Tensor, shape ``[samples]``
    weight : float
        The share that it is of the whole mini-batch.
    """

    x: Tensor
    y: Tensor
    weight: float


class MiniBatches:
    """The mini-batches of a training.

    What a step sees follows from the plan's seed and the number of the step alone.

    Parameters
    ----------
    plan : Plan
    device : torch.device
    rank, processes : int
        Which share of every mini-batch is wanted, and into how many it is cut.
    """

    def __init__(
        self, plan: Plan, device: torch.device, *, rank: int = 0, processes: int = 1
    ) -> None:
        self._plan, self._rank, self._processes = plan, rank, processes
        self._batches = plan.batches
        self._x, self._y = plan.train.tensors(device)

    @property
    def count(self) -> int:
        """Number of mini-batches of an epoch."""
        return self._batches.count

    def at(self, step: int) -> MiniBatch:
        """The mini-batch of a step, counted from 0 over all epochs."""
        places = self._batches.at(step)
        chosen = torch.tensor_split(self._corrupted(places), self._processes)[self._rank]
        share = torch.tensor_split(places, self._processes)[self._rank]
        # The second copy of a sample has a place of its own, and so draws of its own.
        own = (share % len(self._x)).to(self._x.device)
        x, plan = self._x[own], self._plan
        if plan.augmentation is not None:
            seed = augmentation_seed(plan.settings.seed, step // self.count)
            x = plan.augmentation(x, share, chosen, seed=seed, pixels=plan.pixels)
        return MiniBatch(x, self._y[own], len(share) / len(places))

    def _corrupted(self, places: Tensor) -> Tensor:
        """Which samples of a whole mini-batch are corrupted."""
        mode = self._plan.settings.augment_mode
        if mode == "half":
            # Every second one, so that each process has as many; their order is random already.
            return torch.arange(len(places)) % 2 == 1
        return places >= (len(self._x) if mode == "duplicate" else 0)
