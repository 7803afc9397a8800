"""The share that a softmax gives an entry, ``p = 1 / (1 + sum(exp(x)))``, enclosed in balls.

For any k >= 0, ``1 / s >= 2 k - k^2 s`` with ``s = 1 + sum(exp(x))``, and less ``slope x`` that is
concave in every number, so least at an end of each. For any b >= 0, ``exp(-v) + b v`` is convex in
``v = log s``, so at most its larger end; and v lies above its tangent plane at any point. So
numbers that are found in floating point need not be right, as slopes need not.
"""

from __future__ import annotations

from typing import NamedTuple

import flint
import numpy as np
from flint import arb

from sensverify.certificates.check.arithmetic import TINY32, UNIT32, Arithmetic, Numbers, gamma32
from sensverify.certificates.check.curved import lower_end
from sensverify.certificates.check.enclosure import Enclosure, Lines, Slopes
from sensverify.certificates.check.s_shaped import LIBRARY
from sensverify.errors import Unbounded
from sensverify.network.operators import Share

_BITS = 128
"""Of the balls."""

_FAR = 2.0
"""How far v moves from its least value to where slopes by rule are taken, at most and about."""

_LOST = 2.0**-120
"""More than a float32 exponential that underflows, to zero, takes from a sum that is at least 1."""


