"""Planes above and below ``f(x + d) - f(x)``, from the facts that f declares.

Two things are known of an increment on a box of (x, d). It is s times d, where s is a slope of a
secant, which lies between the least and the largest slope of f on all that x and x + d can be: so
it is small wherever d is. And it is f(x + d) less f(x), each of which has lines of its own: this is
what is tight where d is large. Given any slopes, both give an intercept, and the better one is
taken; so every choice of slopes is sound. Of a function that is linear between kinks, an increment
less a plane is linear between the lines where x or x + d is at a kink, so that it is extreme where
two of these and of the sides of the box meet: the intercept is exact.
"""

from __future__ import annotations

from functools import reduce, singledispatch
from itertools import pairwise
from math import inf
from typing import Any

import torch
from torch import Tensor

from sensverify.bounds.extremes import largest_gap, smallest_gap
from sensverify.bounds.forward import apply
from sensverify.bounds.slopes import adaptive_slopes
from sensverify.errors import MissingRule
from sensverify.network.operators import (
    Elementwise,
    Increment,
    Operator,
    Periodic,
    PiecewiseLinear,
    Smooth,
)

Ends = tuple[Tensor, Tensor]
"""The least and the largest values."""


@singledispatch
def secant_slopes(function: Operator, lower: Tensor, upper: Tensor) -> Ends:
    """Bounds on ``(f(v) - f(u)) / (v - u)`` for any two points of intervals, ``[batch, *shape]``.

    Raises
    ------
    MissingRule
        The function has no rule; add one with ``secant_slopes.register``.
    """
    raise MissingRule(
        f"the slopes of operator {type(function).__name__} are not known on an interval",
        "register them with sensverify.bounds.increments.secant_slopes.register",
    )


@secant_slopes.register
def _(function: PiecewiseLinear, lower: Tensor, upper: Tensor) -> Ends:
    """Slopes of the pieces that the interval reaches into; on a point at a kink, of all."""
    least, most = torch.full_like(lower, inf), torch.full_like(lower, -inf)
    slopes = [torch.as_tensor(slope).to(lower) for slope in function.slopes]
    for (start, end), slope in zip(pairwise((-inf, *function.kinks, inf)), slopes, strict=True):
        reached = (upper > start) & (lower < end)
        least = torch.where(reached, torch.minimum(least, slope), least)
        most = torch.where(reached, torch.maximum(most, slope), most)
    none = least > most
    least = torch.where(none, reduce(torch.minimum, slopes), least)
    return least, torch.where(none, reduce(torch.maximum, slopes), most)


@secant_slopes.register
def _(function: Smooth, lower: Tensor, upper: Tensor) -> Ends:
    """The derivative is the least and the largest at an end, or at an inflection in between."""
    points = [lower, upper]
    for place in (*function.inflections, *function.kinks):
        at = lower.clamp(min=place).minimum(upper)
        points.append(at)
        if function.kinks:
            # Where it jumps, both sides count.
            points += [torch.nextafter(at, torch.full_like(at, end)) for end in (-inf, inf)]
    steep = [function.derivative(point, torch) for point in points]
    return reduce(torch.minimum, steep), reduce(torch.maximum, steep)


@secant_slopes.register
def _(function: Periodic, lower: Tensor, upper: Tensor) -> Ends:
    """Anything that its derivative can be."""
    steepest = torch.full_like(lower, function.steepest)
    return -steepest, steepest


@secant_slopes.register
def _(function: Periodic, lower: Tensor, upper: Tensor) -> Ends:
    """At most the steepest slope either way: a period holds inflections that are not declared."""
    steepest = torch.full_like(lower, function.steepest)
    return -steepest, steepest


def bends(operator: Increment, lower: Tensor, upper: Tensor) -> Tensor:
    """Mask ``[batch, *shape]`` of increments that are no linear function of x and d on a box."""
    flat, steep = secant_slopes(operator.function, *_reach(lower, upper))
    moves = (lower[..., 1] != 0) | (upper[..., 1] != 0)
    return (flat < steep) & moves


def increment_range(operator: Increment, lower: Tensor, upper: Tensor) -> Ends:
    """The least and the largest increment on boxes ``[batch, *shape, 2]``."""
    level = torch.zeros_like(lower)
    least = least_increment(operator, level, lower, upper)
    most = most_increment(operator, level, lower, upper)
    # Rounding can cross the ends.
    return torch.minimum(least, most), torch.maximum(least, most)


