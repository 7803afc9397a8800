"""CROWN's choice of slopes: lines that cut off little, from what an operator declares."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, singledispatch
from itertools import pairwise
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from sensverify.bounds.extremes import curves, widened
from sensverify.bounds.forward import apply
from sensverify.errors import MissingRule
from sensverify.network.operators import (
    Exp,
    Operator,
    Periodic,
    PiecewiseLinear,
    Smooth,
    Steps,
)

_POSITIVE = 0.99
"""How far from the lower end the tangent of an exponential is above zero at that end: below 1."""

_POINTS = 129
"""Points of a curve between which a line across several inflections is chosen."""

_CHUNK = 20_000
"""Entries for which they are held at once."""

_STEPS = 40
"""Most pairs of points between which that line is looked for: few are needed."""

_PERIODS = 16.0
"""Periods of an interval from which on lines around a wave are flat."""

_STEEPEST = 8.0
"""Largest slope of a line around one jump."""

Curve = Callable[[Tensor], Tensor]
"""A function of one number, entry by entry."""


@singledispatch
def adaptive_slopes(
    operator: Operator, lower: Tensor, upper: Tensor, chord: Tensor
) -> tuple[Tensor, Tensor]:
    """CROWN's slopes of the lower and of the upper line, ``[batch, 1, *shape]``."""
    raise MissingRule(
        f"no adaptive slopes known for operator {type(operator).__name__}",
        "register them with sensverify.bounds.slopes.adaptive_slopes.register",
    )


@adaptive_slopes.register
def _(
    operator: PiecewiseLinear, lower: Tensor, upper: Tensor, chord: Tensor
) -> tuple[Tensor, Tensor]:
    """The free line lies along the piece in the middle of the interval, which cuts off least."""
    kinks, slopes = operator.kinks, operator.slopes
    lines = [chord, chord]
    bent = [torch.zeros_like(chord, dtype=torch.bool) for _ in lines]
    for i, kink in enumerate(kinks):
        left, right = (_spread(slope, chord) for slope in slopes[i : i + 2])
        if 0 < i == len(kinks) - 1:
            beyond = ~(kink - lower > upper - kink)
        else:
            beyond = upper - kink > kink - lower
        inside = (lower < kink) & (kink < upper)
        for side, own in enumerate((inside & (left <= right), inside & ~(left <= right))):
            piece = torch.where(beyond, right, left)
            lines[side] = torch.where(own & (beyond | ~bent[side]), piece, lines[side])
            bent[side] = bent[side] | own
    if len(kinks) == 2 and isfinite(kinks[1] - kinks[0]):
        _touch(operator, lower, upper, lines, bent[0] & bent[1])
    return lines[0], lines[1]


def _touch(
    operator: PiecewiseLinear, lower: Tensor, upper: Tensor, lines: list[Tensor], both: Tensor
) -> None:
    """Lines that touch one end and the far kink, where one kink bends up and the other down."""
    (first, last), (before, between, after) = operator.kinks, operator.slopes
    rise = between * (last - first)
    bends_up = _spread(before, lower) <= _spread(between, lower)
    ones = torch.ones_like(both, dtype=lower.dtype)
    # Elsewhere the divisor is one: a division by zero there would make the gradient NaN.
    to_upper = torch.where(both, upper - first, ones).reciprocal()
    to_upper = to_upper * _sum(rise, after, upper - last)
    to_lower = torch.where(both, last - lower, ones).reciprocal()
    to_lower = to_lower * _sum(rise, before, first - lower)
    lines[0] = torch.where(both, torch.where(bends_up, to_upper, to_lower), lines[0])
    lines[1] = torch.where(both, torch.where(bends_up, to_lower, to_upper), lines[1])


def _sum(rise: Any, slope: Any, length: Tensor) -> Any:
    """``rise + slope * length``, without a length that may be infinite where it is flat."""
    return rise if isinstance(slope, float | int) and slope == 0 else rise + slope * length


def _spread(slope: Any, like: Tensor) -> Tensor:
    """One slope for every neuron."""
    return slope.expand_as(like) if isinstance(slope, Tensor) else torch.full_like(like, slope)


