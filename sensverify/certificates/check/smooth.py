"""Smooth functions that certificates know: their values and derivatives in balls and in floats."""

from __future__ import annotations

from math import erf, inf, pi, sqrt
from typing import Any

import numpy as np
from flint import arb

from sensverify.certificates.check.curved import Curved
from sensverify.certificates.check.enclosure import Enclosure
from sensverify.certificates.check.gates import FAR, GATES, share_of
from sensverify.certificates.check.waves import WAVES
from sensverify.network.operators import (
    Atan,
    Elu,
    Erf,
    Exp,
    Log,
    Operator,
    Pow,
    Reciprocal,
    Softplus,
    Softsign,
    Sqrt,
    Square,
)

_ABOVE_ZERO = ((0.0, inf),)


class _Exp(Curved):
    def ball(self, x: arb) -> arb:
        return x.exp()

    def steepness(self, x: arb) -> arb:
        return x.exp()

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.exp(x)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return np.exp(x)


class _Log(Curved):
    convex = False
    branches = _ABOVE_ZERO

    def ball(self, x: arb) -> arb:
        return x.log()

    def steepness(self, x: arb) -> arb:
        return 1 / x

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.log(x)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return 1 / x


class _Sqrt(Curved):
    convex = False
    branches = _ABOVE_ZERO

    def ball(self, x: arb) -> arb:
        return x.sqrt()

    def steepness(self, x: arb) -> arb:
        return 1 / (2 * x.sqrt())

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.sqrt(x)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return 0.5 / np.sqrt(x)


class _Reciprocal(Curved):
    joints = ((0.0, 0.0),)
    convex = False
    branches = ((-inf, 0.0), (0.0, inf))

    def ball(self, x: arb) -> arb:
        return 1 / x

    def steepness(self, x: arb) -> arb:
        return -1 / (x * x)

    def value(self, x: np.ndarray) -> np.ndarray:
        return 1 / x

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return -1 / x**2


class _Square(Curved):
    def ball(self, x: arb) -> arb:
        return x * x

    def steepness(self, x: arb) -> arb:
        return 2 * x

    def value(self, x: np.ndarray) -> np.ndarray:
        return x * x

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return 2 * x


class _Pow(Curved):
    def __init__(self, operator: Pow, shape: tuple[int, ...]) -> None:
        super().__init__(operator, shape)
        p = self.exponent = float(operator.exponent)
        whole = p.is_integer()
        odd = whole and p % 2 == 1
        self.joints = ((0.0, 0.0),) if odd else ()
        self.convex = not odd and not 0 < p < 1
        if not whole:
            self.branches = _ABOVE_ZERO
        elif p < 0:
            self.branches = ((-inf, 0.0), (0.0, inf))

    def _power(self, x: arb, exponent: float) -> arb:
        if exponent.is_integer():
            return x ** int(exponent)
        return arb(0) if x == 0 and exponent > 0 else x ** arb(exponent)

    def ball(self, x: arb) -> arb:
        return self._power(x, self.exponent)

    def steepness(self, x: arb) -> arb:
        if self.exponent.is_integer():
            return int(self.exponent) * x ** int(self.exponent - 1)
        # Not by an exponent less one, which floats may round.
        whole = arb(self.exponent) - 1
        if x == 0:
            return arb(0) if self.exponent > 1 else 1 / arb(0)
        return arb(self.exponent) * x**whole

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.power(x, self.exponent)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return self.exponent * np.power(x, self.exponent - 1)


class _Atan(Curved):
    joints = ((0.0, 0.0),)

    def ball(self, x: arb) -> arb:
        return x.atan()

    def steepness(self, x: arb) -> arb:
        return 1 / (1 + x * x)

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.arctan(x)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return 1 / (1 + x * x)


class _Erf(Curved):
    joints = ((0.0, 0.0),)

    def ball(self, x: arb) -> arb:
        return x.erf()

    def steepness(self, x: arb) -> arb:
        return 2 / arb.pi().sqrt() * (-x * x).exp()

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(_erf(x), np.float64)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return 2 / sqrt(pi) * np.exp(-x * x)


_erf: Any = np.vectorize(erf, otypes=[np.float64])


class _Softsign(Curved):
    joints = ((0.0, 0.0),)

    def ball(self, x: arb) -> arb:
        return x / (1 + abs(x))

    def steepness(self, x: arb) -> arb:
        return 1 / (1 + abs(x)) ** 2

    def value(self, x: np.ndarray) -> np.ndarray:
        return x / (1 + abs(x))

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return 1 / (1 + abs(x)) ** 2


class _Softplus(Curved):
    def __init__(self, operator: Softplus, shape: tuple[int, ...]) -> None:
        super().__init__(operator, shape)
        self.beta = float(operator.beta)

    def ball(self, x: arb) -> arb:
        # The larger part apart, so that no exponential is large.
        large = x if x.mid() > 0 else arb(0)
        run = arb(self.beta) * abs(x)
        power = arb(0).union(arb(-FAR).exp()) if run > FAR else (-run).exp()
        return large + power.log1p() / arb(self.beta)

    def steepness(self, x: arb) -> arb:
        return share_of(arb(self.beta) * x)

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.logaddexp(0, self.beta * x) / self.beta

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return 0.5 + 0.5 * np.tanh(self.beta * x / 2)


class _Elu(Curved):
    def __init__(self, operator: Elu, shape: tuple[int, ...]) -> None:
        super().__init__(operator, shape)
        self.alpha, self.rate = float(operator.alpha), float(operator.rate)
        # What the derivative is left of zero, without rounding; on the right it is 1.
        steep = arb(self.alpha) * arb(self.rate)
        self.convex = self.alpha >= 0
        bent = self.convex and steep <= 1
        self.joints, self.kinks = ((), (0.0,)) if bent else (((0.0, 0.0),), ())

    def ball(self, x: arb) -> arb:
        return x if x >= 0 else arb(self.alpha) * (arb(self.rate) * x).expm1()

    def steepness(self, x: arb) -> arb:
        if x > 0:
            return arb(1)
        below = arb(self.alpha) * arb(self.rate) * (arb(self.rate) * x).exp()
        return below if x < 0 else below.union(arb(1))

    def sides(self, kink: float) -> tuple[arb, arb]:
        return arb(self.alpha) * arb(self.rate), arb(1)

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, self.alpha * np.expm1(self.rate * np.minimum(x, 0)))

    def derivative(self, x: np.ndarray) -> np.ndarray:
        below = self.alpha * self.rate * np.exp(self.rate * np.minimum(x, 0))
        return np.where(x > 0, 1.0, below)


SMOOTH: dict[type[Operator], type[Enclosure]] = {
    Atan: _Atan,
    Elu: _Elu,
    Erf: _Erf,
    Exp: _Exp,
    Log: _Log,
    Pow: _Pow,
    Reciprocal: _Reciprocal,
    Softplus: _Softplus,
    Softsign: _Softsign,
    Sqrt: _Sqrt,
    Square: _Square,
    **GATES,
    **WAVES,
}