class Shares(Enclosure):
    """The share that belongs to the numbers along the last axis, which are the others less it."""

    def __init__(self, operator: Share, shape: tuple[int, ...]) -> None:
        super().__init__(operator, shape)
        self.window = shape[-1]

    def lines(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray, slopes: Slopes
    ) -> Lines:
        low, high, below, above = (self._windows(part) for part in (lower, upper, *slopes))
        tangents = _fitting(low, high, below), 1 / _total(high)
        steep, point = _chord(low, high, above)
        least, most = np.empty(low.shape[:2], object), np.empty(low.shape[:2], object)
        before, flint.ctx.prec = flint.ctx.prec, _BITS
        try:
            for at in np.ndindex(low.shape[:2]):
                ends = _Ends.of(low[at], high[at])
                least[at] = _best([_below(ends, below[at], float(k[at])) for k in tangents])
                most[at] = _above(ends, above[at], float(steep[at]), point[at])
        finally:
            flint.ctx.prec = before
        numbers = arithmetic.numbers
        under = _known(arithmetic, least)
        return Lines(numbers(slopes[0]), under, numbers(slopes[1]), -_known(arithmetic, most))

    def image(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray
    ) -> tuple[Numbers, Numbers]:
        low, high = self._windows(lower), self._windows(upper)
        least, most = np.empty(low.shape[:2], object), np.empty(low.shape[:2], object)
        before, flint.ctx.prec = flint.ctx.prec, _BITS
        try:
            for at in np.ndindex(low.shape[:2]):
                ends = _Ends.of(low[at], high[at])
                least[at], most[at] = 1 / ends.most, -1 / ends.least
        finally:
            flint.ctx.prec = before
        return _known(arithmetic, least), -_known(arithmetic, most)

    def rule_slopes(self, lower: np.ndarray, upper: np.ndarray) -> Slopes:
        """Of the planes that are best in the middle of the box, or nearly, as those of CROWN."""
        low, high = self._windows(lower), self._windows(upper)
        place = (2 / (_total(low) + _total(high)))[..., None]
        # Twice a product with one factor, which does not overflow where its square would.
        below = -place * (place * np.where(place > 0, _secants(low, high), 0.0))
        moved = _log_total(high) - _log_total(low)
        point = low + (_FAR / np.maximum(moved, 2 * _FAR))[..., None] * (high - low)
        steep = _steepness(low, high)[..., None]
        above = -steep * np.exp(point - _log_total(point)[..., None])
        return (
            np.where(np.isfinite(below), below, 0.0).reshape(lower.shape),
            above.reshape(lower.shape),
        )

    def chord_slopes(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        return self.rule_slopes(lower, upper)[1]

    def float32_error(self, error: np.ndarray, reached: np.ndarray) -> np.ndarray:
        """The slopes' magnitudes sum to ``p (1 - p)``, and an exponential's error is an argument's.

        A runtime subtracts the largest entry, not the share's own: two differences for each number.
        """
        off, sizes = (self._windows(part).max(axis=2) for part in (error, reached))
        moved = off + 4 * UNIT32 * sizes + gamma32(2 * LIBRARY + self.window + 4)
        return (moved / 4 + gamma32(4) + self.window * _LOST) * (1 + 2.0**-20) + TINY32

    def _windows(self, entries: np.ndarray) -> np.ndarray:
        return entries.reshape(len(entries), -1, self.window)


class _Ends(NamedTuple):
    """The ends of one window's numbers, their exponentials, and the least and the largest sum."""

    low: list[arb]
    high: list[arb]
    powers: list[tuple[arb, arb]]
    least: arb
    most: arb

    @classmethod
    def of(cls, lower: np.ndarray, upper: np.ndarray) -> _Ends:
        low, high = ([arb(float(x)) for x in part] for part in (lower, upper))
        powers = [(x.exp(), y.exp()) for x, y in zip(low, high, strict=True)]
        one = arb(1)
        return cls(
            low, high, powers, sum((p for p, _ in powers), one), sum((p for _, p in powers), one)
        )


def _below(ends: _Ends, slope: np.ndarray, place: float) -> arb:
    """At most ``p - slope x``, by the tangent whose k is that."""
    k = arb(place)
    square = k * k
    total = 2 * k - square
    for x, y, (first, last), factor in zip(ends.low, ends.high, ends.powers, slope, strict=True):
        s = arb(float(factor))
        total += (-square * first - s * x).min(-square * last - s * y)
    return total


def _above(ends: _Ends, slope: np.ndarray, steep: float, point: np.ndarray) -> arb:
    """At most ``slope x - p``, by the chord of that steepness and the tangent plane at a point."""
    b = arb(steep)
    first, last = ends.least.log(), ends.most.log()
    top = (1 / ends.least + b * first).max(1 / ends.most + b * last)
    at = [arb(float(x)) for x in point]
    powers = [x.exp() for x in at]
    whole = sum(powers, arb(1))
    total = b * whole.log() - top
    for x, y, c, power, s in zip(ends.low, ends.high, at, powers, slope, strict=True):
        rise = b * power / whole
        left = rise + arb(float(s))
        total += (left * x).min(left * y) - rise * c
    return total


def _best(found: list[arb]) -> arb:
    finite = [each for each in found if each.is_finite()]
    return finite[0].max(finite[-1]) if finite else found[0]


def _known(arithmetic: Arithmetic, found: np.ndarray) -> Numbers:
    """Rational numbers below balls."""
    ends = np.frompyfunc(lower_end, 1, 1)(found)
    if any(end is None for end in ends.flat):
        raise Unbounded(
            "nothing is proven about a Share: on the bounds on what enters it, it is too steep",
            "use a smaller box",
        )
    return arithmetic.rationals(ends, -1)


def _fitting(low: np.ndarray, high: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """About the k of the tangent whose chords have the slopes given, ``[cells, size]``."""
    with np.errstate(all="ignore"):
        steep = np.maximum(-slope, 0).sum(axis=2)
        k = np.sqrt(steep / _secants(low, high).sum(axis=2))
    return np.where(np.isfinite(k), k, 0.0)


def _chord(low: np.ndarray, high: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """About how steep ``exp(-v)`` falls, and where the tangent plane of v has slopes as given."""
    steep = _steepness(low, high)
    with np.errstate(all="ignore"):
        shares = np.maximum(-slope / np.maximum(steep, 1e-150)[..., None], 1e-150)
        rest = np.maximum(1 - shares.sum(axis=2, keepdims=True), 1e-150)
        point = np.log(shares) - np.log(rest)
    return steep, np.clip(np.where(np.isfinite(point), point, 0.0), low, high)


def _steepness(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    start, width = _log_total(low), _log_total(high) - _log_total(low)
    wide = np.where(width > 0, width, 1.0)
    return np.exp(-start) * np.where(width > 0, -np.expm1(-wide) / wide, 1.0)


def _secants(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Slopes of the chords of exponentials."""
    width = high - low
    wide = np.where(width > 0, width, 1.0)
    with np.errstate(all="ignore"):
        return np.exp(high) * np.where(width > 0, -np.expm1(-wide) / wide, 1.0)


def _total(x: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return 1 + np.exp(x).sum(axis=2)


def _log_total(x: np.ndarray) -> np.ndarray:
    top = np.maximum(x.max(axis=2), 0)
    return top + np.log(np.exp(-top) + np.exp(x - top[..., None]).sum(axis=2))
