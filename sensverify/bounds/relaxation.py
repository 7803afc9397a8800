"""Two lines around every nonlinear function: the relaxation behind all linear bounds.

For a function f on an interval, a relaxation is a pair of lines with
``lower_slope * x + lower_intercept <= f(x) <= upper_slope * x + upper_intercept`` on all of it.
LP-dual, Fast-Lin, CROWN and alpha-CROWN differ only in the slopes they choose; `Slope` names the
choice. Given any slope, the tightest intercept is the extreme value of ``f(x) - slope * x`` over
the interval, taken at the ends, at kinks, or where the derivative equals the slope: so every
choice of slopes is sound, also in between training steps or optimiser iterations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import singledispatch

import torch
from torch import Tensor

from sensverify.bounds import shares
from sensverify.bounds.domains import require_defined
from sensverify.bounds.extremes import largest_gap, smallest_gap
from sensverify.bounds.forward import apply
from sensverify.bounds.increments import increment_slopes, least_increment, most_increment
from sensverify.bounds.planes import (
    balanced_shares,
    least_above,
    most_above,
    planes_between,
)
from sensverify.bounds.slopes import adaptive_slopes, steepest_of_steps
from sensverify.errors import MissingRule
from sensverify.network.operators import (
    Elementwise,
    Increment,
    Max,
    Operator,
    Product,
    Relu,
    Share,
    Steps,
)


class Slope(Enum):
    """Choice of a relaxation's slopes where the function is not linear on the interval."""

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
        of coefficients. Of a `Windowed` operator a last axis holds the slopes for a window.
    lower_intercept, upper_intercept : Tensor or None, shape ``[batch, rows or 1, *shape]``
        None is zero.
    mirror : pair of intercepts, optional
        Of the line above that has the lower line's slope, and of the line below that has the upper
        line's: with them one set of coefficients bounds both ends (`sensverify.bounds.sides`).
    """

    lower_slope: Tensor
    upper_slope: Tensor
    lower_intercept: Tensor | None
    upper_intercept: Tensor | None
    mirror: tuple[Tensor | None, Tensor | None] | None = None

    @property
    def parallel(self) -> bool:
        """True where both lines share their slopes."""
        return self.lower_slope is self.upper_slope

    def of(self, samples: Tensor | slice) -> Relaxation:
        """The relaxation of some samples of the batch, in the order given."""
        return self.map(lambda values: values[samples])

    def map(self, change: Callable[[Tensor], Tensor]) -> Relaxation:
        """The relaxation with every array changed alike; parallel lines stay parallel."""

        def each(intercept: Tensor | None) -> Tensor | None:
            return None if intercept is None else change(intercept)

        lower = change(self.lower_slope)
        upper = lower if self.parallel else change(self.upper_slope)
        mirror = None if self.mirror is None else (each(self.mirror[0]), each(self.mirror[1]))
        intercepts = each(self.lower_intercept), each(self.upper_intercept)
        return Relaxation(lower, upper, *intercepts, mirror)


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
        f"no CROWN rule for operator {type(operator).__name__}",
        "register one with sensverify.bounds.relaxation.relax.register or use method ibp",
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
    require_defined(operator, lower, upper)
    lower, upper = lower.unsqueeze(1), upper.unsqueeze(1)
    chord = _chord_slope(operator, lower, upper)
    if isinstance(operator, Steps):
        chord = chord.clamp(max=steepest_of_steps(operator))
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
        Slopes of the lower and of the upper line; of `Windowed` operators with the window as last
        axis.
    lower, upper : Tensor, shape ``[batch, 1, *shape]``
        Bounds on the operator's input.
    """
    if isinstance(operator, Product):
        below, above = least_above(low, lower, upper), most_above(high, lower, upper)
        return Relaxation(low, high, below, above)
    if isinstance(operator, Share):
        below, above = (
            shares.least_above(low, lower, upper),
            shares.most_above(high, lower, upper),
        )
        return Relaxation(low, high, below, above)
    if isinstance(operator, Increment):
        below = least_increment(operator, low, lower, upper)
        return Relaxation(low, high, below, most_increment(operator, high, lower, upper))
    if isinstance(operator, Max):
        least = _least_above(low, lower, upper)
        return Relaxation(low, high, least, _most_above(high, lower, upper))
    smallest = smallest_gap(operator, low, lower, upper)
    return Relaxation(low, high, smallest, largest_gap(operator, high, lower, upper))


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


