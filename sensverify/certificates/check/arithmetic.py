"""Two arithmetics that cannot round the wrong way.

`Exact` computes with rational numbers, in numpy arrays of objects. `Rigorous` computes in float64
and counts what rounding may have done: for rounding to nearest with the unit ``u = 2**-53``,

- one operation: ``|fl(x o y) - x o y| <= u |fl(x o y)|``, plus ``2**-1075`` where a product
  underflows;
- a sum of n products, in any order, with or without fused operations:
  ``|fl(a.b) - a.b| <= gamma(n) |a|.|b| + n 2**-1074``, ``gamma(n) = n u / (1 - n u)`` (Higham 2002,
  *Accuracy and stability of numerical algorithms*, Section 3.1).

What counts the errors is itself computed in float64, from numbers of one sign, so that it is wrong
by a factor of at most ``1 + 2**-20``, which `Arithmetic.raised` makes up for. Overflow ends as
infinity or NaN, which no comparison takes for a proof.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite, nextafter
from typing import Any

import flint
import numpy as np
from flint import arb, fmpq

from sensverify.errors import BackendFailure, BadSetting, MissingRule

Numbers = Any
"""A numpy array of float64, or of objects that are rational numbers."""

LONGEST = 1 << 30
"""Terms that one sum may have."""

FLOOR = 2.0**-1022
"""Times the magnitudes at hand: more than what underflow can take from `LONGEST` products."""

SMALL = 2.0**-960
"""Products below this may have lost digits to underflow."""

LEAST = 2.0**-1000
"""More than a product of an error and a magnitude can lose to underflow."""

UNIT32 = 2.0**-24
"""Half the distance from 1 to the next float32."""

TINY32 = 2.0**-149
"""The least positive float32."""


def gamma32(terms: int) -> float:
    """Relative error of a sum of that many products in float32, at most."""
    return 2 * terms * UNIT32 if terms * UNIT32 < 0.25 else inf


def widened(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Parameters broadcast to a shape, flat, in float64: a widening cast is exact."""
    array = np.asarray(values)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise MissingRule(f"certificates hold weights of up to 64 bits, got {array.dtype}")
    return np.broadcast_to(array.astype(np.float64), shape).reshape(-1)


def rational(value: float) -> fmpq:
    """The number that a finite float is."""
    return fmpq(*float(value).as_integer_ratio())


_rationals = np.frompyfunc(rational, 1, 1)


def below(value: fmpq) -> float:
    """The largest float64 that is at most a rational number."""
    return _beside(value, -inf, lambda near: rational(near) <= value)


def above(value: fmpq) -> float:
    """The smallest float64 that is at least a rational number."""
    return _beside(value, inf, lambda near: rational(near) >= value)


def ends(ball: arb) -> tuple[fmpq, fmpq]:
    """Both ends of a ball of real numbers, as they are."""
    return _exact(ball.lower()), _exact(ball.upper())


def _exact(value: arb) -> fmpq:
    mantissa, exponent = value.man_exp()
    power = fmpq(2) ** abs(int(exponent))
    return fmpq(mantissa) * power if exponent >= 0 else fmpq(mantissa) / power


def _beside(value: fmpq, end: float, holds: Callable[[float], bool]) -> float:
    value = fmpq(value)
    try:
        near = int(value.p) / int(value.q)
    except OverflowError:
        near = -end if (value > 0) == (end < 0) else end
    if isfinite(near) and holds(near):
        return near
    # Correctly rounded, so the next one holds; from infinity it is the largest finite one.
    return near if near == end else nextafter(near, end)


class Arithmetic:
    """Operations of the evaluator's numbers.

    Attributes
    ----------
    unit : float or int
        u, or 0 where nothing is rounded.
    """

    name: str
    unit: float

    def numbers(self, values: Any) -> Numbers:
        """Finite floats as numbers."""
        raise NotImplementedError

    def rationals(self, values: np.ndarray, end: int) -> Numbers:
        """Rationals as numbers: rounded down (``end`` -1) or up (1) where they must be."""
        raise NotImplementedError

    def floats(self, values: Numbers, end: int) -> np.ndarray:
        """Numbers as float64, rounded down (``end`` -1) or up (1)."""
        raise NotImplementedError

    def matmul(self, first: Numbers, second: Numbers) -> Numbers:
        """``first @ second``, with leading axes on ``first`` alone."""
        raise NotImplementedError

    def gamma(self, terms: int) -> float:
        """Relative error of a sum of that many products."""
        if not terms < LONGEST:
            raise BadSetting(f"a sum of {terms:,} terms is more than certificates can bound")
        return self.unit * terms / (1 - self.unit * terms) if self.unit else 0

    def raised(self, values: Numbers) -> Numbers:
        """Upper bounds on exact sums of numbers that are not negative, from the computed sums."""
        return values * (1 + 2.0**-20) if self.unit else values

    def floor(self, magnitudes: Numbers) -> Numbers:
        """More than underflow can take from products with these, summed along the last axis."""
        return FLOOR * (1 + magnitudes.sum(axis=-1)) if self.unit else 0


class Rigorous(Arithmetic):
    """float64, with error bounds."""

    name = "rigorous"
    unit = 2.0**-53

    def __init__(self) -> None:
        if not (np.full(2, 2.0**-1060) * 0.5 > 0).all():
            raise BackendFailure(
                "this process flushes denormal numbers to zero, which the error bounds of rigorous "
                "arithmetic do not allow for",
                "switch that off, or check with `arithmetic=exact`",
            )

    def numbers(self, values: Any) -> Numbers:
        return np.asarray(values, np.float64)

    def rationals(self, values: np.ndarray, end: int) -> Numbers:
        return np.frompyfunc(below if end < 0 else above, 1, 1)(values).astype(np.float64)

    def floats(self, values: Numbers, end: int) -> np.ndarray:
        return np.asarray(values, np.float64)

    def matmul(self, first: Numbers, second: Numbers) -> Numbers:
        return first @ second


class Exact(Arithmetic):
    """Rational numbers: slow, and exactly what the file means."""

    name = "exact"
    unit = 0

    def numbers(self, values: Any) -> Numbers:
        return np.asarray(_rationals(np.asarray(values, np.float64)), object)

    def rationals(self, values: np.ndarray, end: int) -> Numbers:
        return values

    def floats(self, values: Numbers, end: int) -> np.ndarray:
        rounded = np.frompyfunc(below if end < 0 else above, 1, 1)(values)
        return np.asarray(rounded).astype(np.float64)

    def matmul(self, first: Numbers, second: Numbers) -> Numbers:
        lead = first.shape[:-1]
        if 0 in first.shape or 0 in second.shape:
            return self.numbers(np.zeros((*lead, *second.shape[1:])))
        rows = flint.fmpq_mat(first.reshape(-1, first.shape[-1]).tolist())
        if second.ndim == 1:
            second = second[:, None]
            product = rows * flint.fmpq_mat(second.tolist())
            return np.array(product.entries(), object).reshape(lead)
        product = rows * flint.fmpq_mat(second.tolist())
        return np.array(product.entries(), object).reshape(*lead, second.shape[-1])


ARITHMETICS: dict[str, type[Arithmetic]] = {"rigorous": Rigorous, "exact": Exact}
