"""The iterated fast gradient sign method, with momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sensverify.attacks.ascent import (
    Function,
    RandomSource,
    largest_step,
    named_loss,
    project,
    value_and_gradient,
)
from sensverify.attacks.worst_points import WorstPoints, per_sample
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.registry.ranges import Above0, AtLeast0, Count
from sensverify.registry.settings import Checked


@dataclass(frozen=True, kw_only=True)
class MiFgsm(Checked):
    """Steps along the sign of an average of all gradients so far. The worst point met.

    ``g <- decay g + gradient / ||gradient||_1``, then ``x <- x + step_size sign(g)``, from the
    sample on. With a decay of 0 these are the steps of `Pgd` without a random start.

    Parameters
    ----------
    steps : int
    step_size : float or None
        As a share of how far a feature can move, its radius unless the box is clipped on both
        sides; None is ``1 / steps``, so that all steps together just reach the end of the box.
    decay : float
        Share of the average that goes on to the next step.
    """

    name: ClassVar[str] = "mi-fgsm"
    nearest: ClassVar[bool] = False
    gradients: ClassVar[bool] = True
    source: ClassVar[str] = "Dong et al. 2018, Boosting adversarial attacks with momentum"

    steps: Count = 10
    step_size: Above0 | None = None
    decay: AtLeast0 = 1.0

    def points(
        self, function: Function, x: Tensor, y: Tensor, box: Box, *, generator: RandomSource
    ) -> Tensor:
        """One point for every sample; see `Attack.points`."""
        share = 1 / self.steps if self.step_size is None else self.step_size
        stride = share * largest_step(x, box)
        worst = WorstPoints(x, y)
        loss = named_loss(function, x, "cross-entropy")
        point, average = x, torch.zeros_like(x)
        for _ in range(self.steps):
            outputs, values, gradient = value_and_gradient(function, point, y, loss)
            worst.update(point, outputs, values)
            size = per_sample(flattened(gradient.abs()).sum(dim=1), gradient)
            average = self.decay * average + torch.where(size > 0, gradient / size, 0.0)
            point = project(point + stride * average.sign(), box)
        with torch.no_grad():
            outputs = flattened(function(point))
            worst.update(point, outputs, loss(outputs, y))
        return worst.points
