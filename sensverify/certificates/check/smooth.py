"""Smooth functions that certificates know: their values and derivatives in balls and in floats."""

from __future__ import annotations

from math import inf

import numpy as np
from flint import arb

from sensverify.certificates.check.curved import Curved
from sensverify.certificates.check.enclosure import Enclosure
from sensverify.network.operators import Exp, Log, Operator, Reciprocal, Sqrt, Square

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


SMOOTH: dict[type[Operator], type[Enclosure]] = {
    Exp: _Exp,
    Log: _Log,
    Reciprocal: _Reciprocal,
    Sqrt: _Sqrt,
    Square: _Square,
}
