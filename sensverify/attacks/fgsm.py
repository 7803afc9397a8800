"""The fast gradient sign method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sensverify.attacks.ascent import (
    AttackLoss,
    Function,
    LossName,
    RandomSource,
    check,
    find_loss,
    least_likely,
    named_loss,
    project,
    random_point,
    value_and_gradient,
)
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.registry.settings import Checked

_OVERSHOOT = 1.25
"""Length of the step from a random start, in half-widths of the box (Wong et al. 2020)."""


def fgsm(
    function: Function,
    x: Tensor,
    y: Tensor,
    box: Box,
    *,
    random_start: bool = False,
    generator: RandomSource = None,
    loss: str | AttackLoss = "cross-entropy",
) -> Tensor:
    """One step along the sign of the gradient: the corner of the box that it points to.

    Where the function is linear and there are two classes, no point of the box has a larger loss.

    Parameters
    ----------
    function : callable
        From inputs ``[batch, *features]`` to outputs ``[batch, *outputs]``, each sample by itself.
    x : Tensor, shape ``[batch, *features]``
    y : integer Tensor, shape ``[batch]``
    box : Box of tensors like x
        Region of the points; every feature has its own radius, and may be clipped.
    random_start : bool
        Begin at a uniformly drawn point of the box, step by 1.25 half-widths and return to the
        box: the "fast" attack that a network can be trained against at little cost.
    generator : torch.Generator or SampleGenerator, optional
        For the start.
    loss : str or callable
        See `LOSSES`; or any function of outputs and labels that gives ``[batch]``.

    Returns
    -------
    Tensor like x, detached, inside of the box. A feature without gradient stays at its start.

    Raises
    ------
    BadShape, BadBox, BadSetting
        The arguments do not fit together.

    Notes
    -----
    Source: Goodfellow et al. 2015, *Explaining and harnessing adversarial examples*; with a random
    start: Wong et al. 2020, *Fast is better than free*.
    """
    check(x, y, box)
    start = random_point(box, generator) if random_start else x.detach()
    _, _, gradient = value_and_gradient(function, start, y, find_loss(loss))
    if random_start:
        return project(start + _OVERSHOOT * box.radius * gradient.sign(), box)
    return torch.where(gradient > 0, box.upper, torch.where(gradient < 0, box.lower, start))


@dataclass(frozen=True, kw_only=True)
class Fgsm(Checked):
    """One step along the sign of the loss's gradient, as far as the box goes.

    Parameters
    ----------
    random_start : bool
        Begin at a uniformly drawn point of the box; see `fgsm`.
    loss : str
        ``cross-entropy``, or ``margin``: the largest other output minus the label's.
    """

    name: ClassVar[str] = "fgsm"
    nearest: ClassVar[bool] = False
    gradients: ClassVar[bool] = True
    source: ClassVar[str] = "Goodfellow et al. 2015, Explaining and harnessing adversarial examples"

    random_start: bool = False
    loss: LossName = "cross-entropy"

    def points(
        self, function: Function, x: Tensor, y: Tensor, box: Box, *, generator: RandomSource
    ) -> Tensor:
        """One point for every sample; see `Attack.points`."""
        return fgsm(
            function,
            x,
            y,
            box,
            random_start=self.random_start,
            generator=generator,
            loss=named_loss(function, x, self.loss),
        )


@dataclass(frozen=True, kw_only=True)
class LlFgsm:
    """One step towards the class that is least likely at the sample, as far as the box goes.

    Down the gradient of that class's cross-entropy.
    """

    name: ClassVar[str] = "ll-fgsm"
    nearest: ClassVar[bool] = False
    gradients: ClassVar[bool] = True
    source: ClassVar[str] = "Kurakin et al. 2017, Adversarial machine learning at scale"

    def points(
        self, function: Function, x: Tensor, y: Tensor, box: Box, *, generator: RandomSource
    ) -> Tensor:
        """One point for every sample; see `Attack.points`."""
        with torch.no_grad():
            loss = least_likely(flattened(function(x)))
        return fgsm(function, x, y, box, loss=loss)
