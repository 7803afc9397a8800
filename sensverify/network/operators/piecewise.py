"""Functions of one number that are linear between kinks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sensverify.core.box import Array
from sensverify.network.operators.base import PiecewiseLinear, Values


@dataclass(frozen=True, eq=False)
class Relu(PiecewiseLinear):
    """``max(x, 0)``."""

    kinks = (0.0,)
    slopes = (0.0, 1.0)

    def value(self, x: Values, xp: Any) -> Values:
        return xp.relu(x)


@dataclass(frozen=True, eq=False)
class LeakyRelu(PiecewiseLinear):
    """``x`` above zero and ``slope * x`` below; ``slope`` broadcasts to x and may be any number.

    Covers PReLU.
    """

    slope: Array

    kinks = (0.0,)

    @property
    def slopes(self) -> tuple[Any, ...]:
        return (self.slope, 1.0)

    def value(self, x: Values, xp: Any) -> Values:
        return xp.where(x >= 0, x, self.slope * x)


@dataclass(frozen=True, eq=False)
class Clip(PiecewiseLinear):
    """``min(max(x, low), high)``; an end may be infinite. Covers HardTanh and ReLU6."""

    low: float
    high: float

    slopes = (0.0, 1.0, 0.0)

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.low, self.high)

    def value(self, x: Values, xp: Any) -> Values:
        return xp.clip(x, self.low, self.high)


@dataclass(frozen=True, eq=False)
class Abs(PiecewiseLinear):
    """``|x|``."""

    kinks = (0.0,)
    slopes = (-1.0, 1.0)

    def value(self, x: Values, xp: Any) -> Values:
        return xp.abs(x)
