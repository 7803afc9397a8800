"""A line below and a line above every nonlinear function, whatever their slopes.

For f on ``[l, u]`` and any slope s, ``f(x) >= s x + t`` with ``t = inf (f(x) - s x)``, and
``f(x) <= s x + t`` with ``t = sup (f(x) - s x)``. This file finds t, rounded down or up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from flint import arb, fmpq

from sensverify.certificates.check.arithmetic import (
    FLOOR,
    SMALL,
    Arithmetic,
    Numbers,
    ends,
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
    """Range of f on the intervals: the lines without slope."""
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
    """Points where f(x) - s x can be extreme, f there, and bounds on the error of f."""
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
    """Kinks of a piecewise linear function."""
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
    """Extremes of ``max x - s x``; above, each number in turn is taken for the maximum."""
    shape = (len(lower), step.size, step.window)
    low, high = (arithmetic.numbers(end).reshape(shape) for end in (lower, upper))
    below, above = below.reshape(shape), above.reshape(shape)
    ones = [arithmetic.numbers(np.arange(step.window) == j) for j in range(step.window)]
    least = _least_of_maximum(arithmetic, below, low, high)
    most = np.maximum.reduce([-_sum_least(arithmetic, above - one, low, high) for one in ones])
    convex, value = _convex(arithmetic, below, low, high)
    return np.where(convex, np.maximum(least, value), least), most


def _least_of_maximum(
    arithmetic: Arithmetic, slope: Numbers, low: Numbers, high: Numbers
) -> Numbers:
    """At most ``max x - slope x``, along the last axis.

    Where the maximum is t, every number is best as large as it can be with that, or as small as
    it can be. What is left is linear in t between the upper ends of the numbers.
    """
    floor = low.max(axis=-1)[..., None]
    gaps = []
    for top in (floor, *np.split(np.maximum(high, floor), high.shape[-1], axis=-1)):
        terms = slope * np.where(slope > 0, np.minimum(high, top), low)
        top = top[..., 0]
        gap = top - terms.sum(axis=-1)
        if arithmetic.unit:
            error = arithmetic.gamma(terms.shape[-1] + 4) * (abs(top) + abs(terms).sum(axis=-1))
            gap = gap - arithmetic.raised(2 * error + arithmetic.floor(abs(low) + abs(high)))
        gaps.append(gap)
    return np.minimum.reduce(gaps)


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
    """Mask of slopes >= 0; with such slopes of sum S, ``max x - s x >= -|1 - S| max |x|``."""
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
    # sup f(x) - s x = 2 f(0) - inf f(y) - s y over y = -x, for both functions.
    twice = 1 if isinstance(operator, Sigmoid) else 0
    low = _gap(arithmetic, operator, slopes[0], lower, upper)
    high = _gap(arithmetic, operator, slopes[1], -upper, -lower)
    if arithmetic.unit:
        # Rounded up once more, for the difference.
        return low, (twice - high) + 4 * arithmetic.unit * (1 + abs(high))
    return low, twice - high


def _gap(
    arithmetic: Arithmetic,
    operator: Sigmoid | Tanh,
    slope: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> Numbers:
    """At most ``f(x) - slope x`` for x in [lower, upper]."""
    numbers = arithmetic.numbers
    s = numbers(slope)
    # Above zero the function is concave, and so least at an end.
    gaps = []
    for place in (np.maximum(lower, 0), np.maximum(upper, 0)):
        value, _, _ = _enclosed(arithmetic, operator, place)
        gaps.append(_sum(arithmetic, value, -s * numbers(place)))
    above = np.minimum(*gaps)
    # Below, it is above its tangents: any will do, best the one with this slope.
    start, end = np.minimum(lower, 0), np.minimum(upper, 0)
    touch = np.clip(_touching(operator, slope, start), start, end)
    value, steep, flat = _enclosed(arithmetic, operator, touch)
    gaps = []
    for place in (start, end):
        run = numbers(place) - numbers(touch)
        rise = np.minimum(steep * run, flat * run)
        gaps.append(_sum(arithmetic, value, rise, -s * numbers(place)))
    below = np.minimum(*gaps)
    below = np.where(lower < 0, below, above)
    return np.where(upper >= 0, np.minimum(above, below), below)


def _sum(arithmetic: Arithmetic, *terms: Numbers) -> Numbers:
    """At most the sum of numbers, each rounded twice at most."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    if not arithmetic.unit:
        return total
    sizes = np.sum([abs(term) for term in terms], axis=0)
    return total - 8 * arithmetic.unit * (sizes + abs(total)) - FLOOR


def _touching(operator: Sigmoid | Tanh, slope: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """About the x <= 0 where the derivative is the slope; how near does not matter."""
    most = 0.25 if isinstance(operator, Sigmoid) else 1.0
    root = np.sqrt(np.clip(1 - slope / most, 0, 1))
    with np.errstate(divide="ignore"):
        half = np.arctanh(root)
    place = -2 * half if isinstance(operator, Sigmoid) else -half
    return np.where(np.isfinite(place), place, lower)


def _enclosed(
    arithmetic: Arithmetic, operator: Sigmoid | Tanh, x: np.ndarray
) -> tuple[Numbers, Numbers, Numbers]:
    """Below f(x), and the largest and the smallest the derivative can be, by ball arithmetic."""
    tanh = isinstance(operator, Tanh)
    if not arithmetic.unit:
        least, most = np.frompyfunc(_tanh_ends if tanh else _sigmoid_ends, 1, 2)(x)
    else:
        middle, radius = np.frompyfunc(_tanh if tanh else _sigmoid, 1, 2)(x)
        middle, radius = middle.astype(np.float64), radius.astype(np.float64)
        least, most = middle - radius, middle + radius
    # 1 - t^2, and s (1 - s): largest at the centre, so least at an end of what the value can be.
    centre = arithmetic.numbers(0.0 if tanh else 0.5)[()]
    slopes = [1 - v * v if tanh else v * (1 - v) for v in (least, most)]
    lost = 4 * arithmetic.unit * np.maximum(1, abs(slopes[0])) if arithmetic.unit else 0
    # Both functions rise everywhere.
    steep, flat = np.maximum(*slopes) + lost, np.maximum(np.minimum(*slopes) - lost, 0)
    largest = arithmetic.numbers(1.0 if tanh else 0.25)[()]
    return least, np.where((least <= centre) & (most >= centre), largest, steep), flat


def _tanh(x: float) -> tuple[float, float]:
    return _ball(arb(x).tanh(), 0.0)


def _sigmoid(x: float) -> tuple[float, float]:
    return _ball(1 / (1 + (-arb(x)).exp()), 0.5)


def _ball(value: arb, centre: float) -> tuple[float, float]:
    """A number, and how far the value may be from it at most."""
    if not value.is_finite():
        # Far out, where the exponential overflows.
        return centre, 1.0 - centre
    middle, radius = float(value.mid()), float(value.rad())
    # Conversions round once each, and what follows once more.
    return middle, 2 * radius + 2.0**-50 * abs(middle) + FLOOR


def _tanh_ends(x: float) -> tuple[fmpq, fmpq]:
    value = arb(x).tanh()
    return ends(value) if value.is_finite() else (fmpq(-1), fmpq(1))


def _sigmoid_ends(x: float) -> tuple[fmpq, fmpq]:
    if x < -2000:
        # Below exp(-2000); the exact number would have as many digits as x says.
        return fmpq(0), fmpq(1, 2**2800)
    value = 1 / (1 + (-arb(x)).exp())
    return ends(value) if value.is_finite() else (fmpq(0), fmpq(1))
