"""Elementary functions: exponentials, powers, waves."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, pi
from typing import Any

from sensverify.errors import BadSetting
from sensverify.network.operators.base import Periodic, Smooth, Values, above_zero


@dataclass(frozen=True, eq=False)
class Exp(Smooth):
    """``exp(x)``."""

    convex = True
    rising = True

    def value(self, x: Values, xp: Any) -> Values:
        return xp.exp(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        return xp.exp(x)

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        # Of a slope of 0 or less there is none: far to the left, where f rises least.
        return [xp.log(above_zero(slope, xp))]


@dataclass(frozen=True, eq=False)
class Log(Smooth):
    """The natural logarithm of numbers above 0."""

    convex = False
    rising = True
    branches = ((0.0, inf),)

    def value(self, x: Values, xp: Any) -> Values:
        return xp.log(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        return xp.reciprocal(x)

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        return [1 / above_zero(slope, xp)]


@dataclass(frozen=True, eq=False)
class Sqrt(Smooth):
    """The square root of numbers that are 0 or more."""

    convex = False
    rising = True
    branches = ((0.0, inf),)

    def value(self, x: Values, xp: Any) -> Values:
        return xp.sqrt(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        return 0.5 / xp.sqrt(x)

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        return [(0.5 / above_zero(slope, xp)) ** 2]


@dataclass(frozen=True, eq=False)
class Reciprocal(Smooth):
    """``1 / x`` of numbers of one sign."""

    convex = False
    inflections = (0.0,)
    rising = False
    odd = True
    branches = ((-inf, 0.0), (0.0, inf))

    def value(self, x: Values, xp: Any) -> Values:
        return xp.reciprocal(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        return -xp.reciprocal(x * x)

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        point = 1 / xp.sqrt(above_zero(-slope, xp))
        return [point, -point]


@dataclass(frozen=True, eq=False)
class Square(Smooth):
    """``x ** 2``."""

    convex = True

    def value(self, x: Values, xp: Any) -> Values:
        return x * x

    def derivative(self, x: Values, xp: Any) -> Values:
        return x + x

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        return [slope / 2]


@dataclass(frozen=True, eq=False)
class Pow(Smooth):
    """``x ** exponent`` for one constant exponent, neither 0 nor 1.

    Of numbers that are not negative where the exponent is no integer, and not 0 where it is
    negative.
    """

    exponent: float

    def __post_init__(self) -> None:
        if not isfinite(self.exponent) or self.exponent in (0.0, 1.0):
            raise BadSetting(
                f"no power has the exponent {self.exponent:g}",
                "a power of 1 is the number itself, one of 0 is 1",
            )

    @property
    def _whole(self) -> bool:
        return float(self.exponent).is_integer()

    @property
    def odd(self) -> bool:  # type: ignore[override]
        return self._whole and self.exponent % 2 == 1

    @property
    def convex(self) -> bool:
        return not self.odd and not 0 < self.exponent < 1

    @property
    def inflections(self) -> tuple[float, ...]:  # type: ignore[override]
        return (0.0,) if self.odd else ()

    @property
    def rising(self) -> bool | None:  # type: ignore[override]
        return None if self._whole and not self.odd else self.exponent > 0

    @property
    def branches(self) -> tuple[tuple[float, float], ...]:  # type: ignore[override]
        if not self._whole:
            return ((0.0, inf),)
        return ((-inf, 0.0), (0.0, inf)) if self.exponent < 0 else ((-inf, inf),)

    def value(self, x: Values, xp: Any) -> Values:
        return xp.pow(x, float(self.exponent))

    def derivative(self, x: Values, xp: Any) -> Values:
        return self.exponent * xp.pow(x, float(self.exponent - 1))

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        point = xp.pow(xp.abs(slope / self.exponent), 1 / (self.exponent - 1))
        return [point, -point]


@dataclass(frozen=True, eq=False)
class Sin(Periodic):
    """``sin(x)``."""

    period = 2 * pi
    extremes = (-1.0, 1.0)
    steepest = 1.0
    odd = True

    def value(self, x: Values, xp: Any) -> Values:
        return xp.sin(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        return xp.cos(x)

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        point = xp.acos(xp.clip(slope, -1.0, 1.0))
        return [point, -point]


@dataclass(frozen=True, eq=False)
class Cos(Periodic):
    """``cos(x)``."""

    period = 2 * pi
    extremes = (-1.0, 1.0)
    steepest = 1.0

    def value(self, x: Values, xp: Any) -> Values:
        return xp.cos(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        return -xp.sin(x)

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        point = xp.asin(xp.clip(slope, -1.0, 1.0))
        return [-point, point + pi]
