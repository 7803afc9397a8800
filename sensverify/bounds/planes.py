"""Planes below and above a product of two numbers.

For ``a <= x <= A`` and ``b <= y <= B``, each of four products of two differences is not negative,
``(x - a)(y - b)`` among them; multiplied out, two are planes below ``x y`` and two above it
(McCormick 1976, *Computability of global solutions to factorable nonconvex programs: Part I*).
A mean of two planes on one side holds as well, and which mean is best depends on the objective.
"""

from __future__ import annotations

import torch
from torch import Tensor

Plane = tuple[Tensor, Tensor]
"""Slopes ``[..., 2]`` and intercept ``[...]``."""


def product_range(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest product of two numbers, ``[...]``, from their ends, ``[..., 2]``."""
    corners = _corners(lower, upper)
    return corners.amin(dim=-1), corners.amax(dim=-1)


def balanced_shares(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of the first planes with which neither side is worse than intervals.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[..., 2]``

    Returns
    -------
    below, above : Tensor, shape ``[...]``, in [0, 1]
        For `planes_between`.

    Notes
    -----
    With p and q the shares of both intervals that lie above 0, the least value on the box of the
    plane below is that of the product itself for every share between p and q, and the largest of
    the plane above for every share between p and 1 - q. Taken is the share of a number that has one
    sign, 0 or 1, else the middle: on networks of products, attention and normalisation this was
    tighter than McCormick's first planes alone, and than the middle everywhere.
    """
    with torch.no_grad():
        # Halves, because the difference of two finite ends can overflow.
        positive = upper.clamp(min=0) / 2
        width = positive - lower.clamp(max=0) / 2
        share = torch.where(width > 0, positive / width, 0.5)
        first, second = share.unbind(dim=-1)
        return _settled(first, second), _settled(first, 1 - second)


def _settled(first: Tensor, second: Tensor) -> Tensor:
    middle = (first + second) / 2
    middle = torch.where((second <= 0) | (second >= 1), second, middle)
    return torch.where((first <= 0) | (first >= 1), first, middle)


def planes_between(
    lower: Tensor, upper: Tensor, below: Tensor, above: Tensor
) -> tuple[Plane, Plane]:
    """The planes below and above ``x y`` that are means of two each.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[..., 2]``
    below : Tensor, shape ``[...]``, in [0, 1]
        Share of the plane that meets the product at both lower ends; the other one meets it at
        both upper ends.
    above : Tensor, shape ``[...]``, in [0, 1]
        Share of the plane that meets it at the lower end of x and the upper one of y; the other
        one meets it at the upper end of x and the lower one of y.
    """
    (a, b), (large_a, large_b) = lower.unbind(dim=-1), upper.unbind(dim=-1)
    first = _mean(below, b, large_b), _mean(below, a, large_a)
    under = -_mean(below, a * b, large_a * large_b)
    second = _mean(above, large_b, b), _mean(above, a, large_a)
    over = -_mean(above, a * large_b, large_a * b)
    return (torch.stack(first, dim=-1), under), (torch.stack(second, dim=-1), over)


def least_above(slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Smallest value ``[...]`` of ``x y - slope · (x, y)``, which is at a corner; any slopes."""
    return _gaps(slope, lower, upper).amin(dim=-1)


def most_above(slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Largest value ``[...]`` of ``x y - slope · (x, y)``."""
    return _gaps(slope, lower, upper).amax(dim=-1)


def _gaps(slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    low, high = slope * lower, slope * upper
    rise = torch.stack([low[..., 0], low[..., 0], high[..., 0], high[..., 0]], dim=-1)
    run = torch.stack([low[..., 1], high[..., 1], low[..., 1], high[..., 1]], dim=-1)
    return _corners(lower, upper) - rise - run


def _corners(lower: Tensor, upper: Tensor) -> Tensor:
    """Products at the four corners, ``[..., 4]``; the second number changes first."""
    ends = torch.stack([lower, upper], dim=-1)
    return (ends[..., 0, :, None] * ends[..., 1, None, :]).flatten(start_dim=-2)


def _mean(share: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return share * first + (1 - share) * second
