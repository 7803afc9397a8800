"""Functions that are convex or concave between joints, enclosed by ball arithmetic alone.

Every line is found in balls: whatever a touching point is, the tangent there is below a convex
function. Where the pieces join is a number or a bracket of two, inside of which the function is
enclosed as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, isfinite, nextafter

import flint
import numpy as np
from flint import arb, fmpq

from sensverify.certificates.check.arithmetic import (
    TINY32,
    Arithmetic,
    Numbers,
    ends,
    gamma32,
)
from sensverify.certificates.check.enclosure import Enclosure, Lines, Slopes
from sensverify.certificates.check.s_shaped import LIBRARY
from sensverify.errors import Unbounded

_BITS = 128
"""Of the balls."""

_BISECTIONS = 45

_NEAR = 1e-9
"""From a kink, within which a touching point is taken for it."""

_FARTHEST = 4096
"""Binary digits before or behind the point beyond which no rational number is made of a ball."""


class Curved(Enclosure):
    """A function of one number.

    Attributes
    ----------
    joints : sequence of pairs of float
        Brackets of the places where pieces join, ascending.
    kinks : sequence of float
        Where the derivative jumps inside of a piece; `steepness` there holds all slopes between.
    convex : bool
        Whether the first piece is convex; they alternate.
    branches : sequence of pairs of float
        Where it is defined.
    """

    joints: Sequence[tuple[float, float]] = ()
    kinks: Sequence[float] = ()
    convex: bool = True
    branches: Sequence[tuple[float, float]] = ((-inf, inf),)

    def ball(self, x: arb) -> arb:
        """A ball that holds f on all of x, maybe an infinite one."""
        raise NotImplementedError

    def steepness(self, x: arb) -> arb:
        """A ball that holds the derivative on all of x; at a kink of either side."""
        raise NotImplementedError

    def sides(self, kink: float) -> tuple[arb, arb]:
        """Balls that hold the derivative left and right of a kink."""
        raise NotImplementedError

    def candidates(self, lower: np.ndarray, upper: np.ndarray) -> Sequence[np.ndarray]:
        found = [self.derivative(lower / 2 + upper / 2), np.zeros_like(lower)]
        return [np.where(np.isfinite(slope), slope, 0.0) for slope in found]

    def extremes(
        self, lower: np.ndarray, upper: np.ndarray, slope: np.ndarray
    ) -> Sequence[np.ndarray]:
        found = [lower, upper]
        for start, end, _ in self._pieces():
            first, last = np.clip(start, lower, upper), np.clip(end, lower, upper)
            for bends_up in (True, False):
                found.append(self._touching(slope, first, last, bends_up=bends_up))
        return found

    def rule_slopes(self, lower: np.ndarray, upper: np.ndarray) -> Slopes:
        with np.errstate(all="ignore"):
            return super().rule_slopes(lower, upper)

    def chord_slopes(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            found = super().chord_slopes(lower, upper)
        return np.where(np.isfinite(found), found, 0.0)

    def lines(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray, slopes: Slopes
    ) -> Lines:
        below, above = slopes
        low = self._gaps(arithmetic, below, lower, upper, 1)
        high = self._gaps(arithmetic, above, lower, upper, -1)
        numbers = arithmetic.numbers
        return Lines(numbers(below), low, numbers(above), high)

    def float32_error_within(
        self, error: np.ndarray, lower: np.ndarray, upper: np.ndarray
    ) -> np.ndarray:
        found = np.frompyfunc(self._float32_error, 3, 1)(error, lower, upper)
        return np.asarray(found).astype(np.float64)

    def secants(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray
    ) -> tuple[Numbers, Numbers]:
        """Ends of the derivative on intervals: it is monotone on every piece."""
        before, flint.ctx.prec = flint.ctx.prec, _BITS
        try:
            found = [self._slopes(*ends) for ends in zip(lower.flat, upper.flat, strict=True)]
        finally:
            flint.ctx.prec = before
        least, most = np.empty(lower.shape, object), np.empty(lower.shape, object)
        for place, (flat, steep) in zip(np.ndindex(lower.shape), found, strict=True):
            least[place], most[place] = flat, steep
        return self._known(arithmetic, least, -1), self._known(arithmetic, most, 1)

    def _slopes(self, lower: float, upper: float) -> tuple[fmpq | None, fmpq | None]:
        """The least and the largest slope on one interval, or beyond; None where none is known."""
        if not (isfinite(lower) and isfinite(upper)):
            return None, None
        if not any(start <= lower and upper <= end for start, end in self.branches):
            return None, None
        steep = self._steep(lower, upper)
        flat, most = [lower_end(ball) for ball in steep], [lower_end(-ball) for ball in steep]
        least = None if any(end is None for end in flat) else min(flat)  # type: ignore[type-var]
        if any(end is None for end in most):
            return least, None
        return least, -min(most)  # type: ignore[type-var,operator]

    def _steep(self, lower: float, upper: float) -> list[arb]:
        """Balls of which one is above, and one below, each slope on an interval."""
        places = [arb(lower), arb(upper), *(arb(k) for k in self.kinks if lower <= k <= upper)]
        for start, end in self.joints:
            if start <= upper and lower <= end:
                places.append(arb(start).union(arb(end)))
        return [self.steepness(place) for place in places]

    def _known(self, arithmetic: Arithmetic, found: np.ndarray, sign: int) -> Numbers:
        """Rational numbers, rounded down for sign -1, else up; NaN where there is none."""
        known = np.array([value is not None for value in found.flat]).reshape(found.shape)
        if not known.all() and not arithmetic.unit:
            raise Unbounded(
                f"nothing is proven about a {type(self.operator).__name__}: on the bounds on what "
                "enters it, it is not defined or too large",
                "use a smaller box",
            )
        found[~known] = fmpq(0)
        numbers = arithmetic.rationals(found, sign)
        return numbers if known.all() else np.where(known, numbers, np.nan)

    def _pieces(self) -> Iterator[tuple[float, float, bool]]:
        """Start, end and whether it is convex, of every piece."""
        places = [-inf, *(end for joint in self.joints for end in joint), inf]
        convex = self.convex
        for start, end in zip(places[::2], places[1::2], strict=True):
            yield start, end, convex
            convex = not convex

    def _gaps(
        self,
        arithmetic: Arithmetic,
        slope: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        sign: int,
    ) -> Numbers:
        """For sign 1 at most ``f(x) - slope x`` on intervals, for -1 at least."""
        slope = np.broadcast_to(slope, lower.shape)
        # Where a convex piece touches its tangent of that slope: about, which is enough.
        touching = []
        for start, end, convex in self._pieces():
            first, last = np.clip(start, lower, upper), np.clip(end, lower, upper)
            bends = convex == (sign > 0)
            touching.append(self._touching(slope, first, last, bends_up=convex) if bends else first)
        before, flint.ctx.prec = flint.ctx.prec, _BITS
        try:
            found = np.empty(lower.shape, object)
            for place in np.ndindex(lower.shape):
                points = [float(t[place]) for t in touching]
                found[place] = self._least(
                    float(slope[place]), float(lower[place]), float(upper[place]), points, sign
                )
        finally:
            flint.ctx.prec = before
        signed = [None if value is None else sign * value for value in found.flat]
        for place, value in zip(np.ndindex(lower.shape), signed, strict=True):
            found[place] = value
        return self._known(arithmetic, found, -sign)

    def _least(
        self, slope: float, lower: float, upper: float, touching: list[float], sign: int
    ) -> fmpq | None:
        """At most ``sign * (f(x) - slope x)`` on one interval; None where nothing is known."""
        if not (isfinite(slope) and isfinite(lower) and isfinite(upper)):
            return None
        if not any(start <= lower and upper <= end for start, end in self.branches):
            return None
        s, gaps = arb(slope), []
        for (start, end, convex), touch in zip(self._pieces(), touching, strict=True):
            low, high = max(start, lower), min(end, upper)
            if low > high:
                continue
            if convex != (sign > 0) or low == high:
                gaps += [sign * (self.ball(arb(x)) - s * arb(x)) for x in (low, high)]
                continue
            kink = next(
                (k for k in self.kinks if low <= k <= high and abs(k - touch) < _NEAR), None
            )
            if kink is not None and self._is_between(s, *self.sides(kink)):
                # Every such line through the kink is a tangent.
                gaps.append(sign * (self.ball(arb(kink)) - s * arb(kink)))
                continue
            # A hair inside, where the derivative is that of the piece.
            touch = min(max(touch, nextafter(low, inf)), max(nextafter(high, -inf), low))
            value, steep = self.ball(arb(touch)), self.steepness(arb(touch))
            for x in (low, high):
                gaps.append(sign * (value + steep * (arb(x) - arb(touch)) - s * arb(x)))
        for start, end in self.joints:
            low, high = max(start, lower), min(end, upper)
            if low <= high:
                joint = arb(low).union(arb(high))
                gaps.append(sign * (self.ball(joint) - s * joint))
        found = [lower_end(gap) for gap in gaps]
        return None if any(end is None for end in found) else min(found)  # type: ignore[type-var]

    @staticmethod
    def _is_between(slope: arb, left: arb, right: arb) -> bool:
        """True where a slope is surely one of those at a kink: a ball of both may hold others."""
        return bool((left <= slope <= right) or (right <= slope <= left))

    def _touching(
        self, slope: np.ndarray, first: np.ndarray, last: np.ndarray, *, bends_up: bool
    ) -> np.ndarray:
        """About where the derivative is the slope between two numbers."""
        sign = 1 if bends_up else -1
        near, far = (
            np.array(end, np.float64) for end in np.broadcast_arrays(first, last, slope)[:2]
        )
        with np.errstate(all="ignore"):
            for _ in range(_BISECTIONS):
                middle = near / 2 + far / 2
                falls = sign * (self.derivative(middle) - slope) < 0
                near, far = np.where(falls, middle, near), np.where(falls, far, middle)
        return near / 2 + far / 2

    def _float32_error(self, error: float, lower: float, upper: float) -> float:
        low, high = lower - error, upper + error
        if not (isfinite(low) and isfinite(high)):
            return inf
        if not any(start <= low and high <= end for start, end in self.branches):
            return inf
        # The derivative is the steepest at an end or where pieces join.
        places = [arb(low), arb(high)]
        for start, end in self.joints:
            if start <= high and low <= end:
                places.append(arb(start).union(arb(end)))
        values = [self.ball(place) for place in places]
        steep = [self.steepness(place) for place in places]
        if not all(each.is_finite() for each in (*values, *steep)):
            return inf
        largest = max(float(value.abs_upper()) for value in values)
        moved = error * max(float(each.abs_upper()) for each in steep)
        # Between the ends and joints a value is beyond those there by less than 1.
        reach = largest + 1.0
        return (moved + gamma32(LIBRARY) * reach) * (1 + 2.0**-20) + TINY32


def lower_end(ball: arb) -> fmpq | None:
    """A number of some thousand digits at most that is not above a ball; None: there is none."""
    if not ball.is_finite():
        return None
    mantissa, exponent = ball.lower().man_exp()
    if mantissa != 0 and int(exponent) + mantissa.bit_length() > _FARTHEST:
        return None
    if mantissa != 0 and int(exponent) + mantissa.bit_length() < -_FARTHEST:
        return fmpq(0) if mantissa > 0 else -(fmpq(1, 2) ** _FARTHEST)
    return ends(ball)[0]
