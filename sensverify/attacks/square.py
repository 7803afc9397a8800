"""Random search with squares at the corners of the box: no gradients are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from sensverify.attacks.ascent import Function, margin_loss
from sensverify.attacks.sample_generator import SampleGenerator
from sensverify.attacks.worst_points import misclassified, per_sample
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.registry.ranges import Count, Range
from sensverify.registry.settings import Checked

_IMAGE_AXES = 4
_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries, of 10,000, after which the share of changed features is halved."""

_SCHEDULE = 10_000


def share_at(query: int, queries: int, p_init: float) -> float:
    """Share of the features that the proposal of a query changes.

    Parameters
    ----------
    query, queries : int
        The query's number, from 1, and how many there are: the schedule for 10,000 is stretched.
    p_init : float
    """
    place = query * _SCHEDULE // queries
    return p_init / 2.0 ** sum(place > after for after in _HALVED_AFTER)


@dataclass(frozen=True, kw_only=True)
class Square(Checked):
    """Random search that moves squares of the image to corners of the box, without gradients.

    Every proposal goes on from the best point so far; a sample is done as soon as it has lost its
    label. Images ``[channels, rows, columns]`` start with vertical stripes, and each channel of a
    square goes to one end of the box. Features that form no image start at random corners, and a
    proposal draws a new end for each feature of a run of neighbours.

    Parameters
    ----------
    queries : int
        Evaluations of the network for every sample.
    p_init : float
        Share of the features that the first proposals change; it falls as queries are spent.
    """

    name: ClassVar[str] = "square"
    nearest: ClassVar[bool] = False
    gradients: ClassVar[bool] = False
    source: ClassVar[str] = (
        "Andriushchenko et al. 2020, Square attack: a query-efficient black-box adversarial "
        "attack via random search"
    )

    queries: Count = 5000
    p_init: Annotated[float, Range(0, 1, above=True)] = 0.8

    @torch.no_grad()
    def points(
        self, function: Function, x: Tensor, y: Tensor, box: Box, *, generator: SampleGenerator
    ) -> Tensor:
        """One point for every sample; see `Attack.points`."""
        found = x.clone()
        left = torch.arange(len(x), device=x.device)
        lower, upper, best = box.lower, box.upper, x
        margin = torch.full(y.shape, -torch.inf, dtype=x.dtype, device=x.device)
        for query in range(self.queries):
            share = share_at(query, self.queries, self.p_init)
            window, high = _proposal(x.shape[1:], share, generator, first=query == 0)
            point = torch.where(window, torch.where(high, upper, lower), best)
            # A proposal that changes nothing would waste a query; its opposite does not.
            same = per_sample(flattened(point == best).all(dim=1), point)
            point = torch.where(same & window, torch.where(high, lower, upper), point)
            outputs = flattened(function(point))
            value, lost = margin_loss(outputs, y), misclassified(outputs, y)
            better = lost | (value > margin)
            best = torch.where(per_sample(better, point), point, best)
            margin = torch.where(better, value, margin)
            if bool(lost.any()):
                found[left[lost]] = best[lost]
                on = ~lost
                left, best, margin, y = left[on], best[on], margin[on], y[on]
                lower, upper, generator = lower[on], upper[on], generator[on]
                if len(left) == 0:
                    break
        found[left] = best
        return found


def _proposal(
    shape: tuple[int, ...], share: float, generator: SampleGenerator, *, first: bool
) -> tuple[Tensor, Tensor]:
    """Masks of the features proposed to move, and of those that go upwards, ``[batch, *shape]``."""
    if len(shape) == _IMAGE_AXES - 1:
        return _square(shape, share, generator, first=first)
    features = torch.Size(shape).numel()
    drawn = generator.uniform((1 + features,), torch.float64)
    high = drawn[:, 1:] < 0.5
    length = features if first else min(max(round(share * features), 1), features)
    window = _run(drawn[:, 0], length, features)
    return window.reshape(-1, *shape), high.reshape(-1, *shape)


def _square(
    shape: tuple[int, ...], share: float, generator: SampleGenerator, *, first: bool
) -> tuple[Tensor, Tensor]:
    channels, rows, columns = shape
    if first:
        high = generator.uniform((channels, 1, columns), torch.float64) < 0.5
        return torch.ones_like(high), high
    side = max(round(sqrt(share * rows * columns)), 1)
    drawn = generator.uniform((2 + channels,), torch.float64)
    # As in the authors' code, a square never covers the image.
    tall, wide = min(side, max(rows - 1, 1)), min(side, max(columns - 1, 1))
    window = (
        _run(drawn[:, 0], tall, rows)[:, None, :, None]
        & _run(drawn[:, 1], wide, columns)[:, None, None, :]
    )
    return window, (drawn[:, 2:] < 0.5)[:, :, None, None]


def _run(drawn: Tensor, length: int, places: int) -> Tensor:
    """``length`` neighbours of some places in a row, ``[batch, places]``; drawn from 0 to 1."""
    first = (drawn * (places - length + 1)).long()[:, None]
    place = torch.arange(places, device=drawn.device)
    return (place >= first) & (place < first + length)
