"""The product of two numbers."""

from __future__ import annotations

import numpy as np

from sensverify.certificates.check.arithmetic import TINY32, Arithmetic, Numbers, gamma32
from sensverify.certificates.check.enclosure import Enclosure, Lines, Slopes


class TwoNumbers(Enclosure):
    """The product of the two numbers along the last axis.

    Along either number ``x y - s x - t y`` is linear, so its extremes over a box are at corners.
    """

    def lines(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray, slopes: Slopes
    ) -> Lines:
        numbers = arithmetic.numbers
        low, high, below, above = (_pairs(numbers(part)) for part in (lower, upper, *slopes))
        corners = [(x[..., 0], y[..., 1]) for x in (low, high) for y in (low, high)]
        least = np.minimum.reduce([_gap(arithmetic, x, y, below, 1) for x, y in corners])
        most = np.minimum.reduce([_gap(arithmetic, x, y, above, -1) for x, y in corners])
        return Lines(below.reshape(lower.shape), least, above.reshape(lower.shape), -most)

    def rule_slopes(self, lower: np.ndarray, upper: np.ndarray) -> Slopes:
        """Of the mean planes that are worse than intervals on neither side."""
        low, high = _pairs(lower), _pairs(upper)
        positive = np.maximum(high, 0) / 2
        width = positive - np.minimum(low, 0) / 2
        moving = width > 0
        shares = np.where(moving, positive / np.where(moving, width, 1.0), 0.5)
        below = _settled(shares[..., 0], shares[..., 1])
        above = _settled(shares[..., 0], 1 - shares[..., 1])
        (a, b), (large_a, large_b) = (np.moveaxis(end, -1, 0) for end in (low, high))
        sides = (
            (_mean(below, b, large_b), _mean(below, a, large_a)),
            (_mean(above, large_b, b), _mean(above, a, large_a)),
        )
        under, over = (np.stack(side, axis=-1).reshape(lower.shape) for side in sides)
        return under, over

    def chord_slopes(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        return self.rule_slopes(lower, upper)[1]

    def float32_error(self, error: np.ndarray, reached: np.ndarray) -> np.ndarray:
        off, sizes = _pairs(error), _pairs(reached)
        # Sizes are those of the computed numbers, so a product of errors is counted in.
        passed = off[..., 0] * sizes[..., 1] + off[..., 1] * sizes[..., 0]
        return (passed + gamma32(1) * sizes.prod(axis=-1) + TINY32) * (1 + gamma32(4))


def _gap(arithmetic: Arithmetic, x: Numbers, y: Numbers, slope: Numbers, sign: int) -> Numbers:
    """At most ``sign (x y - s x - t y)``."""
    terms = [x * y, -(slope[..., 0] * x), -(slope[..., 1] * y)]
    gap = sign * (terms[0] + terms[1] + terms[2])
    if not arithmetic.unit:
        return gap
    sizes = np.stack([abs(term) for term in terms], axis=-1)
    ends = np.stack([abs(x), abs(y)], axis=-1)
    error = arithmetic.gamma(7) * sizes.sum(axis=-1)
    return gap - arithmetic.raised(2 * error + arithmetic.floor(ends))


def _pairs(entries: Numbers) -> Numbers:
    return entries.reshape(len(entries), -1, 2)


def _settled(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The share of a number that has one sign, else the middle."""
    middle = np.where((second <= 0) | (second >= 1), second, (first + second) / 2)
    return np.where((first <= 0) | (first >= 1), first, middle)


def _mean(share: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    mean: np.ndarray = share * first + (1 - share) * second
    return mean
