"""Functions of one number that are curved to one side between inflections."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

from sensverify.network.operators.base import Smooth, Values, above_zero


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
class Atan(Smooth):
    """The arc tangent."""

    convex = True
    inflections = (0.0,)
    rising = True
    odd = True

    def value(self, x: Values, xp: Any) -> Values:
        return xp.atan(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        return xp.reciprocal(1 + x * x)

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        point = xp.sqrt(xp.clip(1 / above_zero(slope, xp) - 1, 0.0, None))
        return [point, -point]


@dataclass(frozen=True, eq=False)
class Erf(Smooth):
    """The error function."""

    convex = True
    inflections = (0.0,)
    rising = True
    odd = True

    def value(self, x: Values, xp: Any) -> Values:
        return xp.erf(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        return 2 / sqrt(pi) * xp.exp(-x * x)

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        share = xp.clip(above_zero(slope, xp) * (sqrt(pi) / 2), None, 1.0)
        point = xp.sqrt(-xp.log(share))
        return [point, -point]


@dataclass(frozen=True, eq=False)
class Softsign(Smooth):
    """``x / (1 + |x|)``."""

    convex = True
    inflections = (0.0,)
    rising = True
    odd = True

    def value(self, x: Values, xp: Any) -> Values:
        return x / (1 + xp.abs(x))

    def derivative(self, x: Values, xp: Any) -> Values:
        return xp.reciprocal((1 + xp.abs(x)) ** 2)

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        point = xp.clip(1 / xp.sqrt(above_zero(slope, xp)) - 1, 0.0, None)
        return [point, -point]


@dataclass(frozen=True, eq=False)
class Softplus(Smooth):
    """``log(1 + exp(beta * x)) / beta``, beta above 0."""

    beta: float = 1.0

    convex = True
    rising = True

    def value(self, x: Values, xp: Any) -> Values:
        return xp.relu(x) + xp.log1p(xp.exp(-xp.abs(self.beta * x))) / self.beta

    def derivative(self, x: Values, xp: Any) -> Values:
        return xp.sigmoid(self.beta * x)

    def tangents(self, slope: Values, xp: Any) -> list[Values]:
        unit = xp.finfo(slope.dtype).eps / 2
        share = xp.clip(slope, unit, 1 - unit)
        return [xp.log(share / (1 - share)) / self.beta]


@dataclass(frozen=True, eq=False)
class Elu(Smooth):
    """``x`` above zero, ``alpha * (exp(rate * x) - 1)`` below; covers CELU and SELU. Rate > 0."""

    alpha: float = 1.0
    rate: float = 1.0

    @property
    def _steep(self) -> float:
        """The derivative on the left of zero."""
        return self.alpha * self.rate

    @property
    def convex(self) -> bool:
        return self.alpha >= 0

    @property
    def inflections(self) -> tuple[float, ...]:  # type: ignore[override]
        return () if 0 <= self._steep <= 1 else (0.0,)

    @property
    def kinks(self) -> tuple[float, ...]:  # type: ignore[override]
        return () if self._steep == 1 else (0.0,)

    @property
    def rising(self) -> bool | None:  # type: ignore[override]
        return True if self.alpha >= 0 else None

    def value(self, x: Values, xp: Any) -> Values:
        return xp.where(x > 0, x, self.alpha * xp.expm1(self.rate * xp.clip(x, None, 0.0)))

    def derivative(self, x: Values, xp: Any) -> Values:
        below = self._steep * xp.exp(self.rate * xp.clip(x, None, 0.0))
        return xp.where(x > 0, xp.ones_like(x), below)
