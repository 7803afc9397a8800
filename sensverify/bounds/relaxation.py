"""Two lines around every nonlinear function: the relaxation behind all linear bounds.

For a function f on an interval, a relaxation is a pair of lines with
``lower_slope * x + lower_intercept <= f(x) <= upper_slope * x + upper_intercept`` on all of it.
LP-dual, Fast-Lin, CROWN and alpha-CROWN differ only in the slopes they choose; `Slope` names the
choice. Given any slope, the tightest intercept is the extreme value of ``f(x) - slope * x`` over
the interval, taken at the ends, at kinks, or where the derivative equals the slope: so every
choice of slopes is sound, also in between training steps or optimiser iterations.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import singledispatch
from math import isfinite

import torch
from torch import Tensor

from sensverify.bounds.forward import apply
from sensverify.errors import MissingRule
from sensverify.network.operators import (
    Abs,
    Clip,
    Elementwise,
    LeakyRelu,
    Max,
    Operator,
    Relu,
    Sigmoid,
    Tanh,
)


class Slope(Enum):
    """Which slopes a relaxation gets where the function is not linear on the interval."""

    PARALLEL = "parallel"
    """Both lines have the slope of the chord: u / (u - l) for ReLU. Wong & Kolter, Fast-Lin."""
    ADAPTIVE = "adaptive"
    """The lower line of a ReLU has slope 1 where u > -l, else 0: the smaller area. CROWN."""


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Lines below and above a nonlinear function, for every neuron of a layer.

    Parameters
    ----------
    lower_slope, upper_slope : Tensor, shape ``[batch, rows or 1, *shape]``
        One object for both when the lines are parallel everywhere: the pass then carries one set
        of coefficients. For `Max` a last axis holds the slope for each number in the window.
    lower_intercept, upper_intercept : Tensor or None, shape ``[batch, rows or 1, *shape]``
        None is zero.
    """

    lower_slope: Tensor
    upper_slope: Tensor
    lower_intercept: Tensor | None
    upper_intercept: Tensor | None

    @property
    def parallel(self) -> bool:
        """Whether both lines share their slopes."""
        return self.lower_slope is self.upper_slope

    def of(self, samples: Tensor | slice) -> Relaxation:
        """The relaxation of some samples of the batch, in the order given."""
        lower = self.lower_slope[samples]
        upper = lower if self.parallel else self.upper_slope[samples]
        intercepts = (self.lower_intercept, self.upper_intercept)
        return Relaxation(lower, upper, *(None if i is None else i[samples] for i in intercepts))


@singledispatch
def relax(operator: Operator, lower: Tensor, upper: Tensor, slope: Slope) -> Relaxation:
    """Relax an operator on ``lower <= x <= upper``.

    Parameters
    ----------
    operator : Operator
    lower, upper : Tensor, shape ``[batch, *input_shape]``
        Sound bounds on the operator's input.
    slope : Slope

    Returns
    -------
    Relaxation
        Sound in real arithmetic; differentiable in the bounds.
    """
    raise MissingRule(
        f"no CROWN rule for operator {type(operator).__name__}; register one with "
        "sensverify.bounds.relaxation.relax.register or use method ibp"
    )


@relax.register
def _(operator: Relu, lower: Tensor, upper: Tensor, slope: Slope) -> Relaxation:
    lower, upper = lower.unsqueeze(1), upper.unsqueeze(1)
    negative, positive = lower.clamp(max=0), upper.clamp(min=0)
    # Halves, because the difference of two finite ends can overflow. On an interval too narrow to
    # divide by, and on the point [0, 0], slope 1 is sound: x <= relu(x) <= x - lower.
    tiny = torch.finfo(lower.dtype).tiny
    half_width = positive / 2 - negative / 2
    chord = positive / 2 / half_width.clamp(min=tiny)
    chord = torch.where((lower >= 0) | (half_width < tiny), torch.ones_like(chord), chord)
    intercept = -chord * negative
    if slope is Slope.PARALLEL or bool(((lower >= 0) | (upper <= 0)).all()):
        return Relaxation(chord, chord, None, intercept)
    unstable = (lower < 0) & (upper > 0)
    steep = (upper > -lower).to(lower.dtype)
    return Relaxation(torch.where(unstable, steep, chord), chord, None, intercept)


@relax.register
def _(operator: Elementwise, lower: Tensor, upper: Tensor, slope: Slope) -> Relaxation:
    lower, upper = lower.unsqueeze(1), upper.unsqueeze(1)
    chord = _chord_slope(operator, lower, upper)
    if slope is Slope.PARALLEL:
        low, high = chord, chord
    else:
        low, high = adaptive_slopes(operator, lower, upper, chord)
    return line_intercepts(operator, low, high, lower, upper)


