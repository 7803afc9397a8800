"""Sigmoid and its like: rising, convex below zero, concave above it, and odd about the value there.

Values lie between a bottom and 1, and are enclosed by ball arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from flint import arb, fmpq

from sensverify.certificates.check.arithmetic import (
    FLOOR,
    Arithmetic,
    Numbers,
    ends,
    gamma32,
    rational,
)
from sensverify.certificates.check.enclosure import Enclosure, Lines, Slopes

LIBRARY = 8
"""Units by which a runtime's exp or tanh may be off: an assumption, generous for those in use."""

_FAR_OUT = -2000
"""Where exact numbers would have as many digits as x says, if f has its limit at 0 there."""


class SShaped(Enclosure):
    """``centre + height * tanh(x / spread)``.

    Attributes
    ----------
    bottom : float
        The limit far below zero; far above it is 1.
    steepest : float
        The derivative at zero.
    spread : float
    """

    bottom: float
    steepest: float
    spread: float

    def ball(self, x: arb) -> arb:
        """A ball that holds f(x), maybe an infinite one."""
        raise NotImplementedError

    def slope_at(self, value: Numbers) -> Numbers:
        """The derivative where f has a value."""
        raise NotImplementedError

    def inverse(self, root: np.ndarray) -> np.ndarray:
        """About ``spread * arctanh(root)``.

        Slopes by rule are part of what a certificate says, so this stays as it rounds.
        """
        raise NotImplementedError

    @property
    def centre(self) -> float:
        """The value at zero."""
        return (self.bottom + 1) / 2

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.slope_at(self.value(x)))

    def candidates(self, lower: np.ndarray, upper: np.ndarray) -> Sequence[np.ndarray]:
        ends = np.minimum(self.derivative(lower), self.derivative(upper))
        return [ends, self.derivative(lower / 2 + upper / 2)]

    def extremes(
        self, lower: np.ndarray, upper: np.ndarray, slope: np.ndarray
    ) -> Sequence[np.ndarray]:
        point = self.inverse(np.sqrt(np.clip(1 - slope / self.steepest, 0, 1 - 1e-12)))
        return [lower, upper, np.clip(point, lower, upper), np.clip(-point, lower, upper)]

    def lines(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray, slopes: Slopes
    ) -> Lines:
        below, above = (arithmetic.numbers(part) for part in slopes)
        # sup f(x) - s x = 2 f(0) - inf f(y) - s y over y = -x.
        twice = arithmetic.numbers(self.bottom + 1)[()]
        low = self._gap(arithmetic, slopes[0], below, lower, upper)
        high = self._gap(arithmetic, slopes[1], above, -upper, -lower)
        most = twice - high
        if arithmetic.unit:
            # Rounded up once more, for the difference.
            most = most + 4 * arithmetic.unit * (1 + abs(high))
        return Lines(below, low, above, most)

    def _gap(
        self,
        arithmetic: Arithmetic,
        slope: np.ndarray,
        s: Numbers,
        lower: np.ndarray,
        upper: np.ndarray,
    ) -> Numbers:
        """At most ``f(x) - slope x`` for x in [lower, upper]; s is the slope as numbers."""
        numbers = arithmetic.numbers
        # Above zero the function is concave, and so least at an end.
        gaps = []
        for place in (np.maximum(lower, 0), np.maximum(upper, 0)):
            value, _, _ = self._enclosed(arithmetic, place)
            gaps.append(_sum(arithmetic, value, -s * numbers(place)))
        above = np.minimum(*gaps)
        # Below, it is above its tangents: any will do, best the one with this slope.
        start, end = np.minimum(lower, 0), np.minimum(upper, 0)
        touch = np.clip(self._touching(slope, start), start, end)
        value, steep, flat = self._enclosed(arithmetic, touch)
        gaps = []
        for place in (start, end):
            run = numbers(place) - numbers(touch)
            rise = np.minimum(steep * run, flat * run)
            gaps.append(_sum(arithmetic, value, rise, -s * numbers(place)))
        below = np.minimum(*gaps)
        below = np.where(lower < 0, below, above)
        return np.where(upper >= 0, np.minimum(above, below), below)

    def _touching(self, slope: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """About the x <= 0 where the derivative is the slope; how near does not matter."""
        root = np.sqrt(np.clip(1 - slope / self.steepest, 0, 1))
        with np.errstate(divide="ignore"):
            place = -self.spread * np.arctanh(root)
        return np.where(np.isfinite(place), place, lower)

    def _enclosed(self, arithmetic: Arithmetic, x: np.ndarray) -> tuple[Numbers, Numbers, Numbers]:
        """Below f(x), and the largest and the smallest the derivative can be."""
        if not arithmetic.unit:
            least, most = np.frompyfunc(self._exact_ends, 1, 2)(x)
        else:
            middle, radius = np.frompyfunc(self._middle, 1, 2)(x)
            middle, radius = middle.astype(np.float64), radius.astype(np.float64)
            least, most = middle - radius, middle + radius
        # Largest at the centre, so least at an end of what the value can be.
        centre = arithmetic.numbers(self.centre)[()]
        slopes = [self.slope_at(value) for value in (least, most)]
        lost = 4 * arithmetic.unit * np.maximum(1, abs(slopes[0])) if arithmetic.unit else 0
        # The function rises everywhere.
        steep, flat = np.maximum(*slopes) + lost, np.maximum(np.minimum(*slopes) - lost, 0)
        largest = arithmetic.numbers(self.steepest)[()]
        return least, np.where((least <= centre) & (most >= centre), largest, steep), flat

    def _middle(self, x: float) -> tuple[float, float]:
        """A number, and how far f(x) may be from it at most."""
        value = self.ball(arb(x))
        if not value.is_finite():
            # Far out, where the exponential overflows.
            return self.centre, 1.0 - self.centre
        middle, radius = float(value.mid()), float(value.rad())
        # Conversions round once each, and what follows once more.
        return middle, 2 * radius + 2.0**-50 * abs(middle) + FLOOR

    def _exact_ends(self, x: float) -> tuple[fmpq, fmpq]:
        if self.bottom == 0 and x < _FAR_OUT:
            # Below exp(-2000).
            return fmpq(0), fmpq(1, 2**2800)
        value = self.ball(arb(x))
        return ends(value) if value.is_finite() else (rational(self.bottom), fmpq(1))

    @property
    def steepest_of_all(self) -> float:
        return self.steepest

    def secants(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray
    ) -> tuple[Numbers, Numbers]:
        """The steepest where the interval is nearest to zero, the flattest at an end."""
        _, most, _ = self._enclosed(arithmetic, np.clip(0.0, lower, upper))
        flat = [self._enclosed(arithmetic, end)[2] for end in (lower, upper)]
        return np.minimum(*flat), most

    def float32_error(self, error: np.ndarray, reached: np.ndarray) -> np.ndarray:
        return self.steepest * error + gamma32(LIBRARY) * np.minimum(1.0, 1.0 + error)


def _sum(arithmetic: Arithmetic, *terms: Numbers) -> Numbers:
    """At most the sum of numbers, each rounded twice at most."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    if not arithmetic.unit:
        return total
    sizes = np.sum([abs(term) for term in terms], axis=0)
    return total - 8 * arithmetic.unit * (sizes + abs(total)) - FLOOR
