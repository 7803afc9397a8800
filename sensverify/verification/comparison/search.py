"""Inputs on which two networks differ: found by gradients, and between inputs that both change."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.bounds.forward import forward
from sensverify.network import Network

_STEPS = 12
"""Gradient steps."""

_STARTS = 4
"""Starts of each search for another decision."""

_HALVINGS = 60
"""Until the two ends of a stretch are neighbours in float64, or nearly so."""


@dataclass(frozen=True, eq=False)
class Found:
    """Inputs of one box, and the differences there.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[outputs]``
        The smallest and the largest differences.
    candidates : Tensor, shape ``[points, *input_shape]``
        Inputs on which the decisions differ in float64, those that differ most first.
    """

    lower: Tensor
    upper: Tensor
    candidates: Tensor


def search(network: Network, outputs: int, ends: tuple[Tensor, Tensor, Tensor], seed: int) -> Found:
    """Look for large differences, and for different decisions, on one box.

    Parameters
    ----------
    network : Network
        Of the outputs of one, and of the differences; with tensors.
    outputs : int
    ends : three Tensors, shape ``[*input_shape]``
        The low end of the box, the high end, and a point in it.
    seed : int
    """
    lower, upper, center = ends
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(_STARTS, *lower.shape, generator=generator, dtype=torch.float64)
    around = torch.cat([center.unsqueeze(0), lower + share.to(lower) * (upper - lower)])
    with torch.no_grad():
        label = int(forward(network, center.unsqueeze(0))[0, :outputs].argmax())
    goals = 2 * outputs + (3 * len(around) if outputs > 1 else 0)
    starts = torch.cat([center.expand(2 * outputs, *center.shape), *[around] * 3])[:goals]
    walk = _Walk(network, outputs, label, (lower, upper))
    walk.run(starts.clone())
    if outputs > 1:
        walk.between(center)
    found = walk.candidates()
    return Found(walk.lower, walk.upper, found)


class _Walk:
    """Points that climb, and what was seen on the way."""

    def __init__(self, network: Network, outputs: int, label: int, ends: tuple[Tensor, Tensor]):
        self.network, self.outputs, self.label = network, outputs, label
        self.ends = ends
        self.lower = ends[0].new_full((outputs,), torch.inf)
        self.upper = ends[0].new_full((outputs,), -torch.inf)
        self.differing: list[tuple[Tensor, Tensor]] = []
        self.changed: list[Tensor] = []

    def run(self, points: Tensor) -> None:
        lower, upper = self.ends
        reach = (upper - lower) / 2
        for step in range(_STEPS):
            points.requires_grad_(True)
            with torch.enable_grad():
                goal = self._goals(self._seen(points))
                (slope,) = torch.autograd.grad(goal.sum(), points, allow_unused=True)
            if slope is None:
                return
            points = points.detach() + (0.7**step) * reach * slope.sign()
            points = torch.maximum(torch.minimum(points, upper), lower)
        with torch.no_grad():
            self._seen(points)

    def _seen(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The old outputs and the differences; what they tell is kept."""
        values = forward(self.network, points)
        old, change = values[:, : self.outputs], values[:, self.outputs :]
        seen = change.detach()
        usable = torch.isfinite(values.detach()).all(dim=1)
        if bool(usable.any()):
            self.lower = torch.minimum(self.lower, seen[usable].amin(dim=0))
            self.upper = torch.maximum(self.upper, seen[usable].amax(dim=0))
        if self.outputs > 1:
            first, second = old.detach(), old.detach() + seen
            decisions = first.argmax(dim=1), second.argmax(dim=1)
            differ = (decisions[0] != decisions[1]) & usable
            if bool(differ.any()):
                gaps = _distance(first, second, decisions)
                self.differing.append((points.detach()[differ], gaps[differ]))
            away = (decisions[0] == decisions[1]) & (decisions[0] != self.label) & usable
            self.changed.append(points.detach()[away])
        return old, change

    def _goals(self, values: tuple[Tensor, Tensor]) -> Tensor:
        """Each point's own: a difference and its opposite, then another decision, thrice."""
        old, change = values
        count = 2 * self.outputs
        own = change[:count].reshape(2, self.outputs, self.outputs).diagonal(dim1=1, dim2=2)
        goals = [own[0], -own[1]]
        if self.outputs > 1:
            rest, moved = old[count:], change[count:]
            number = len(rest) // 3
            parts = (rest[:number], (rest + moved)[number : 2 * number])
            goals += [self._rival(part) for part in parts]
            last, more = rest[2 * number :], moved[2 * number :]
            rival = self._others(last).argmax(dim=1, keepdim=True)
            apart = more.gather(1, rival).squeeze(1) - more[:, self.label]
            goals.append(apart + self._rival(last).clamp(max=0))
        return torch.cat(goals)

    def _others(self, values: Tensor) -> Tensor:
        own = torch.zeros_like(values, dtype=torch.bool)
        own[:, self.label] = True
        return values.masked_fill(own, -torch.inf)

    def _rival(self, values: Tensor) -> Tensor:
        return self._others(values).amax(dim=1) - values[:, self.label]

    def between(self, center: Tensor) -> None:
        """Look between the middle, and inputs on which both decide otherwise than there.

        Somewhere on the way both change their decision, and hardly ever at the same place.
        """
        if not self.changed or not len(far := torch.cat(self.changed)[-16:]):
            return
        near, far = center.expand_as(far).clone(), far.clone()
        with torch.no_grad():
            for _ in range(_HALVINGS):
                middle = near / 2 + far / 2
                values = forward(self.network, middle)
                old, change = values[:, : self.outputs], values[:, self.outputs :]
                first, second = old.argmax(dim=1), (old + change).argmax(dim=1)
                differ = first != second
                if bool(differ.any()):
                    gaps = _distance(old, old + change, (first, second))
                    self.differing.append((middle[differ], gaps[differ]))
                    return
                stays = (first == self.label).reshape(-1, *(1,) * (middle.ndim - 1))
                near, far = torch.where(stays, middle, near), torch.where(stays, far, middle)

    def candidates(self) -> Tensor:
        if not self.differing:
            return self.ends[0].new_zeros(0, *self.ends[0].shape)
        points = torch.cat([each for each, _ in self.differing])
        order = torch.cat([gaps for _, gaps in self.differing]).argsort(descending=True)
        return points[order[:8]]


def _distance(old: Tensor, new: Tensor, decisions: tuple[Tensor, Tensor]) -> Tensor:
    """By how much each prefers its own decision to the other's, the smaller of both."""
    first, second = (each.unsqueeze(1) for each in decisions)
    return torch.minimum(
        (old.gather(1, first) - old.gather(1, second)).squeeze(1),
        (new.gather(1, second) - new.gather(1, first)).squeeze(1),
    )