@adaptive_slopes.register
def _(operator: Smooth, lower: Tensor, upper: Tensor, chord: Tensor) -> tuple[Tensor, Tensor]:
    """Tangents in the middle, or lines from one end that touch the curve on the other side.

    Where the function is concave, the upper line is a tangent, the lower the chord; where it is
    convex, it is the other way round. Across inflections they are the lines that are best in the
    middle of the interval: the tangent there, or the line from one end that touches the curve
    before the middle is reached; across several, `supporting_slopes`.
    """
    low, high = chord, chord
    with torch.no_grad():
        middle = operator.derivative(lower / 2 + upper / 2, torch)
        # On the point at the end of its domain, a root has no slope.
        middle = torch.where(torch.isfinite(middle), middle, chord)
        parts = curves(operator)
        for start, end, convex in parts:
            within = (lower >= start) & (upper <= end)
            low = torch.where(within, middle, low) if convex else low
            high = high if convex else torch.where(within, middle, high)
        for (start, place, convex), (_, end, _) in pairwise(parts):
            across = (lower < place) & (upper > place) & (lower >= start) & (upper <= end)
            first = _lowest_above(operator, (lower, upper), place, 1 if convex else -1, 1)
            second = _lowest_above(operator, (-upper, -lower), -place, 1 if convex else -1, -1)
            steep = (second, first) if convex else (first, second)
            low, high = (
                torch.where(across, s, line) for s, line in zip(steep, (low, high), strict=True)
            )
        # A kink has no tangent that a line across an inflection could end at.
        most = 0 if operator.kinks else 1
        if len(parts) > 1 + most:
            inside = [(lower < place) & (place < upper) for place in operator.inflections]
            several = torch.stack(inside).sum(dim=0) > most
            if bool(several.any()):
                low, high = low.clone(), high.clone()
                ends = lower[several], upper[several]
                low[several], high[several] = _best_in_the_middle(operator, *ends)
    return low, high


@adaptive_slopes.register
def _(operator: Periodic, lower: Tensor, upper: Tensor, chord: Tensor) -> tuple[Tensor, Tensor]:
    """The lines that are best in the middle; flat ones on intervals of many periods."""
    with torch.no_grad():
        narrow = (lower < upper) & (upper - lower < _PERIODS * operator.period)
        rises = operator.derivative(upper, torch) > operator.derivative(lower, torch)
        middle = operator.derivative(lower / 2 + upper / 2, torch)
        low, high = torch.where(rises, middle, chord), torch.where(rises, chord, middle)
        low, high = (torch.where(narrow, line, 0.0) for line in (low, high))
        across = narrow & _bends_both_ways(operator, lower, upper)
        if bool(across.any()):
            ends = lower[across], upper[across]
            low[across], high[across] = _best_in_the_middle(operator, *ends)
    return low, high


def _bends_both_ways(operator: Periodic, lower: Tensor, upper: Tensor) -> Tensor:
    """Whether an inflection lies inside: a place where the function is steepest."""
    inside = torch.zeros_like(lower, dtype=torch.bool)
    for slope in (operator.steepest, -operator.steepest):
        # Without a formula it may lie anywhere.
        for point in operator.tangents(lower.new_tensor(slope), torch) or [lower]:
            first = point + torch.ceil((lower - point) / operator.period) * operator.period
            inside |= first <= upper
    return inside


def steepest_of_steps(operator: Steps) -> float:
    """The largest slope of a line around steps: one through a narrow jump would multiply rounding.

    Of many jumps it is what they rise by on the whole. Steeper lines help where an interval holds
    one of them, and those that are best in its middle prove less behind further layers.
    """
    return operator.height / operator.spacing if isfinite(operator.spacing) else _STEEPEST


@adaptive_slopes.register
def _(operator: Steps, lower: Tensor, upper: Tensor, chord: Tensor) -> tuple[Tensor, Tensor]:
    """The lines that are best in the middle, through the corners at the first and the last jump."""
    with torch.no_grad():
        low, high = widened(lower, upper)
        first, last = operator.jump_from(low, torch), operator.jump_to(high, torch)
        jumps = first <= high
        points = torch.stack([low, torch.minimum(first, high), torch.maximum(last, low), high])
        corners = [operator.below(points, torch), -operator.above(points, torch)]
        found = [
            supporting_slopes(points.flatten(1), values.flatten(1)).reshape(jumps.shape)
            for values in corners
        ]
        return tuple(  # type: ignore[return-value]
            torch.where(jumps, (sign * slope).clamp(0.0, steepest_of_steps(operator)), 0.0)
            for sign, slope in zip((1, -1), found, strict=True)
        )


