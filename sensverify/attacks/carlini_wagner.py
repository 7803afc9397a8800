"""The attack of Carlini & Wagner: the nearest input with another label, by Euclidean distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sensverify.attacks.ascent import Function, RandomSource, margin_loss
from sensverify.attacks.worst_points import misclassified, per_sample
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.registry.ranges import Above0, AtLeast0, Count
from sensverify.registry.settings import Checked

_MEAN_DECAY, _SQUARE_DECAY, _TINY = 0.9, 0.999, 1e-8
"""Adam's decay rates of the mean and the square, and its guard against division by zero."""


@dataclass(frozen=True, kw_only=True)
class CarliniWagner(Checked):
    """The nearest input with another label, by Euclidean distance, in the range of the features.

    A fixed number of Adam's steps on ``||delta||^2 + c max(Z_y - max_{i != y} Z_i + confidence,
    0)``, each back into the range, for every weight c of a search by bisection; every sample by
    itself.

    Parameters
    ----------
    steps : int
        Steps for every weight.
    searches : int
        Number of weights c: ten times as much until a point is found, then halfway.
    step_size : float
        Length of Adam's first step, as a share of half the range of a feature; it falls to 0.
    confidence : float
        Least margin of another output above the label's.
    initial_weight : float
        The first c, over the difference of the largest and the smallest output at the sample: so
        scaling all outputs changes nothing.

    Notes
    -----
    Distances are in the units of the features. The original keeps to the range by a change of
    variables, whose gradient vanishes for features at the ends of their range, such as most pixels
    of MNIST; going back into it after every step is the first of the three ways that the authors
    describe.
    """

    name: ClassVar[str] = "cw"
    nearest: ClassVar[bool] = True
    gradients: ClassVar[bool] = True
    source: ClassVar[str] = (
        "Carlini & Wagner 2017, Towards evaluating the robustness of neural networks"
    )

    steps: Count = 200
    searches: Count = 7
    step_size: Above0 = 0.2
    confidence: AtLeast0 = 0.0
    initial_weight: Above0 = 1.0

    def points(
        self, function: Function, x: Tensor, y: Tensor, box: Box, *, generator: RandomSource
    ) -> Tensor:
        """One point for every sample; see `Attack.points`."""
        nearest = _Nearest(x)
        with torch.no_grad():
            clean = flattened(function(x))
        spread = (clean.amax(dim=1) - clean.amin(dim=1)).to(x.dtype)
        weight = self.initial_weight / torch.where(spread > 0, spread, 1.0)
        low, high = torch.zeros_like(weight), torch.full_like(weight, torch.inf)
        for _ in range(self.searches):
            hit = self._descend(function, x, y, box, weight=weight, nearest=nearest)
            low, high = torch.where(hit, low, weight), torch.where(hit, weight, high)
            weight = torch.where(torch.isinf(high), 10 * weight, (low + high) / 2)
        return nearest.points

    def _descend(
        self,
        function: Function,
        x: Tensor,
        y: Tensor,
        box: Box,
        *,
        weight: Tensor,
        nearest: _Nearest,
    ) -> Tensor:
        """Mask of the samples that these weights hold at another label, ``[batch]``."""
        point, hit = x, torch.zeros_like(y, dtype=torch.bool)
        mean, square = torch.zeros_like(x), torch.zeros_like(x)
        half = box.radius
        for step in range(self.steps + 1):
            found, gradient = self._slope(function, point, x, y, weight)
            # A first long step may cross by chance; a weight is enough if it holds the point there.
            if 2 * step > self.steps:
                hit = hit | found
            nearest.update(point, found)
            # In half-ranges, so that no feature's unit matters.
            gradient = gradient * half
            mean = torch.lerp(gradient, mean, _MEAN_DECAY)
            square = torch.lerp(gradient.square(), square, _SQUARE_DECAY)
            first = mean / (1 - _MEAN_DECAY ** (step + 1))
            second = square / (1 - _SQUARE_DECAY ** (step + 1))
            length = self.step_size * (1 - step / self.steps)
            point = point - length * half * first / (second.sqrt() + _TINY)
            point = torch.minimum(torch.maximum(point, box.lower), box.upper)
        return hit

    def _slope(
        self, function: Function, point: Tensor, x: Tensor, y: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mask of the points that count as found, ``[batch]``, and the objective's gradient."""
        with torch.enable_grad():
            point = point.detach().requires_grad_()
            outputs = flattened(function(point))
            margin = margin_loss(outputs, y)
            lacking = (self.confidence - margin).clamp(min=0)
            distance = flattened((point - x).square()).sum(dim=1)
            (gradient,) = torch.autograd.grad((distance + weight * lacking).sum(), point)
        found = misclassified(outputs.detach(), y) & ~(margin.detach() < self.confidence)
        return found, gradient.nan_to_num(0.0)


class _Nearest:
    """The nearest point of every sample that counted so far; the sample itself before any did."""

    def __init__(self, x: Tensor) -> None:
        self.points = x
        self._x = x
        self._distance = torch.full(x.shape[:1], torch.inf, dtype=torch.float64, device=x.device)

    def update(self, points: Tensor, counts: Tensor) -> None:
        distance = flattened(points.double() - self._x.double()).norm(dim=1)
        nearer = counts & (distance < self._distance)
        self.points = torch.where(per_sample(nearer, points), points, self.points)
        self._distance = torch.where(nearer, distance, self._distance)
