"""A line below and a line above every nonlinear function, whatever their slopes.

For f on ``[l, u]`` and any slope s, ``f(x) >= s x + t`` with ``t = inf (f(x) - s x)``, and
``f(x) <= s x + t`` with ``t = sup (f(x) - s x)``. This file finds t, rounded down or up.
"""

from __future__ import annotations

from functools import partial
from math import atanh, log, sqrt
from typing import NamedTuple

import numpy as np
from flint import arb, fmpq

from sensverify.certificates.check.arithmetic import (
    FLOOR,
    SMALL,
    Arithmetic,
    Numbers,
    ends,
    rational,
)
from sensverify.certificates.check.program import Nonlinear
from sensverify.errors import MissingRule
from sensverify.network.operators import Abs, Clip, LeakyRelu, Max, Relu, Sigmoid, Tanh


class Lines(NamedTuple):
    """Slopes ``[cells, entries]`` and intercepts ``[cells, size]`` of one nonlinear step."""

    lower_slope: Numbers
    lower: Numbers
    upper_slope: Numbers
    upper: Numbers


def lines_of(
    arithmetic: Arithmetic,
    step: Nonlinear,
    lower: np.ndarray,
    upper: np.ndarray,
    slopes: tuple[np.ndarray, np.ndarray],
) -> Lines:
    """The lines with the slopes given that hold on ``lower <= x <= upper``.

    Parameters
    ----------
    lower, upper : numpy array, shape ``[cells, entries]``, float64
    slopes : of the line below and of the one above, ``[cells, entries]``, float64
    """
    below, above = (arithmetic.numbers(part) for part in slopes)
    if isinstance(step.operator, Max):
        low, high = _windowed(arithmetic, step, lower, upper, below, above)
    elif isinstance(step.operator, Sigmoid | Tanh):
        low, high = _smooth(arithmetic, step.operator, lower, upper, slopes)
    else:
        points, values, errors = _points(arithmetic, step, lower, upper)
        low = _least(arithmetic, points, values, errors, below)
        high = -_least(arithmetic, points, [-f for f in values], errors, -above)
    return Lines(below, low, above, high)


def image(
    arithmetic: Arithmetic, step: Nonlinear, lower: np.ndarray, upper: np.ndarray
) -> tuple[Numbers, Numbers]:
    """What f takes on the intervals: the lines without slope."""
    if isinstance(step.operator, Max):
        shape = (len(lower), step.size, step.window)
        ends = (lower.reshape(shape).max(axis=2), upper.reshape(shape).max(axis=2))
        return arithmetic.numbers(ends[0]), arithmetic.numbers(ends[1])
    flat = np.zeros_like(lower)
    lines = lines_of(arithmetic, step, lower, upper, (flat, flat))
    return lines.lower, lines.upper


# Piecewise linear functions: the extremes are at the ends and at the kinks.


def _points(
    arithmetic: Arithmetic, step: Nonlinear, lower: np.ndarray, upper: np.ndarray
) -> tuple[list[Numbers], list[Numbers], list[Numbers]]:
    """Where f(x) - s x can be extreme, f there, and how far f may be off."""
    places = [lower, upper]
    places += [np.where((lower < k) & (k < upper), k, lower) for k in kinks(step)]
    points = [arithmetic.numbers(place) for place in places]
    values, errors = [], []
    for x in points:
        value, error = _value(arithmetic, step, x)
        values.append(value)
        errors.append(error)
    return points, values, errors


def kinks(step: Nonlinear) -> list[float]:
    """Where a piecewise linear function bends."""
    operator = step.operator
    if isinstance(operator, Relu | LeakyRelu | Abs):
        return [0.0]
    if isinstance(operator, Clip):
        return [end for end in (operator.low, operator.high) if np.isfinite(end)]
    raise MissingRule(f"certificates know no operator {type(operator).__name__}")


def _value(arithmetic: Arithmetic, step: Nonlinear, x: Numbers) -> tuple[Numbers, Numbers]:
    operator = step.operator
    none = np.zeros(x.shape)
    if isinstance(operator, Relu):
        return np.maximum(x, 0), none
    if isinstance(operator, Abs):
        return abs(x), none
    if isinstance(operator, Clip):
        for end, nearest in ((operator.low, np.maximum), (operator.high, np.minimum)):
            if np.isfinite(end):
                x = nearest(x, arithmetic.numbers(end)[()])
        return x, none
    below = x * arithmetic.numbers(step.slope)
    error = arithmetic.unit * abs(below) + _underflow(arithmetic, below)
    return np.where(x > 0, x, below), np.where(x > 0, none, error)


def _least(
    arithmetic: Arithmetic,
    points: list[Numbers],
    values: list[Numbers],
    errors: list[Numbers],
    slope: Numbers,
) -> Numbers:
    """At most ``f(x) - slope x`` at every point."""
    gaps = []
    for x, value, error in zip(points, values, errors, strict=True):
        product = slope * x
        gap = value - product
        # Three times: the product, the difference, and taking the error off.
        if arithmetic.unit:
            lost = _underflow(arithmetic, product) * ((slope != 0) & (x != 0))
            gap = gap - 3 * (arithmetic.unit * (abs(gap) + abs(product)) + error + lost)
        gaps.append(gap)
    return np.minimum.reduce(gaps)


def _underflow(arithmetic: Arithmetic, product: Numbers) -> Numbers:
    return np.where(abs(product) < SMALL, FLOOR, 0.0) if arithmetic.unit else 0