def line_intercepts(
    operator: Operator, low: Tensor, high: Tensor, lower: Tensor, upper: Tensor
) -> Relaxation:
    """The tightest relaxation with the given slopes: sound whatever these are.

    Parameters
    ----------
    low, high : Tensor, shape ``[batch, rows or 1, *shape]``
        Slopes of the lower and of the upper line; of `Max` with the window as last axis.
    lower, upper : Tensor, shape ``[batch, 1, *shape]``
        Bounds on the operator's input.
    """
    if isinstance(operator, Max):
        least = _least_above(low, lower, upper)
        return Relaxation(low, high, least, _most_above(high, lower, upper))
    smallest, _ = _extremes(operator, low, lower, upper)
    _, largest = _extremes(operator, high, lower, upper)
    return Relaxation(low, high, smallest, largest)


def _least_above(slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Smallest value of ``max(x) - slope · x`` for the numbers x of a window.

    With the maximum at most t, every number is best as large as t lets it, or as small as can be;
    what is left is convex in t, with kinks where t reaches an upper bound.
    """
    floor = lower.amax(dim=-1, keepdim=True)
    smallest = None
    for top in (floor, *torch.maximum(upper, floor).split(1, dim=-1)):
        best = torch.where(slope > 0, torch.minimum(upper, top), lower)
        gap = top.squeeze(-1) - (slope * best).sum(dim=-1)
        smallest = gap if smallest is None else torch.minimum(smallest, gap)
    assert smallest is not None
    return smallest


def _most_above(slope: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Largest value of ``max(x) - slope · x``: each number in turn is taken for the maximum."""
    others = torch.maximum(-slope * lower, -slope * upper)
    itself = torch.maximum((1 - slope) * lower, (1 - slope) * upper)
    gaps = [itself[..., k] + _but(others, k) for k in range(slope.shape[-1])]
    return torch.stack(gaps).amax(dim=0)


def _but(values: Tensor, k: int) -> Tensor:
    """The sum over the last axis without one of its numbers."""
    return values[..., :k].sum(dim=-1) + values[..., k + 1 :].sum(dim=-1)


def _extremes(
    operator: Operator, slope: Tensor, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of ``f(x) - slope * x`` for x in [lower, upper]."""
    points = [lower, upper]
    # At a tangent point the gap does not change with x, so no gradient passes through it.
    for point in critical(operator, slope.detach()):
        points.append(torch.maximum(torch.minimum(point, upper), lower))
    gaps = [apply(operator, x) - slope * x for x in points]
    smallest = largest = gaps[0]
    for gap in gaps[1:]:
        smallest, largest = torch.minimum(smallest, gap), torch.maximum(largest, gap)
    return smallest, largest


def _chord_slope(operator: Operator, lower: Tensor, upper: Tensor) -> Tensor:
    width = upper - lower
    # On a point interval any slope is exact; the width is floored so that none is NaN.
    floor = torch.finfo(lower.dtype).tiny
    rise = apply(operator, upper) - apply(operator, lower)
    return torch.where(width > 0, rise / width.clamp(min=floor), torch.zeros_like(width))


@singledispatch
def critical(operator: Operator, slope: Tensor) -> list[Tensor]:
    """Where ``f(x) - slope * x`` can be extreme inside an interval: kinks and tangent points."""
    raise MissingRule(f"no critical points known for operator {type(operator).__name__}")


@critical.register(Relu)
@critical.register(LeakyRelu)
@critical.register(Abs)
def _(operator: Operator, slope: Tensor) -> list[Tensor]:
    return [torch.zeros_like(slope)]


@critical.register
def _(operator: Clip, slope: Tensor) -> list[Tensor]:
    # An infinite end is no kink.
    largest = torch.finfo(slope.dtype).max
    ends = (operator.low, operator.high)
    return [torch.full_like(slope, end) for end in ends if abs(end) <= largest]


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


@singledispatch
def adaptive_slopes(
    operator: Operator, lower: Tensor, upper: Tensor, chord: Tensor
) -> tuple[Tensor, Tensor]:
    """CROWN's slopes of the lower and of the upper line, ``[batch, 1, *shape]``."""
    raise MissingRule(f"no adaptive slopes known for operator {type(operator).__name__}")


@adaptive_slopes.register(LeakyRelu)
@adaptive_slopes.register(Abs)
def _(
    operator: LeakyRelu | Abs, lower: Tensor, upper: Tensor, chord: Tensor
) -> tuple[Tensor, Tensor]:
    below = operator.slope if isinstance(operator, LeakyRelu) else -torch.ones_like(chord)
    below = below.expand_as(chord)
    steep = torch.where(upper > -lower, torch.ones_like(chord), below)
    unstable = (lower < 0) & (upper > 0)
    convex = below <= 1
    low = torch.where(unstable & convex, steep, chord)
    high = torch.where(unstable & ~convex, steep, chord)
    return low, high


@adaptive_slopes.register
def _(operator: Clip, lower: Tensor, upper: Tensor, chord: Tensor) -> tuple[Tensor, Tensor]:
    at_low = (lower < operator.low) & (operator.low < upper)
    at_high = (lower < operator.high) & (operator.high < upper)
    ones, zeros = torch.ones_like(chord), torch.zeros_like(chord)
    # With one kink inside, the function is a ReLU or a mirrored one: the free line is flat or
    # steep, whichever cuts off less.
    low = torch.where(
        at_low, torch.where(upper - operator.low > operator.low - lower, ones, zeros), chord
    )
    high = torch.where(
        at_high, torch.where(operator.high - lower > upper - operator.high, ones, zeros), chord
    )
    rise = operator.high - operator.low
    if isfinite(rise):
        # With both inside, each line touches one end of the interval and the far kink. Elsewhere
        # the divisor is one: a division by zero there would make the gradient NaN.
        both = at_low & at_high
        low = torch.where(both, rise / torch.where(both, upper - operator.low, ones), low)
        high = torch.where(both, rise / torch.where(both, operator.high - lower, ones), high)
    return low, high


@adaptive_slopes.register(Sigmoid)
@adaptive_slopes.register(Tanh)
def _(
    operator: Sigmoid | Tanh, lower: Tensor, upper: Tensor, chord: Tensor
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        middle = _derivative(operator, lower / 2 + upper / 2)
        # Above zero the function is concave: the upper line is a tangent, the lower the chord;
        # below zero it is the other way round. Across zero each line runs from one end of the
        # interval to the point where it touches the curve on the other side.
        high = torch.where(lower >= 0, middle, chord)
        low = torch.where(upper <= 0, middle, chord)
        across = (lower < 0) & (upper > 0)
        high = torch.where(across, _tangent_slope(operator, lower, upper), high)
        low = torch.where(across, _tangent_slope(operator, -upper, -lower), low)
    return low, high


def _tangent_slope(operator: Operator, start: Tensor, end: Tensor) -> Tensor:
    """Slope of the line from the curve at ``start < 0`` that touches it at or before ``end > 0``.

    Bisection on the touching point; its error costs tightness only, never soundness. By the
    symmetry of sigmoid and tanh about zero the mirrored interval gives the mirrored line.
    """
    begin = apply(operator, start)
    near, far = torch.zeros_like(end), end.clamp(min=0)
    for _ in range(20):
        point = (near + far) / 2
        beyond = _derivative(operator, point) * (point - start) < apply(operator, point) - begin
        far = torch.where(beyond, point, far)
        near = torch.where(beyond, near, point)
    return (apply(operator, far) - begin) / (far - start).clamp(min=_unit(start))


@singledispatch
def _derivative(operator: Operator, x: Tensor) -> Tensor:
    raise MissingRule(f"no derivative known for operator {type(operator).__name__}")


@_derivative.register
def _(operator: Sigmoid, x: Tensor) -> Tensor:
    value = torch.sigmoid(x)
    return value * (1 - value)


@_derivative.register
def _(operator: Tanh, x: Tensor) -> Tensor:
    return 1 - torch.tanh(x) ** 2


@relax.register
def _(operator: Max, lower: Tensor, upper: Tensor, slope: Slope) -> Relaxation:
    # Below: the number with the largest lower bound. Above: that number too where its lower
    # bound exceeds every other upper bound, else the largest upper bound, a constant.
    best_lower, winner = lower.max(dim=-1, keepdim=True)
    low = torch.zeros_like(lower).scatter(-1, winner, 1.0)
    others = upper.masked_fill(low > 0, -torch.inf).amax(dim=-1, keepdim=True)
    decided = (best_lower >= others).to(lower.dtype)
    intercept = (upper.amax(dim=-1, keepdim=True) * (1 - decided)).squeeze(-1)
    low = low.unsqueeze(1)
    high = low if bool((decided > 0).all()) else low * decided.unsqueeze(1)
    return Relaxation(low, high, None, intercept.unsqueeze(1))
