"""CROWN's choice of slopes: lines that cut off little, from what an operator declares."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, singledispatch
from itertools import pairwise
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from sensverify.bounds.extremes import curves
from sensverify.bounds.forward import apply
from sensverify.errors import MissingRule
from sensverify.network.operators import Operator, PiecewiseLinear, Smooth

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
    convex, it is the other way round. Across one inflection each line runs from one end of the
    interval to the point where it touches the curve; across several both are chords.
    """
    low, high = chord, chord
    with torch.no_grad():
        middle = operator.derivative(lower / 2 + upper / 2, torch)
        parts = curves(operator)
        for start, end, convex in parts:
            within = (lower >= start) & (upper <= end)
            low = torch.where(within, middle, low) if convex else low
            high = high if convex else torch.where(within, middle, high)
        for (start, place, convex), (_, end, _) in pairwise(parts):
            across = (lower < place) & (upper > place) & (lower >= start) & (upper <= end)
            first = _touching(operator, (lower, upper), place, 1 if convex else -1, 1)
            second = _touching(operator, (-upper, -lower), -place, 1 if convex else -1, -1)
            steep = (second, first) if convex else (first, second)
            low, high = (
                torch.where(across, s, line) for s, line in zip(steep, (low, high), strict=True)
            )
    return low, high


def _touching(
    operator: Smooth, ends: tuple[Tensor, Tensor], place: float, up: int, along: int
) -> Tensor:
    """Slope of the line from the first end of a curve that touches it beyond an inflection.

    The curve is f, turned over and mirrored so that it is convex before the inflection and concave
    behind it. Bisection on the touching point; its error costs tightness only, never soundness.
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
    return up * ((value(far) - begin) / (far - start).clamp(min=torch.finfo(start.dtype).eps / 2))


def _turned(operator: Smooth, up: int, along: int) -> tuple[Curve, Curve]:
    """``up * along * f(along * x)`` and its derivative."""
    if up == 1 and (along == 1 or operator.odd):
        return partial(apply, operator), lambda x: operator.derivative(x, torch)
    return (
        lambda x: up * along * apply(operator, along * x),
        lambda x: up * operator.derivative(along * x, torch),
    )