def least_increment(operator: Increment, slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """At most ``f(x + d) - f(x) - slope · (x, d)`` on boxes.

    Parameters
    ----------
    operator : Increment
    slope : Tensor, shape ``[batch, rows or 1, *shape, 2]``
    lower, upper : Tensor, shape ``[batch, 1, *shape, 2]``

    Returns
    -------
    Tensor, shape ``[batch, rows or 1, *shape]``
    """
    if isinstance(operator.function, PiecewiseLinear):
        return reduce(torch.minimum, _vertices(operator, slope, lower, upper))
    along, steep = slope[..., 0], slope[..., 1]
    before, after = (lower[..., 0], upper[..., 0]), _after(lower, upper)
    apart = smallest_gap(operator.function, steep, *after)
    apart = apart - largest_gap(operator.function, steep - along, *before)
    together = reduce(torch.minimum, _corners(operator, slope, lower, upper))
    aside = torch.minimum(-along * lower[..., 0], -along * upper[..., 0])
    return torch.maximum(apart, together + aside)


def most_increment(operator: Increment, slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """At least ``f(x + d) - f(x) - slope · (x, d)`` on boxes; see `least_increment`."""
    if isinstance(operator.function, PiecewiseLinear):
        return reduce(torch.maximum, _vertices(operator, slope, lower, upper))
    along, steep = slope[..., 0], slope[..., 1]
    before, after = (lower[..., 0], upper[..., 0]), _after(lower, upper)
    apart = largest_gap(operator.function, steep, *after)
    apart = apart - smallest_gap(operator.function, steep - along, *before)
    together = reduce(torch.maximum, _corners(operator, slope, lower, upper))
    aside = torch.maximum(-along * lower[..., 0], -along * upper[..., 0])
    return torch.minimum(apart, together + aside)


def _vertices(operator: Increment, slope: Tensor, lower: Tensor, upper: Tensor) -> list[Tensor]:
    """``f(x + d) - f(x) - slope · (x, d)`` at points among which are those where it is extreme."""
    starts, changes = (lower[..., 0], upper[..., 0]), (lower[..., 1], upper[..., 1])
    function = operator.function
    assert isinstance(function, PiecewiseLinear)
    kinks = [kink for kink in function.kinks if abs(kink) <= torch.finfo(lower.dtype).max]
    points: list[tuple[Any, Any]] = [(x, d) for x in starts for d in changes]
    for kink in kinks:
        points += [(kink, d) for d in changes]
        points += [(kink - d, d) for d in changes]
        points += [(x, kink - x) for x in starts]
        points += [(kink, other - kink) for other in kinks]
    values = []
    for start, change in points:
        # Points beside the box are moved into it: they are then among those that can be attained.
        x, d = (
            torch.as_tensor(value).to(lower).maximum(ends[0]).minimum(ends[1])
            for value, ends in ((start, starts), (change, changes))
        )
        grown = apply(function, x + d) - apply(function, x)
        values.append(grown - slope[..., 0] * x - slope[..., 1] * d)
    return values


def increment_slopes(
    operator: Increment, lower: Tensor, upper: Tensor, *, parallel: bool = False
) -> Ends:
    """Slopes ``[batch, 1, *shape, 2]`` of a plane below and of one above, of two, the better one.

    One plane is the tightest that depends on d alone, the other that of the lines around
    ``f(x + d)`` and around ``f(x)``. The one that is nearer in the middle of the box, and so cuts
    off less, is taken.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[batch, 1, *shape, 2]``
    parallel : bool
        Both have the slope half way between the least and the largest.
    """
    with torch.no_grad():
        flat, steep = secant_slopes(operator.function, *_reach(lower, upper))
        none = torch.zeros_like(flat)
        if parallel:
            middle = torch.stack([none, (flat + steep) / 2], dim=-1)
            return middle, middle
        change = lower[..., 1], upper[..., 1]
        first = (torch.stack([none, slope], dim=-1) for slope in _by_change(flat, steep, *change))
        rivals = _by_ends(operator.function, lower, upper)
        centre = lower / 2 + upper / 2
        best = []
        for slope, rival, extreme, sign in (
            (next(first), rivals[0], least_increment, 1),
            (next(first), rivals[1], most_increment, -1),
        ):
            near, other = (
                sign * ((each * centre).sum(dim=-1) + extreme(operator, each, lower, upper))
                for each in (slope, rival)
            )
            best.append(torch.where((other > near).unsqueeze(-1), rival, slope))
        return best[0], best[1]


def _by_change(flat: Tensor, steep: Tensor, lower: Tensor, upper: Tensor) -> Ends:
    """Slopes of the tightest lines around ``s d``, where s is between two slopes, in d alone."""
    width = (upper - lower).clamp(min=torch.finfo(lower.dtype).tiny)
    # Through the extreme values at both ends of d.
    across_below = (upper / width) * flat - (lower / width) * steep
    across_above = (upper / width) * steep - (lower / width) * flat
    rises, falls = lower >= 0, upper <= 0
    below = torch.where(rises, flat, torch.where(falls, steep, across_below))
    above = torch.where(rises, steep, torch.where(falls, flat, across_above))
    return below, above


def _by_ends(function: Elementwise, lower: Tensor, upper: Tensor) -> Ends:
    """Slopes of the planes that lines around ``f(x + d)`` and around ``f(x)`` make."""
    before = lower[..., 0], upper[..., 0]
    low, high = _lines(function, *before)
    low_after, high_after = _lines(function, *_after(lower, upper))
    below = torch.stack([low_after - high, low_after], dim=-1)
    return below, torch.stack([high_after - low, high_after], dim=-1)


def _lines(function: Elementwise, lower: Tensor, upper: Tensor) -> Ends:
    width = upper - lower
    rise = apply(function, upper) - apply(function, lower)
    chord = torch.where(width > 0, rise / width.clamp(min=torch.finfo(width.dtype).tiny), 0.0)
    return adaptive_slopes(function, lower, upper, chord)


def _corners(operator: Increment, slope: Tensor, lower: Tensor, upper: Tensor) -> list[Tensor]:
    """``(s - slope) d`` for the extreme s and d: extreme at one of these."""
    slopes = secant_slopes(operator.function, *_reach(lower, upper))
    return [(s - slope[..., 1]) * end[..., 1] for s in slopes for end in (lower, upper)]


def _after(lower: Tensor, upper: Tensor) -> Ends:
    """The ends of ``x + d``."""
    return lower.sum(dim=-1), upper.sum(dim=-1)


def _reach(lower: Tensor, upper: Tensor) -> Ends:
    """The ends of all that x and x + d can be."""
    after = _after(lower, upper)
    return torch.minimum(lower[..., 0], after[0]), torch.maximum(upper[..., 0], after[1])