# The maximum of a window.


def _windowed(
    arithmetic: Arithmetic,
    step: Nonlinear,
    lower: np.ndarray,
    upper: np.ndarray,
    below: Numbers,
    above: Numbers,
) -> tuple[Numbers, Numbers]:
    """``max x >= x_j`` for every j; ``max x <= max_j sup``; each minus s x is separable."""
    shape = (len(lower), step.size, step.window)
    low, high = (arithmetic.numbers(end).reshape(shape) for end in (lower, upper))
    below, above = below.reshape(shape), above.reshape(shape)
    ones = [arithmetic.numbers(np.arange(step.window) == j) for j in range(step.window)]
    least = np.maximum.reduce([_sum_least(arithmetic, one - below, low, high) for one in ones])
    most = np.maximum.reduce([-_sum_least(arithmetic, above - one, low, high) for one in ones])
    convex, value = _convex(arithmetic, below, low, high)
    return np.where(convex, np.maximum(least, value), least), most


def _sum_least(arithmetic: Arithmetic, factor: Numbers, low: Numbers, high: Numbers) -> Numbers:
    """At most the sum of factor x, along the last axis; factors are differences of two numbers."""
    terms = np.minimum(factor * low, factor * high)
    total = terms.sum(axis=-1)
    if not arithmetic.unit:
        return total
    sizes = (abs(factor) * np.maximum(abs(low), abs(high))).sum(axis=-1)
    error = arithmetic.gamma(terms.shape[-1] + 4) * sizes
    return total - arithmetic.raised(2 * error + arithmetic.floor(abs(low) + abs(high)))


def _convex(
    arithmetic: Arithmetic, slope: Numbers, low: Numbers, high: Numbers
) -> tuple[np.ndarray, Numbers]:
    """Where slopes are at least 0 with sum S: ``max x - s x >= -|1 - S| max |x|``."""
    total = slope.sum(axis=-1)
    missing = abs(1 - total)
    if arithmetic.unit:
        # Zeros and ones are added without an error.
        inexact = ((slope != 0) & (slope != 1)).any(axis=-1)
        missing = missing + inexact * arithmetic.gamma(slope.shape[-1] + 4) * (1 + abs(total))
    largest = np.maximum(abs(low), abs(high)).max(axis=-1)
    value = arithmetic.raised(arithmetic.raised(missing) * largest)
    if arithmetic.unit:
        value = np.where(missing > 0, value + FLOOR, 0.0)
    return (slope >= 0).all(axis=-1), -value


# Sigmoid and tanh: convex below zero, concave above it, and odd about their value there.


def _smooth(
    arithmetic: Arithmetic,
    operator: Sigmoid | Tanh,
    lower: np.ndarray,
    upper: np.ndarray,
    slopes: tuple[np.ndarray, np.ndarray],
) -> tuple[Numbers, Numbers]:
    least = np.frompyfunc(partial(_gap, operator), 3, 1)
    # sup f(x) - s x = 2 f(0) - inf f(y) - s y over y = -x, for both functions.
    twice = 1 if isinstance(operator, Sigmoid) else 0
    low = least(slopes[0], lower, upper)
    high = twice - least(slopes[1], -upper, -lower)
    return arithmetic.rationals(low, -1), arithmetic.rationals(high, 1)


def _gap(operator: Sigmoid | Tanh, slope: float, lower: float, upper: float) -> fmpq:
    """At most ``f(x) - slope x`` for x in [lower, upper], as a rational number."""
    s, low, high = rational(slope), rational(lower), rational(upper)
    bounds = []
    if high >= 0:
        # A concave function is least at an end.
        start = max(low, fmpq(0))
        bounds += [_enclosed(operator, x)[0] - s * x for x in (start, high)]
    if low < 0:
        # A convex function is above its tangents: any will do, best the one with this slope.
        end = min(high, fmpq(0))
        touch = min(max(_touching(operator, slope, lower), low), end)
        value, steep, flat = _enclosed(operator, touch)
        for x in (low, end):
            rise = min(steep * (x - touch), flat * (x - touch))
            bounds.append(value + rise - s * x)
    return min(bounds)


def _touching(operator: Sigmoid | Tanh, slope: float, lower: float) -> fmpq:
    """About the x <= 0 where the derivative is the slope; how near does not matter."""
    most = 0.25 if isinstance(operator, Sigmoid) else 1.0
    if not 0 < slope < most:
        return rational(lower) if slope <= 0 else fmpq(0)
    root = sqrt(1 - slope / most)
    if isinstance(operator, Tanh):
        return rational(-atanh(root)) if root < 1 else rational(lower)
    return rational(log((1 - root) / (1 + root))) if root < 1 else rational(lower)


def _enclosed(operator: Sigmoid | Tanh, x: fmpq) -> tuple[fmpq, fmpq, fmpq]:
    """Below f(x), and both ends of the derivative there, by ball arithmetic."""
    point = arb(x)
    if isinstance(operator, Tanh):
        value = point.tanh()
        derivative, least, most = 1 - value * value, -1, 1
    else:
        value = 1 / (1 + (-point).exp())
        derivative, least, most = value * (1 - value), 0, 1
    if not (value.is_finite() and derivative.is_finite()):
        # Far out, where the exponential overflows.
        return fmpq(least), fmpq(most), fmpq(0)
    flat, steep = ends(derivative)
    return ends(value)[0], steep, flat
