"""Functions that are constant between jumps, as certificates know them.

At a jump every value from one side to the other counts as attained, so lines hold on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor, inf, isfinite

import numpy as np
from flint import fmpq

from sensverify.certificates.check.arithmetic import Arithmetic, Numbers, rational
from sensverify.certificates.check.enclosure import Enclosure, Lines, Slopes
from sensverify.network.operators import Ceil, Floor, Heaviside, Operator, Round, Sign

_STEEPEST = 8.0
"""Of slopes by rule."""

_HALF = Fraction(1, 2)


class _Steps(Enclosure):
    """A function that never falls."""

    height = 1.0
    spacing = inf

    def first(self, x: Fraction) -> Fraction | None:
        """The least place of a jump that is not below x."""
        raise NotImplementedError

    def last(self, x: Fraction) -> Fraction | None:
        """The largest place of a jump that is not above x."""
        raise NotImplementedError

    def below(self, x: Fraction) -> int:
        """The limit from the left."""
        raise NotImplementedError

    def above(self, x: Fraction) -> int:
        """The limit from the right."""
        raise NotImplementedError

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return np.zeros_like(x)

    def candidates(self, lower: np.ndarray, upper: np.ndarray) -> Sequence[np.ndarray]:
        return [np.zeros_like(lower), np.minimum(1.0, self.chord_slopes(lower, upper))]

    def extremes(
        self, lower: np.ndarray, upper: np.ndarray, slope: np.ndarray
    ) -> Sequence[np.ndarray]:
        return [lower, upper]

    def chord_slopes(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        return np.minimum(super().chord_slopes(lower, upper), _STEEPEST)

    def lines(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray, slopes: Slopes
    ) -> Lines:
        low = self._gaps(arithmetic, slopes[0], lower, upper, 1)
        high = self._gaps(arithmetic, slopes[1], lower, upper, -1)
        return Lines(arithmetic.numbers(slopes[0]), low, arithmetic.numbers(slopes[1]), high)

    def _gaps(
        self,
        arithmetic: Arithmetic,
        slope: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        sign: int,
    ) -> Numbers:
        slope = np.broadcast_to(slope, lower.shape)
        known = np.isfinite(lower) & np.isfinite(upper) & np.isfinite(slope)
        found = np.full(lower.shape, fmpq(0), object)
        for place in map(tuple, np.argwhere(known)):
            found[place] = self._gap(
                float(slope[place]), float(lower[place]), float(upper[place]), sign
            )
        numbers = arithmetic.rationals(found, -sign)
        return numbers if known.all() else np.where(known, numbers, np.nan)

    def _gap(self, slope: float, lower: float, upper: float, sign: int) -> fmpq:
        """The least, or for sign -1 the largest, gap: at an end, or at the outermost jumps.

        From one jump to the next it changes by the same amount.
        """
        low, high = Fraction(lower), Fraction(upper)
        places = [low, high]
        places += [
            x for x in (self.first(low), self.last(high)) if x is not None and low <= x <= high
        ]
        s, side = rational(slope), self.below if sign > 0 else self.above
        gaps = [fmpq(side(x)) - s * fmpq(x.numerator, x.denominator) for x in places]
        return min(gaps) if sign > 0 else max(gaps)

    def float32_error_within(
        self, error: np.ndarray, lower: np.ndarray, upper: np.ndarray
    ) -> np.ndarray:
        return np.asarray(np.frompyfunc(self._float32_error, 3, 1)(error, lower, upper), np.float64)

    def _float32_error(self, error: float, lower: float, upper: float) -> float:
        """Zero where no jump is near, else all jumps that lie between the two numbers."""
        if not (isfinite(error) and isfinite(lower) and isfinite(upper)):
            return inf
        off = Fraction(error)
        jump = self.first(Fraction(lower) - off)
        if jump is None or jump > Fraction(upper) + off:
            return 0.0
        return (floor(error / self.spacing) + 2) * self.height


class _Floor(_Steps):
    spacing = 1.0

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.floor(x)

    def first(self, x: Fraction) -> Fraction:
        return Fraction(ceil(x))

    def last(self, x: Fraction) -> Fraction:
        return Fraction(floor(x))

    def below(self, x: Fraction) -> int:
        return ceil(x) - 1

    def above(self, x: Fraction) -> int:
        return floor(x)


class _Ceil(_Floor):
    def value(self, x: np.ndarray) -> np.ndarray:
        return np.ceil(x)

    def below(self, x: Fraction) -> int:
        return ceil(x)

    def above(self, x: Fraction) -> int:
        return floor(x) + 1


class _Round(_Steps):
    spacing = 1.0

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.round(x)

    def first(self, x: Fraction) -> Fraction:
        return ceil(x - _HALF) + _HALF

    def last(self, x: Fraction) -> Fraction:
        return floor(x - _HALF) + _HALF

    def below(self, x: Fraction) -> int:
        return ceil(x - _HALF)

    def above(self, x: Fraction) -> int:
        return floor(x + _HALF)


class _Sign(_Steps):
    least, height = -1, 2.0

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.sign(x)

    def first(self, x: Fraction) -> Fraction | None:
        return Fraction(0) if x <= 0 else None

    def last(self, x: Fraction) -> Fraction | None:
        return Fraction(0) if x >= 0 else None

    def below(self, x: Fraction) -> int:
        return 1 if x > 0 else self.least

    def above(self, x: Fraction) -> int:
        return self.least if x < 0 else 1


class _Heaviside(_Sign):
    least, height = 0, 1.0

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, 1.0, 0.0)


STEPS: dict[type[Operator], type[Enclosure]] = {
    Ceil: _Ceil,
    Floor: _Floor,
    Heaviside: _Heaviside,
    Round: _Round,
    Sign: _Sign,
}
