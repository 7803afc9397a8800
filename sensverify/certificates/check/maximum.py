"""The maximum of a window of numbers."""

from __future__ import annotations

import numpy as np

from sensverify.certificates.check.arithmetic import FLOOR, Arithmetic, Numbers
from sensverify.certificates.check.enclosure import Enclosure, Lines, Slopes
from sensverify.network.operators import Max


class Maximum(Enclosure):
    """The largest of the numbers along the last axis."""

    def __init__(self, operator: Max, shape: tuple[int, ...]) -> None:
        super().__init__(operator, shape)
        self.window = shape[-1]

    def lines(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray, slopes: Slopes
    ) -> Lines:
        """Lines as of `Enclosure`; above, each number in turn is taken for the maximum."""
        low, high, below, above = (
            self._windows(arithmetic.numbers(part)) for part in (lower, upper, *slopes)
        )
        ones = [arithmetic.numbers(np.arange(self.window) == j) for j in range(self.window)]
        least = _least_of_maximum(arithmetic, below, low, high)
        most = np.maximum.reduce([-_sum_least(arithmetic, above - one, low, high) for one in ones])
        convex, value = _convex(arithmetic, below, low, high)
        least = np.where(convex, np.maximum(least, value), least)
        return Lines(below.reshape(lower.shape), least, above.reshape(lower.shape), most)

    def image(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray
    ) -> tuple[Numbers, Numbers]:
        low, high = (self._windows(end).max(axis=2) for end in (lower, upper))
        return arithmetic.numbers(low), arithmetic.numbers(high)

    def rule_slopes(self, lower: np.ndarray, upper: np.ndarray) -> Slopes:
        """The number with the largest lower bound; above only where nothing else can be larger.

        Of several such numbers, the one with the largest upper bound.
        """
        low, high = self._windows(lower), self._windows(upper)
        least = low.max(axis=2, keepdims=True)
        winner = np.where(low < least, -np.inf, high).argmax(axis=2)[..., None]
        below = np.zeros(low.shape)
        np.put_along_axis(below, winner, 1.0, axis=2)
        others = np.where(below > 0, -np.inf, high).max(axis=2, keepdims=True)
        decided = np.take_along_axis(low, winner, axis=2) >= others
        return below.reshape(lower.shape), (below * decided).reshape(lower.shape)

    def chord_slopes(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        return self.rule_slopes(lower, upper)[1]

    def float32_error(self, error: np.ndarray, reached: np.ndarray) -> np.ndarray:
        return self._windows(error).max(axis=2)

    def _windows(self, entries: Numbers) -> Numbers:
        return entries.reshape(len(entries), -1, self.window)


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
