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
    into,
    log_odds,
    random_point,
    reach,
    stretched,
    value_and_gradient,
)
from sensverify.attacks.dlr import dlr_loss
from sensverify.attacks.draws import SampleGenerator
from sensverify.attacks.settings import check_count
from sensverify.attacks.worst_seen import WorstSeen, along
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box

Ask = Callable[[Tensor], tuple[Tensor, Tensor]]

_MOMENTUM = 0.75
_RISING = 0.75
"""Share of the steps between two checkpoints that must have raised the loss."""

_FIRST, _SHORTER, _SHORTEST = 22, 3, 6
"""First checkpoint, what later periods lose, and the shortest one, in percent of all steps."""


def checkpoints(steps: int) -> tuple[int, ...]:
    """After how many steps the step sizes are looked at, ascending.

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
class Apgd(ABC):
    """Projected gradient ascent with momentum and a step size of its own for every sample.

    The step starts at twice the radius, and is halved, back at the best point so far, at
    `checkpoints` where too few steps raised the loss or nothing has changed since the last one.

    Parameters
    ----------
    steps : int
    restarts : int
        How many times in all, from uniformly drawn points of the box; each for samples that still
        have their label.
    """

    name: ClassVar[str]
    nearest: ClassVar[bool] = False
    gradients: ClassVar[bool] = True
    source: ClassVar[str] = (
        "Croce & Hein 2020, Reliable evaluation of adversarial robustness with an ensemble of "
        "diverse parameter-free attacks"
    )
    raised: ClassVar[Callable[[Tensor], AttackLoss]]
    """The loss that is raised, for the outputs at the samples."""

    steps: int = 100
    restarts: int = 1

    def __post_init__(self) -> None:
        check_count(self.name, "steps", self.steps)
        check_count(self.name, "restarts", self.restarts)

    def points(
        self, function: Function, x: Tensor, y: Tensor, box: Box, *, generator: SampleGenerator
    ) -> Tensor:
        """One point for every sample; see `Attack.points`."""
        worst = WorstSeen(x, y)
        with torch.no_grad():
            clean = flattened(function(x))
            worst.see(x, clean, type(self).raised(clean)(clean, y))
        for _ in range(self.restarts):
            start = random_point(box, generator)
            left = (~worst.wrong).nonzero().squeeze(1)
            if len(left) == 0:
                break
            part, inside = worst.part(left), box[left]
            climb(
                partial(_asked, function, y[left], type(self).raised(clean[left]), part),
                start[left],
                2 * reach(x[left], inside),
                inside,
                self.steps,
            )
            worst.put(left, part)
        return worst.points


def _asked(
    function: Function, y: Tensor, loss: AttackLoss, worst: WorstSeen, points: Tensor
) -> tuple[Tensor, Tensor]:
    # The ratio of logits has no gradient where it cannot change, as with two equal runners-up.
    outputs, values, gradient = value_and_gradient(function, points, y, loss, spare=log_odds)
    worst.see(points, outputs, values)
    return values, gradient


def climb(ask: Ask, start: Tensor, stride: Tensor, box: Box, steps: int) -> Tensor:
    """Go up from a start; ``ask`` sees every point that is met, the start among them.

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
        What is left of the stride of every sample at the end, as a share.

    Notes
    -----
    Algorithm 1 of Croce & Hein 2020.
    """
    value, gradient = ask(start)
    point = before = start
    best = _Best(start, value, gradient)
    # In the dtype of the points: a function may answer in another.
    share = last_share = torch.ones(value.shape, dtype=start.dtype, device=start.device)
    last_value, rises, last_end = value, torch.zeros_like(value), 0
    ends = checkpoints(steps)
    for step in range(1, steps + 1):
        momentum = 1.0 if step == 1 else _MOMENTUM
        ahead = into(point + along(share, point) * stride * gradient.sign(), box)
        moved = point + momentum * (ahead - point) + (1 - momentum) * (point - before)
        before, point = point, into(moved, box)
        old, (value, gradient) = value, ask(point)
        rises = rises + (value > old)
        best.see(point, value, gradient)
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

    def see(self, point: Tensor, value: Tensor, gradient: Tensor) -> None:
        better = value > self.value
        self.point = torch.where(along(better, point), point, self.point)
        self.gradient = torch.where(along(better, point), gradient, self.gradient)
        self.value = torch.where(better, value, self.value)

    def instead(
        self, chosen: Tensor, point: Tensor, value: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """These, but the best ones where that is chosen."""
        places = along(chosen, point)
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
    raised: ClassVar[Callable[[Tensor], AttackLoss]] = staticmethod(stretched)


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
    raised: ClassVar[Callable[[Tensor], AttackLoss]] = staticmethod(lambda _: dlr_loss)
