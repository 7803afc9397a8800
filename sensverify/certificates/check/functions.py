"""The nonlinear functions that certificates know, each as the checker itself knows it.

`ENCLOSURES` is all of them. One more is a class here, and its line in that table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
from flint import arb

from sensverify.certificates.check.arithmetic import (
    FLOOR,
    SMALL,
    TINY32,
    UNIT32,
    Arithmetic,
    Numbers,
    Rigorous,
    gamma32,
    widened,
)
from sensverify.certificates.check.enclosure import Enclosure, Lines, Make, Slopes
from sensverify.certificates.check.increments import Increments
from sensverify.certificates.check.maximum import Maximum
from sensverify.certificates.check.product import TwoNumbers
from sensverify.certificates.check.s_shaped import SShaped
from sensverify.certificates.check.shares import Shares
from sensverify.certificates.check.smooth import SMOOTH
from sensverify.certificates.check.steps import STEPS
from sensverify.errors import MissingRule
from sensverify.network.operators import (
    Abs,
    Clip,
    Increment,
    LeakyRelu,
    Max,
    Operator,
    Product,
    Relu,
    Share,
    Sigmoid,
    Tanh,
)


class Piecewise(Enclosure):
    """A function that is linear between kinks, with slopes of at most 1: extremes are there."""

    kinks: Sequence[float] = (0.0,)
    pieces: Sequence[float] = (0.0, 1.0)
    """Slopes, some of them."""

    def apply(self, x: Numbers, numbers: Make) -> Numbers:
        """f of numbers; where floating-point ones are rounded, `error` says by how much."""
        raise NotImplementedError

    def error(self, x: np.ndarray) -> np.ndarray:
        """A bound on what `apply` rounds."""
        return np.zeros(x.shape)

    def value(self, x: np.ndarray) -> np.ndarray:
        return self.apply(x, np.asarray)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, 1.0, 0.0)

    def candidates(self, lower: np.ndarray, upper: np.ndarray) -> Sequence[np.ndarray]:
        return [np.asarray(slope) for slope in self.pieces]

    def extremes(
        self, lower: np.ndarray, upper: np.ndarray, slope: np.ndarray
    ) -> Sequence[np.ndarray]:
        return [lower, upper, *(np.clip(kink, lower, upper) for kink in self.kinks)]

    def lines(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray, slopes: Slopes
    ) -> Lines:
        below, above = (arithmetic.numbers(part) for part in slopes)
        places = [lower, upper]
        places += [np.where((lower < k) & (k < upper), k, lower) for k in self.kinks]
        least, most = [], []
        for place in places:
            x = arithmetic.numbers(place)
            value, error = self.apply(x, arithmetic.numbers), self.error(place)
            least.append(_gap(arithmetic, x, value, error, below))
            most.append(_gap(arithmetic, x, -value, error, -above))
        return Lines(below, np.minimum.reduce(least), above, -np.minimum.reduce(most))

    def float32_error(self, error: np.ndarray, reached: np.ndarray) -> np.ndarray:
        return error

    @property
    def kinks_at(self) -> list[float]:  # type: ignore[override]
        return list(self.kinks)

    @property
    def steps(self) -> Sequence[Any]:
        """The slopes of all pieces from left to right."""
        return self.pieces

    @property
    def steepest_of_all(self) -> Any:
        return reduce(np.maximum, [abs(np.asarray(step)) for step in self.steps])

    def plainly(self, x: Numbers, numbers: Make) -> Numbers:
        return self.apply(x, numbers)

    def secants(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray
    ) -> tuple[Numbers, Numbers]:
        """Slopes of the pieces that intervals reach into; of all on a point at a kink."""
        steps = [np.broadcast_to(np.asarray(s, np.float64), lower.shape) for s in self.steps]
        ends = pairwise((-np.inf, *self.kinks, np.inf))
        reached = np.stack([(upper > start) & (lower < end) for start, end in ends])
        reached |= ~reached.any(axis=0)
        least = np.where(reached, steps, np.inf).min(axis=0)
        most = np.where(reached, steps, -np.inf).max(axis=0)
        return arithmetic.numbers(least), arithmetic.numbers(most)


def _gap(
    arithmetic: Arithmetic, x: Numbers, value: Numbers, error: Numbers, slope: Numbers
) -> Numbers:
    """At most ``f(x) - slope x``, where the value is that far from f(x) at most."""
    product = slope * x
    gap = value - product
    if arithmetic.unit:
        lost = _underflow(product) * ((slope != 0) & (x != 0))
        # Three times: the product, the difference, and taking the error off.
        gap = gap - 3 * (arithmetic.unit * (abs(gap) + abs(product)) + error + lost)
    return gap


def _underflow(product: np.ndarray) -> np.ndarray:
    return np.where(abs(product) < SMALL, FLOOR, 0.0)


class _Relu(Piecewise):
    def apply(self, x: Numbers, numbers: Make) -> Numbers:
        return np.maximum(x, 0)


class _Abs(Piecewise):
    pieces = (-1.0, 1.0)

    def apply(self, x: Numbers, numbers: Make) -> Numbers:
        return abs(x)


class _LeakyRelu(Piecewise):
    """Slopes of any size, by entry."""

    def __init__(self, operator: LeakyRelu, shape: tuple[int, ...]) -> None:
        super().__init__(operator, shape)
        self.slope = widened(operator.slope, shape)

    @property
    def steps(self) -> Sequence[Any]:
        return self.slope, 1.0

    def apply(self, x: Numbers, numbers: Make) -> Numbers:
        return np.where(x > 0, x, x * numbers(self.slope))

    def error(self, x: np.ndarray) -> np.ndarray:
        product = x * self.slope
        return np.where(x > 0, 0.0, Rigorous.unit * abs(product) + _underflow(product))

    def candidates(self, lower: np.ndarray, upper: np.ndarray) -> Sequence[np.ndarray]:
        return [self.slope, np.asarray(1.0)]

    def float32_error(self, error: np.ndarray, reached: np.ndarray) -> np.ndarray:
        steep = np.maximum(1.0, abs(self.slope))
        rounded = gamma32(2) * steep * reached + TINY32 * (1 + reached)
        return steep * error * (1 + gamma32(2)) + rounded


class _Clip(Piecewise):
    """Ends may be infinite, or in the wrong order."""

    def __init__(self, operator: Clip, shape: tuple[int, ...]) -> None:
        super().__init__(operator, shape)
        self.kinks = [end for end in (operator.low, operator.high) if np.isfinite(end)]
        self._ordered = operator.low <= operator.high

    @property
    def steps(self) -> Sequence[Any]:
        if not self._ordered:
            # The one value that is left.
            return [0.0] * (len(self.kinks) + 1)
        first = [0.0] if np.isfinite(self.operator.low) else []
        return [*first, 1.0, *([0.0] if np.isfinite(self.operator.high) else [])]

    def apply(self, x: Numbers, numbers: Make) -> Numbers:
        for end, nearest in ((self.operator.low, np.maximum), (self.operator.high, np.minimum)):
            if np.isfinite(end):
                x = nearest(x, numbers(end)[()])
        return x

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x, self.operator.low, self.operator.high)

    def candidates(self, lower: np.ndarray, upper: np.ndarray) -> Sequence[np.ndarray]:
        found = list(super().candidates(lower, upper))
        low, high = self.operator.low, self.operator.high
        if np.isfinite(rise := high - low):
            for run in (upper - low, high - lower):
                found.append(np.where(run > rise, rise / np.maximum(run, max(rise, 1e-300)), 1.0))
        return found

    def float32_error(self, error: np.ndarray, reached: np.ndarray) -> np.ndarray:
        # The ends are rounded, too.
        return error + UNIT32 * max(map(abs, self.kinks), default=0.0) + TINY32


class _Sigmoid(SShaped):
    bottom, steepest, spread = 0.0, 0.25, 2.0

    def ball(self, x: arb) -> arb:
        return 1 / (1 + (-x).exp())

    def value(self, x: np.ndarray) -> np.ndarray:
        return 0.5 + 0.5 * np.tanh(x / 2)

    def slope_at(self, value: Numbers) -> Numbers:
        return value * (1 - value)

    def inverse(self, root: np.ndarray) -> np.ndarray:
        return np.log((1 + root) / (1 - root))


class _Tanh(SShaped):
    bottom, steepest, spread = -1.0, 1.0, 1.0

    def ball(self, x: arb) -> arb:
        return x.tanh()

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)

    def slope_at(self, value: Numbers) -> Numbers:
        return 1 - value * value

    def inverse(self, root: np.ndarray) -> np.ndarray:
        return np.arctanh(root)


class _Increment(Increments):
    def __init__(self, operator: Increment, shape: tuple[int, ...]) -> None:
        kind = type(operator.function)
        known = ENCLOSURES.get(kind, Enclosure)
        if known.secants is Enclosure.secants:
            raise MissingRule(f"certificates do not know the increment of {kind.__name__}")
        super().__init__(operator, shape, known(operator.function, shape[:-1]))


ENCLOSURES: dict[type[Operator], type[Enclosure]] = {
    Abs: _Abs,
    Clip: _Clip,
    Increment: _Increment,
    LeakyRelu: _LeakyRelu,
    Max: Maximum,
    Product: TwoNumbers,
    Relu: _Relu,
    Share: Shares,
    Sigmoid: _Sigmoid,
    Tanh: _Tanh,
    **SMOOTH,
    **STEPS,
}