def _chord_slope(operator: Operator, lower: Tensor, upper: Tensor) -> Tensor:
    width = upper - lower
    # On a point interval any slope is exact; the width is floored so that none is NaN.
    floor = torch.finfo(lower.dtype).tiny
    rise = apply(operator, upper) - apply(operator, lower)
    return torch.where(width > 0, rise / width.clamp(min=floor), torch.zeros_like(width))


@relax.register
def _(operator: Max, lower: Tensor, upper: Tensor, slope: Slope) -> Relaxation:
    # Below: the number with the largest lower bound, and of those, as behind ReLUs all may be 0,
    # the one with the largest upper bound. Above: that number too where its lower bound exceeds
    # every other upper bound, else the largest upper bound, a constant.
    best_lower = lower.amax(dim=-1, keepdim=True)
    winner = upper.masked_fill(lower < best_lower, -torch.inf).argmax(dim=-1, keepdim=True)
    low = torch.zeros_like(lower).scatter(-1, winner, 1.0)
    others = upper.masked_fill(low > 0, -torch.inf).amax(dim=-1, keepdim=True)
    decided = (best_lower >= others).to(lower.dtype)
    intercept = (upper.amax(dim=-1, keepdim=True) * (1 - decided)).squeeze(-1)
    low = low.unsqueeze(1)
    high = low if bool((decided > 0).all()) else low * decided.unsqueeze(1)
    return Relaxation(low, high, None, intercept.unsqueeze(1))


@relax.register
def _(operator: Product, lower: Tensor, upper: Tensor, slope: Slope) -> Relaxation:
    lower, upper = lower.unsqueeze(1), upper.unsqueeze(1)
    if slope is Slope.PARALLEL:
        half = torch.full_like(lower[..., 0], 0.5)
        found = planes(lower, upper, half, half)
        return replace(found, upper_slope=found.lower_slope)
    return planes(lower, upper, *balanced_shares(lower, upper))


def planes(lower: Tensor, upper: Tensor, below: Tensor, above: Tensor) -> Relaxation:
    """The relaxation of a `Product` whose planes are means of McCormick's: `planes_between`.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[batch, 1, *shape, 2]``
    below, above : Tensor, shape ``[batch, rows or 1, *shape]``, in [0, 1]
    """
    (low, under), (high, over) = planes_between(lower, upper, below, above)
    return Relaxation(low, high, under, over)


@relax.register
def _(operator: Share, lower: Tensor, upper: Tensor, slope: Slope) -> Relaxation:
    lower, upper = lower.unsqueeze(1), upper.unsqueeze(1)
    found = share_planes(lower, upper, *shares.middle_shares(lower, upper))
    if slope is Slope.PARALLEL:
        mean = (found.lower_slope + found.upper_slope) / 2
        return line_intercepts(operator, mean, mean, lower, upper)
    return found


def share_planes(lower: Tensor, upper: Tensor, below: Tensor, above: Tensor) -> Relaxation:
    """The relaxation of a `Share` whose planes touch at some places: `shares.planes_at`."""
    (low, under), (high, over) = shares.planes_at(lower, upper, below, above)
    return Relaxation(low, high, under, over)


@relax.register
def _(operator: Increment, lower: Tensor, upper: Tensor, slope: Slope) -> Relaxation:
    lower, upper = lower.unsqueeze(1), upper.unsqueeze(1)
    parallel = slope is Slope.PARALLEL
    low, high = increment_slopes(operator, lower, upper, parallel=parallel)
    return line_intercepts(operator, low, high, lower, upper)