@adaptive_slopes.register
def _(operator: Exp, lower: Tensor, upper: Tensor, chord: Tensor) -> tuple[Tensor, Tensor]:
    """Below, the tangent in the middle, or as far from the lower end as it stays above zero there.

    So that what divides by a sum of exponentials has bounds above zero. Source: Shi et al. 2020,
    *Robustness verification for transformers*, Section 3.3.
    """
    with torch.no_grad():
        point = torch.minimum(lower / 2 + upper / 2, lower + _POSITIVE)
        return torch.exp(point), chord


def _best_in_the_middle(operator: Smooth, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes of both lines for some entries, flat."""
    share = torch.linspace(0, 1, _POINTS, dtype=lower.dtype, device=lower.device)[:, None]
    low, high = [], []
    for first in range(0, max(1, len(lower)), _CHUNK):
        part = slice(first, first + _CHUNK)
        points = torch.lerp(lower[part], upper[part], share)
        values = apply(operator, points)
        low.append(supporting_slopes(points, values))
        high.append(-supporting_slopes(points, -values))
    return torch.cat(low), torch.cat(high)


def supporting_slopes(points: Tensor, values: Tensor) -> Tensor:
    """Slope of the highest line in the middle of those below some points of a curve.

    Of all lines below a function on an interval, the one that is highest in the middle cuts off the
    least area. It passes through two of the points, one on each side of the middle: beginning with
    the ends, that one of them is replaced on whose side a point lies lowest below their line.

    Parameters
    ----------
    points, values : Tensor, shape ``[points, entries]``
        Points ascending; their middle is that of the first and the last.

    Returns
    -------
    Tensor, shape ``[entries]``
    """
    middle = points[0] / 2 + points[-1] / 2
    tiny = torch.finfo(points.dtype).tiny
    first = torch.zeros_like(middle, dtype=torch.long)
    last = torch.full_like(first, len(points) - 1)
    slope = torch.zeros_like(middle)
    for _ in range(_STEPS):
        start, end = points.gather(0, first[None])[0], points.gather(0, last[None])[0]
        rise = values.gather(0, last[None])[0] - values.gather(0, first[None])[0]
        slope = (rise / (end - start).clamp(min=tiny)).nan_to_num(0.0, 0.0, 0.0)
        lowest = (values - slope * (points - middle)).argmin(dim=0)
        left = points.gather(0, lowest[None])[0] < middle
        nearer = torch.where(left, lowest, first), torch.where(left, last, lowest)
        if torch.equal(nearer[0], first) and torch.equal(nearer[1], last):
            break
        first, last = nearer
    # What is convex between two values changes in one half by no more than they differ.
    most = (values.amax(dim=0) - values.amin(dim=0)) / (middle - points[0]).clamp(min=tiny)
    most = most.nan_to_num(0.0, 0.0, 0.0)
    return torch.minimum(torch.maximum(slope, -most), most)


def _lowest_above(
    operator: Smooth, ends: tuple[Tensor, Tensor], place: float, up: int, along: int
) -> Tensor:
    """Slope of the line above a curve on both sides of an inflection that is lowest in the middle.

    The curve is f, turned over and mirrored so that it is convex before the inflection and concave
    behind it. The lowest lines above it are the one from its first end that touches it beyond the
    inflection, and the tangents from there on. Bisection on the touching point; its error costs
    tightness only, never soundness.
    """
    start, end = ends
    value, derivative = _turned(operator, up, along)
    begin = value(start)
    near, far = torch.full_like(end, place), end.clamp(min=place)
    for _ in range(20):
        point = (near + far) / 2
        beyond = derivative(point) * (point - start) < value(point) - begin
        far = torch.where(beyond, point, far)
        near = torch.where(beyond, near, point)
    line = (value(far) - begin) / (far - start).clamp(min=torch.finfo(start.dtype).eps / 2)
    middle = start / 2 + end / 2
    return up * torch.where(middle > far, derivative(middle), line)


def _turned(operator: Smooth, up: int, along: int) -> tuple[Curve, Curve]:
    """``up * along * f(along * x)`` and its derivative."""
    if up == 1 and (along == 1 or operator.odd):
        return partial(apply, operator), lambda x: operator.derivative(x, torch)
    return (
        lambda x: up * along * apply(operator, along * x),
        lambda x: up * operator.derivative(along * x, torch),
    )
