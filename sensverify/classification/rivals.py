"""Outputs that may not take the place of a class: all others, some of them, or several at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rivals:
    """The class of every sample, and the outputs that may not take its place.

    A class has lost its place at a point where at least ``places`` of its rivals exceed every
    output that is no rival, its own among them. With all others as rivals and one place, that is
    another largest output; with more places, the class is not among so many largest ones; with
    some rivals, one of these is the largest output. It is certain that a class keeps its place
    where fewer than ``places`` of its margins over rivals are unproven.

    Parameters
    ----------
    labels : Tensor, shape ``[batch]``, int64
    against : boolean Tensor, shape ``[batch, outputs]``
        The rivals; never the class itself.
    places : int
        Above 1 only where all others are rivals.
    """

    labels: Tensor
    against: Tensor
    places: int = 1

    @classmethod
    def of(cls, labels: Tensor | Rivals, outputs: int, places: int = 1) -> Rivals:
        """All other outputs as the rivals of classes; rivals stay as they are."""
        if isinstance(labels, Rivals):
            return labels
        return cls(labels, without(labels, outputs), places)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor | slice) -> Rivals:
        """The rivals of some samples."""
        return Rivals(self.labels[rows], self.against[rows], self.places)

    def cpu(self) -> Rivals:
        """The same on the CPU."""
        return Rivals(self.labels.cpu(), self.against.cpu(), self.places)

    @property
    def all_others(self) -> Tensor:
        """Samples to whose class every other output is a rival, ``[batch]``."""
        return self.against.sum(dim=1) == self.against.shape[1] - 1

    @property
    def beside(self) -> Tensor:
        """Which margins of `with_margins` are over a rival, ``[batch, outputs - 1]``."""
        return self.against[without(self.labels, self.against.shape[1])].reshape(len(self), -1)

    def certain(self, below: Tensor) -> Tensor:
        """Samples whose class keeps its place.

        Parameters
        ----------
        below : boolean Tensor, shape ``[batch, outputs - 1]``
            Which margins of `with_margins` are proven to be above 0.
        """
        return (self.beside & ~below).sum(dim=1) < self.places

    def loss(self, outputs: Tensor, _: Tensor | None = None) -> Tensor:
        """By how much rivals have taken the place, ``[batch]``: above 0 where they have.

        Parameters
        ----------
        outputs : Tensor, shape ``[batch, outputs]``
        """
        rivals = outputs.masked_fill(~self.against, -math.inf)
        if self.places == 1:
            strongest = rivals.amax(dim=1)
        else:
            strongest = rivals.topk(self.places, dim=1).values[:, -1]
        return strongest - outputs.masked_fill(self.against, -math.inf).amax(dim=1)

    def kept(self, outputs: Tensor) -> Tensor:
        """Samples whose class has its place at a point; of equal outputs the first is the larger.

        Parameters
        ----------
        outputs : Tensor, shape ``[batch, outputs]``
        """
        if self.places == 1:
            largest = outputs.argmax(dim=1, keepdim=True)
            return ~self.against.gather(1, largest).squeeze(1)
        own = outputs.gather(1, self.labels.unsqueeze(1))
        before = torch.arange(outputs.shape[1], device=outputs.device) < self.labels.unsqueeze(1)
        ahead = (outputs > own) | ((outputs == own) & before)
        return ahead.sum(dim=1) < self.places


def without(labels: Tensor, outputs: int) -> Tensor:
    """Mask of all outputs but each sample's class, ``[batch, outputs]``."""
    return torch.arange(outputs, device=labels.device) != labels.unsqueeze(1)
