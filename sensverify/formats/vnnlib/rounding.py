"""Rounding of exact rational numbers to float64, in a chosen direction."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, inf, lcm, nextafter


def rounded_down(value: Fraction, *, strict: bool = False) -> float:
    """The largest float64 that is at most a number; below it where ``strict``."""
    # Division of integers rounds to the nearest.
    nearest = value.numerator / value.denominator
    top, bottom = nearest.as_integer_ratio()
    left, right = top * value.denominator, value.numerator * bottom
    # Adding zero turns a negative zero into zero.
    above = left > right or (strict and left == right)
    return nextafter(nearest, -inf) if above else nearest + 0.0


def rounded_up(value: Fraction, *, strict: bool = False) -> float:
    """The smallest float64 that is at least a number; above it where ``strict``."""
    return -rounded_down(-value, strict=strict) + 0.0


def float_row(factors: Sequence[Fraction], limit: Fraction) -> tuple[list[float], float]:
    """Float64 numbers for ``factors · y <= limit``.

    Where float64 does not hold the factors, a multiple of the constraint is taken whose factors it
    does hold (``0.1 y <= 0.3`` becomes ``y <= 3``). Where there is none, the factors are rounded
    to the nearest, which errs by no more than the evaluation of the row in float64 does. The limit
    is rounded up, so that what meets the exact constraint meets the one returned.
    """
    scale = Fraction(1)
    if not _all_held(factors):
        scale = Fraction(
            lcm(*(factor.denominator for factor in factors)),
            gcd(*(factor.numerator for factor in factors)),
        )
        if not _all_held([*(scale * factor for factor in factors), _power(scale * limit)]):
            scale = Fraction(1)
    return [float(scale * factor) for factor in factors], rounded_up(scale * limit)


def _power(value: Fraction) -> Fraction:
    """A power of two that is as large as a number: float64 holds it if it has the range."""
    return Fraction(2) ** (abs(value.numerator) // value.denominator).bit_length()


def _all_held(values: Sequence[Fraction]) -> bool:
    try:
        return all(Fraction(float(value)) == value for value in values)
    except OverflowError:
        return False
