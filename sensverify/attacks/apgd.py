"""Projected gradient ascent that finds its step sizes itself."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from sensverify.attacks.ascent import (
    AttackLoss,
    Function,
    largest_step,
    log_odds,
    project,
    random_point,
    rescaled_log_odds,
    value_and_gradient,
)
from sensverify.attacks.dlr import dlr_loss
from sensverify.attacks.sample_generator import SampleGenerator
from sensverify.attacks.worst_points import WorstPoints, per_sample
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.registry.ranges import Count
from sensverify.registry.settings import Checked

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]

_MOMENTUM = 0.75
_RISING = 0.75
"""Share of the steps between two checkpoints that must have raised the loss."""

_FIRST, _SHORTER, _SHORTEST = 22, 3, 6
"""First checkpoint, what later periods lose, and the shortest one, in percent of all steps."""


def checkpoints(steps: int) -> tuple[int, ...]:
    """Numbers of steps after which the step sizes are adapted, ascending.

    ``ceil(p_j steps)`` with ``p_1 = .22`` and ``p_{j+1} = p_j + max(p_j - p_{j-1} - .03, .06)``:
    for 100 steps 22, 41, 57, 70, 80, 87, 93 and 99.
    """
    # In whole percent: fractions would round up where they should not.
    ends, end, period = [], _FIRST, _FIRST
    while end < 100:
        ends.append(-(-end * steps // 100))
        period = max(period - _SHORTER, _SHORTEST)
        end += period
    return tuple(dict.fromkeys(ends))


@dataclass(frozen=True, kw_only=True)
class Apgd(ABC, Checked):
    """Projected gradient ascent with momentum and a step size of its own for every sample.

    The step starts at twice the radius, and is halved, back at the best point so far, at
    `checkpoints` where too few steps raised the loss or nothing has changed since the last one.

    Parameters
    ----------
    steps : int
    restarts : int
        Number of starts, from uniformly drawn points of the box; each for samples that still
        have their label.
    """

    name: ClassVar[str]
    nearest: ClassVar[bool] = False
    gradients: ClassVar[bool] = True
    source: ClassVar[str] = (
        "Croce & Hein 2020, Reliable evaluation of adversarial robustness with an ensemble of "
        "diverse parameter-free attacks"
    )
    make_loss: ClassVar[Callable[[Tensor], AttackLoss]]
    """From the outputs at the samples, ``[batch, classes]``, to the loss that is raised."""

    steps: Count = 100
    restarts: Count = 1

    def points(
        self, function: Function, x: Tensor, y: Tensor, box: Box, *, generator: SampleGenerator
    ) -> Tensor:
        """One point for every sample; see `Attack.points`."""
        worst = WorstPoints(x, y)
        with torch.no_grad():
            clean = flattened(function(x))
            worst.update(x, clean, type(self).make_loss(clean)(clean, y))
        for _ in range(self.restarts):
            start = random_point(box, generator)
            left = (~worst.wrong).nonzero().squeeze(1)
            if len(left) == 0:
                break
            subset, inside = worst.subset(left), box[left]
            ascend(
                partial(_evaluated, function, y[left], type(self).make_loss(clean[left]), subset),
                start[left],
                2 * largest_step(x[left], inside),
                inside,
                self.steps,
            )
            worst.merge(left, subset)
        return worst.points


def _evaluated(
    function: Function, y: Tensor, loss: AttackLoss, worst: WorstPoints, points: Tensor
) -> tuple[Tensor, Tensor]:
    # The ratio of logits has no gradient where it cannot change, as with two equal runners-up.
    outputs, values, gradient = value_and_gradient(function, points, y, loss, fallback=log_odds)
    worst.update(points, outputs, values)
    return values, gradient


def ascend(objective: Objective, start: Tensor, stride: Tensor, box: Box, steps: int) -> Tensor:
    """Ascend from a start; ``objective`` is evaluated at every point, the start among them.

    Parameters
    ----------
    ask : callable
        From points ``[batch, *features]`` to what is raised there, ``[batch]``, and its gradient.
    start : Tensor, shape ``[batch, *features]``
    stride : Tensor like start
        The first step of every feature.
    box : Box of tensors like start
    steps : int

    Returns
    -------
    Tensor, shape ``[batch]``
        Share of the first step that is left at the end.

    Notes
    -----
    Algorithm 1 of Croce & Hein 2020.
    """
    value, gradient = objective(start)
    point = before = start
    best = _Best(start, value, gradient)
    # In the dtype of the points: a function may answer in another.
    share = last_share = torch.ones(value.shape, dtype=start.dtype, device=start.device)
    last_value, rises, last_end = value, torch.zeros_like(value), 0
    ends = checkpoints(steps)
    for step in range(1, steps + 1):
        momentum = 1.0 if step == 1 else _MOMENTUM
        ahead = project(point + per_sample(share, point) * stride * gradient.sign(), box)
        moved = point + momentum * (ahead - point) + (1 - momentum) * (point - before)
        before, point = point, project(moved, box)
        old, (value, gradient) = value, objective(point)
        rises = rises + (value > old)
        best.update(point, value, gradient)
        if step in ends:
            few = rises < _RISING * (step - last_end)
            stuck = (share == last_share) & (best.value == last_value)
            last_share, last_value, last_end = share, best.value, step
            rises, halved = torch.zeros_like(rises), few | stuck
            share = torch.where(halved, share / 2, share)
            point, value, gradient = best.instead(halved, point, value, gradient)
    return share


class _Best:
    """The highest point of every sample so far, with its value and gradient."""

    def __init__(self, point: Tensor, value: Tensor, gradient: Tensor) -> None:
        self.point, self.value, self.gradient = point, value, gradient

    def update(self, point: Tensor, value: Tensor, gradient: Tensor) -> None:
        better = value > self.value
        self.point = torch.where(per_sample(better, point), point, self.point)
        self.gradient = torch.where(per_sample(better, point), gradient, self.gradient)
        self.value = torch.where(better, value, self.value)

    def instead(
        self, chosen: Tensor, point: Tensor, value: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Point, value and gradient; those of the best point where ``chosen``."""
        places = per_sample(chosen, point)
        return (
            torch.where(places, self.point, point),
            torch.where(chosen, self.value, value),
            torch.where(places, self.gradient, gradient),
        )


@dataclass(frozen=True, kw_only=True)
class ApgdCe(Apgd):
    """Gradient ascent on the cross-entropy that adapts its steps. The worst point met.

    Parameters
    ----------
    steps, restarts
        See `Apgd`.
    """

    name: ClassVar[str] = "apgd-ce"
    make_loss: ClassVar[Callable[[Tensor], AttackLoss]] = staticmethod(rescaled_log_odds)


@dataclass(frozen=True, kw_only=True)
class ApgdDlr(Apgd):
    """Gradient ascent on the difference of logits ratio that adapts its steps.

    The worst point met. The loss does not change when outputs are scaled; see `dlr_loss`.

    Parameters
    ----------
    steps, restarts
        See `Apgd`.
    """

    name: ClassVar[str] = "apgd-dlr"
    make_loss: ClassVar[Callable[[Tensor], AttackLoss]] = staticmethod(lambda _: dlr_loss)
