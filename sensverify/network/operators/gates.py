"""Numbers times a share of their own between 0 and 1: they fall, then rise.

Inflections without a formula are roots of the second derivative, found with 40 digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

from sensverify.network.operators.base import Smooth, Values

_CUBIC = 0.044715
"""Of Hendrycks and Gimpel 2016, *Gaussian error linear units*, Section 2."""


@dataclass(frozen=True, eq=False)
class Gelu(Smooth):
    """``x`` times the normal distribution function of x."""

    convex = False
    inflections = (-sqrt(2), sqrt(2))

    def value(self, x: Values, xp: Any) -> Values:
        return 0.5 * x * xp.erfc(-x / sqrt(2))

    def derivative(self, x: Values, xp: Any) -> Values:
        density = xp.exp(-0.5 * x * x) / sqrt(2 * pi)
        # Far out the density is zero, and x may have no finite square.
        return 0.5 * xp.erfc(-x / sqrt(2)) + xp.clip(x, -40.0, 40.0) * density


@dataclass(frozen=True, eq=False)
class TanhGelu(Smooth):
    """``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``: GELU as it is approximated."""

    convex = False
    inflections = (-1.4185040087908283, 1.4185040087908283)

    @staticmethod
    def _share(x: Any, xp: Any) -> tuple[Any, Any]:
        """The share, and the derivative of what it is the sigmoid of."""
        # Far out the share is 0 or 1.
        x = xp.clip(x, -30.0, 30.0)
        twice = 2 * sqrt(2 / pi)
        return xp.sigmoid(twice * (x + _CUBIC * x**3)), twice * (1 + 3 * _CUBIC * x * x)

    def value(self, x: Values, xp: Any) -> Values:
        return x * self._share(x, xp)[0]

    def derivative(self, x: Values, xp: Any) -> Values:
        share, rise = self._share(x, xp)
        return share + xp.clip(x, -30.0, 30.0) * share * (1 - share) * rise


@dataclass(frozen=True, eq=False)
class Silu(Smooth):
    """``x * sigmoid(x)``."""

    convex = False
    inflections = (-2.3993572805154675, 2.3993572805154675)

    def value(self, x: Values, xp: Any) -> Values:
        return x * xp.sigmoid(x)

    def derivative(self, x: Values, xp: Any) -> Values:
        share = xp.sigmoid(x)
        return share * (1 + x * (1 - share))


@dataclass(frozen=True, eq=False)
class Mish(Smooth):
    """``x * tanh(log(1 + exp(x)))``."""

    convex = False
    inflections = (-2.256376396360793, 1.4905711794854284)

    @staticmethod
    def _share(x: Any, xp: Any) -> Any:
        return xp.tanh(xp.relu(x) + xp.log1p(xp.exp(-xp.abs(x))))

    def value(self, x: Values, xp: Any) -> Values:
        return x * self._share(x, xp)

    def derivative(self, x: Values, xp: Any) -> Values:
        share = self._share(x, xp)
        return share + x * (1 - share * share) * xp.sigmoid(x)


@dataclass(frozen=True, eq=False)
class HardSwish(Smooth):
    """``x * min(max(x / 6 + 1/2, 0), 1)``."""

    convex = False
    inflections = (-3.0, 3.0)
    kinks = (-3.0, 3.0)

    def value(self, x: Values, xp: Any) -> Values:
        return x * xp.clip(x / 6 + 0.5, 0.0, 1.0)

    def derivative(self, x: Values, xp: Any) -> Values:
        inside = x / 3 + 0.5
        return xp.where(x < -3, xp.zeros_like(x), xp.where(x > 3, xp.ones_like(x), inside))
