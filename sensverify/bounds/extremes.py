"""The smallest and the largest gap between a nonlinear function and a line.

Given any slope, the tightest intercepts are the extreme values of ``f(x) - slope * x`` over an
interval, taken at its ends, at kinks, at jumps, or where the derivative equals the slope.
"""

from __future__ import annotations

from functools import reduce, singledispatch
from itertools import pairwise
from math import inf

import torch
from torch import Tensor

from sensverify.bounds.forward import apply
from sensverify.errors import MissingRule
from sensverify.network.operators import (
    Operator,
    Periodic,
    PiecewiseLinear,
    Sigmoid,
    Smooth,
    Steps,
    Tanh,
)

_BISECTIONS = 30
"""Steps towards a tangent point: what is then left of a bracket counts with its square."""

_BESIDE_JUMPS = 3.0
"""Multiple of that share within which lines hold also at a jump that does not count as inside."""

_NEAR = {torch.float32: 2.0**-13, torch.float64: 2.0**-26}
"""Share of its magnitude within which a jump counts as inside of an interval: far more than what
rounding moves its ends by after several layers of steps, and far less than a step."""


def smallest_gap(operator: Operator, slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Smallest value of ``f(x) - slope * x`` for x in [lower, upper]."""
    return reduce(torch.minimum, _gaps(operator, slope, lower, upper, convex=True))


def largest_gap(operator: Operator, slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Largest value of ``f(x) - slope * x`` for x in [lower, upper]."""
    return reduce(torch.maximum, _gaps(operator, slope, lower, upper, convex=False))


def _gaps(
    operator: Operator, slope: Tensor, lower: Tensor, upper: Tensor, *, convex: bool
) -> list[Tensor]:
    """Gaps among which are the extreme ones, or bounds on them: of convex or of concave pieces."""
    if isinstance(operator, Steps):
        return step_gaps(operator, slope, lower, upper, lowest=convex)
    points = critical(operator, slope.detach())
    if isinstance(operator, Periodic) and points is not None:
        return _repeated(operator, slope, points, lower, upper, convex=convex)
    if points is not None:
        # At a tangent point the gap does not change with x, so no gradient passes through it.
        points = [torch.maximum(torch.minimum(point, upper), lower) for point in points]
        return [_gap(operator, slope, x) for x in (lower, upper, *points)]
    assert isinstance(operator, Smooth)
    sign = 1 if convex else -1
    gaps = [_gap(operator, slope, x) for x in (lower, upper)]
    for start, end, bends_up in curves(operator):
        if bends_up == convex:
            first = torch.minimum(lower.clamp(min=start), upper)
            last = torch.maximum(upper.clamp(max=end), lower)
            gaps.append(sign * _least(operator, slope, first, last, sign))
    return gaps


def curves(operator: Smooth) -> list[tuple[float, float, bool]]:
    """Start, end and whether it is convex, of every piece between inflections."""
    ends = (-inf, *operator.inflections, inf)
    return [(a, b, operator.convex == (i % 2 == 0)) for i, (a, b) in enumerate(pairwise(ends))]


def _gap(operator: Operator, slope: Tensor, x: Tensor) -> Tensor:
    return apply(operator, x) - slope * x


def _least(operator: Smooth, slope: Tensor, start: Tensor, end: Tensor, sign: int) -> Tensor:
    """A lower bound on ``sign * (f(x) - slope * x)``, which is convex from start to end.

    Bisection on where it is the smallest. What the bracket may hide is bounded by the tangent at
    its start: as little as the square of the bracket's width.
    """

    def rises(x: Tensor, towards: Tensor | None = None) -> Tensor:
        # At a kink the derivative is that of one side: a hair inside it is the right one.
        x = torch.nextafter(x, towards) if towards is not None and operator.kinks else x
        return sign * (operator.derivative(x, torch) - slope)

    with torch.no_grad():
        near, far, _ = torch.broadcast_tensors(start, end, slope)
        for _ in range(_BISECTIONS):
            middle = near / 2 + far / 2
            falls = rises(middle) < 0
            near, far = torch.where(falls, middle, near), torch.where(falls, far, middle)
        at_end = rises(end, start) <= 0
        hidden = rises(near, far).clamp(max=0) * (far - near)
        hidden = torch.where(at_end | (far <= near), 0.0, hidden)
    # Ends as they are, through which gradients pass.
    point = torch.where(at_end, end, torch.where(near > start, near, start))
    return sign * _gap(operator, slope, point) + hidden


def _repeated(
    operator: Periodic,
    slope: Tensor,
    points: list[Tensor],
    lower: Tensor,
    upper: Tensor,
    *,
    convex: bool,
) -> list[Tensor]:
    """Gaps at the ends, and at the first and the last repetition of every tangent point.

    From one repetition to the next the gap changes by the same amount.
    """
    places = [lower, upper]
    for point in points:
        with torch.no_grad():
            first = point + torch.ceil((lower - point) / operator.period) * operator.period
            last = point + torch.floor((upper - point) / operator.period) * operator.period
        places += [torch.maximum(torch.minimum(p, upper), lower) for p in (first, last)]
    gaps = [_gap(operator, slope, x) for x in places]
    # Far out, numbers are too coarse to tell where a repetition is.
    far = torch.maximum(lower.abs(), upper.abs()) > torch.finfo(lower.dtype).eps ** -0.5
    end = operator.extremes[0 if convex else 1]
    return gaps + [torch.where(far, end - slope * x, gaps[0]) for x in (lower, upper)]


def step_gaps(
    operator: Steps, slope: Tensor, lower: Tensor, upper: Tensor, *, lowest: bool
) -> list[Tensor]:
    """Gaps among which is the smallest, or the largest, with the jumps hardly outside as well.

    Lines also hold at the next jump beyond an end, with the value on this side of it, where that is
    as near as `inside_of_jumps` leaves it.
    """
    low, high = widened(lower, upper)
    first, last = operator.jump_from(low, torch), operator.jump_to(high, torch)
    first = torch.where(first <= high, first, low)
    last = torch.where(last >= low, last, high)
    side = operator.below if lowest else operator.above
    gaps = [side(x, torch) - slope * x for x in (low, high, first, last)]
    near = _BESIDE_JUMPS * jump_margin(lower, upper)
    for end, jump, value in (
        (low, operator.jump_to(low, torch), operator.above),
        (high, operator.jump_from(high, torch), operator.below),
    ):
        beside = torch.isfinite(jump) & ((jump - end).abs() <= near)
        place = torch.where(beside, jump, end)
        gaps.append(torch.where(beside, value(place, torch) - slope * place, gaps[0]))
    return gaps


def inside_of_jumps(
    lower: Tensor, upper: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    """The part of intervals between two jumps, so that neither of these counts as inside.

    For splits at a jump: its value there is that of one side, and each part takes its own side's.

    Parameters
    ----------
    lower, upper : Tensor
    low, high : Tensor
        The jumps, farther apart than eight times `jump_margin`; infinite where there is none.
    """
    lower, upper = lower.clamp(low, high), upper.clamp(low, high)
    away = (_BESIDE_JUMPS - 1) * jump_margin(lower, upper)
    low = torch.where(torch.isfinite(low), low + away, low)
    high = torch.where(torch.isfinite(high), high - away, high)
    return lower.clamp(low, high), upper.clamp(low, high)


def widened(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Intervals a little wider than they are: by what rounding may have moved their ends."""
    margin = jump_margin(lower, upper)
    return lower - margin, upper + margin


def jump_margin(lower: Tensor, upper: Tensor) -> Tensor:
    """The distance from an interval within which a jump counts as inside."""
    size = torch.maximum(lower.abs(), upper.abs()).clamp(min=1.0)
    return _NEAR[lower.dtype] * size


@singledispatch
def critical(operator: Operator, slope: Tensor) -> list[Tensor] | None:
    """Points where ``f(x) - slope * x`` can be extreme in an interval: kinks and tangent points.

    None: they are found by bisection on the derivative.
    """
    raise MissingRule(
        f"no critical points known for operator {type(operator).__name__}",
        "register them with sensverify.bounds.extremes.critical.register",
    )


@critical.register
def _(operator: Smooth, slope: Tensor) -> list[Tensor] | None:
    return operator.tangents(slope, torch)


@critical.register
def _(operator: PiecewiseLinear, slope: Tensor) -> list[Tensor]:
    # An infinite end is no kink.
    largest = torch.finfo(slope.dtype).max
    return [torch.full_like(slope, kink) for kink in operator.kinks if abs(kink) <= largest]


@critical.register
def _(operator: Sigmoid, slope: Tensor) -> list[Tensor]:
    # s'(x) = s (1 - s) = slope  <=>  s = (1 +- sqrt(1 - 4 slope)) / 2.
    root = (1 - 4 * slope).clamp(min=0).sqrt()
    point = _logit((1 + root) / 2)
    return [point, -point]


@critical.register
def _(operator: Tanh, slope: Tensor) -> list[Tensor]:
    # t'(x) = 1 - t^2 = slope  <=>  t = +- sqrt(1 - slope).
    point = torch.atanh((1 - slope).clamp(min=0).sqrt().clamp(max=1 - _unit(slope)))
    return [point, -point]


def _logit(value: Tensor) -> Tensor:
    return torch.logit(value, eps=_unit(value))


def _unit(value: Tensor) -> float:
    return torch.finfo(value.dtype).eps / 2
