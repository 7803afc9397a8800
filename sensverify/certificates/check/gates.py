"""Numbers times a share of their own, as certificates know them: GELU and its like."""

from __future__ import annotations

from math import erf, inf, nextafter, pi, sqrt
from typing import Any

import numpy as np
from flint import arb, fmpq

from sensverify.certificates.check.curved import Curved
from sensverify.certificates.check.enclosure import Enclosure
from sensverify.network.operators import Gelu, HardSwish, Mish, Operator, Silu, TanhGelu

FAR = 1000.0
"""Where a share is 0 or 1 up to less than ``exp(-1000)``."""


def _around(x: float) -> tuple[float, float]:
    """A bracket of a root that was rounded to the nearest float."""
    return nextafter(x, -inf), nextafter(x, inf)


def share_of(x: arb) -> arb:
    """``1 / (1 + exp(-x))``, without an exponential of a large number."""
    if x < -FAR:
        return arb(0).union(arb(-FAR).exp())
    if x > FAR:
        return 1 - arb(0).union(arb(-FAR).exp())
    return 1 / (1 + (-x).exp())


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 + 0.5 * np.tanh(x / 2))


class _Gelu(Curved):
    joints = (_around(-sqrt(2)), _around(sqrt(2)))
    convex = False

    def ball(self, x: arb) -> arb:
        return x * (-x / arb(2).sqrt()).erfc() / 2

    def steepness(self, x: arb) -> arb:
        density = (-x * x / 2).exp() / (2 * arb.pi()).sqrt()
        return (-x / arb(2).sqrt()).erfc() / 2 + x * density

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(0.5 * x * (1 + _erf(x / sqrt(2))))

    def derivative(self, x: np.ndarray) -> np.ndarray:
        density = np.exp(-x * x / 2) / sqrt(2 * pi)
        return np.asarray(0.5 * (1 + _erf(x / sqrt(2))) + np.clip(x, -40, 40) * density)


_erf: Any = np.vectorize(erf, otypes=[np.float64])


class _TanhGelu(Curved):
    joints = (_around(-1.4185040087908283), _around(1.4185040087908283))
    convex = False

    @staticmethod
    def _cubic() -> arb:
        """The number as it is written, and as floats hold it."""
        return arb(fmpq(44715, 1000000)).union(arb(0.044715))

    def _inner(self, x: arb) -> arb:
        return 2 * (2 / arb.pi()).sqrt() * (x + self._cubic() * x**3)

    def ball(self, x: arb) -> arb:
        return x * share_of(self._inner(x))

    def steepness(self, x: arb) -> arb:
        share = share_of(self._inner(x))
        rise = 2 * (2 / arb.pi()).sqrt() * (1 + 3 * self._cubic() * x * x)
        return share + x * share * (1 - share) * rise

    def value(self, x: np.ndarray) -> np.ndarray:
        near = np.clip(x, -30, 30)
        return x * _sigmoid(2 * sqrt(2 / pi) * (near + 0.044715 * near**3))

    def derivative(self, x: np.ndarray) -> np.ndarray:
        near = np.clip(x, -30, 30)
        share = _sigmoid(2 * sqrt(2 / pi) * (near + 0.044715 * near**3))
        rise = 2 * sqrt(2 / pi) * (1 + 3 * 0.044715 * near**2)
        return share + near * share * (1 - share) * rise


class _Silu(Curved):
    joints = (_around(-2.3993572805154675), _around(2.3993572805154675))
    convex = False

    def ball(self, x: arb) -> arb:
        return x * share_of(x)

    def steepness(self, x: arb) -> arb:
        share = share_of(x)
        return share * (1 + x * (1 - share))

    def value(self, x: np.ndarray) -> np.ndarray:
        return x * _sigmoid(x)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        share = _sigmoid(x)
        return share * (1 + x * (1 - share))


class _Mish(Curved):
    joints = (_around(-2.256376396360793), _around(1.4905711794854284))
    convex = False

    @staticmethod
    def _tanh(x: arb) -> arb:
        if x > FAR:
            return 1 - arb(0).union(arb(-FAR).exp())
        # tanh(log(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2)
        power = arb(0).union(arb(-FAR).exp()) if x < -FAR else x.exp()
        square = power * power + 2 * power
        return square / (square + 2)

    def ball(self, x: arb) -> arb:
        return x * self._tanh(x)

    def steepness(self, x: arb) -> arb:
        share = self._tanh(x)
        return share + x * (1 - share * share) * share_of(x)

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x * np.tanh(np.logaddexp(0, x)))

    def derivative(self, x: np.ndarray) -> np.ndarray:
        share = np.tanh(np.logaddexp(0, x))
        return np.asarray(share + x * (1 - share * share) * _sigmoid(x))


class _HardSwish(Curved):
    joints = ((-3.0, -3.0), (3.0, 3.0))
    convex = False

    def ball(self, x: arb) -> arb:
        if x <= -3:
            return arb(0)
        return x if x >= 3 else x * (x + 3) / 6

    def steepness(self, x: arb) -> arb:
        if x < -3:
            return arb(0)
        if x > 3:
            return arb(1)
        inside = x / 3 + arb(1) / 2
        if x == -3:
            return inside.union(arb(0))
        return inside.union(arb(1)) if x == 3 else inside

    def value(self, x: np.ndarray) -> np.ndarray:
        return x * np.clip(x / 6 + 0.5, 0, 1)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return np.where(x < -3, 0.0, np.where(x > 3, 1.0, x / 3 + 0.5))


GATES: dict[type[Operator], type[Enclosure]] = {
    Gelu: _Gelu,
    HardSwish: _HardSwish,
    Mish: _Mish,
    Silu: _Silu,
    TanhGelu: _TanhGelu,
}
