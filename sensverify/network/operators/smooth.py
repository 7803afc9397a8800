"""Functions of one number that are curved to one side between inflections."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from sensverify.network.operators.base import Smooth, Values


def _above_zero(slope: Any, xp: Any) -> Any:
    """Slopes, with the least normal number in place of those that no tangent has."""
    return xp.clip(slope, xp.finfo(slope.dtype).tiny, None)


@dataclass(frozen=True, eq=False)
class Sigmoid(Smooth):
    """``1 / (1 + exp(-x))``."""

    convex = True
    inflections = (0.0,)
    rising = True
    odd = True

    def value(self, x: Values, xp: Any) -> Values:
        return xp.sigmoid(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        value = xp.sigmoid(x)
        return value * (1 - value)


@dataclass(frozen=True, eq=False)
class Tanh(Smooth):
    """``tanh(x)``."""

    convex = True
    inflections = (0.0,)
    rising = True
    odd = True

    def value(self, x: Values, xp: Any) -> Values:
        return xp.tanh(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        return 1 - xp.tanh(x) ** 2


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
        return [xp.log(_above_zero(slope, xp))]


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
        return [1 / _above_zero(slope, xp)]


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
        return [(0.5 / _above_zero(slope, xp)) ** 2]


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
        point = 1 / xp.sqrt(_above_zero(-slope, xp))
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
