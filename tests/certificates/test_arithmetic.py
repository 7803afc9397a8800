"""Roundings go the right way: bounds on errors, ends of intervals, sums of products."""

from __future__ import annotations

from fractions import Fraction
from math import inf, nextafter

import flint
import numpy as np
import pytest
from flint import arb, fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.certificates.check.arithmetic import (
    LONGEST,
    Exact,
    Rigorous,
    above,
    below,
    ends,
    rational,
)
from sensverify.errors import BadSetting
from tests.contracts.networks import random_generators

LARGEST = float(np.finfo(np.float64).max)
TINIEST = 5e-324

fractions = st.builds(
    lambda p, q, shift: fmpq(p, q) * fmpq(2) ** shift,
    st.integers(-(10**40), 10**40),
    st.integers(1, 10**40),
    st.one_of(st.just(0), st.integers(-1200, 1200)),
)


def fraction(value: float) -> Fraction:
    return Fraction(float(value))


def wild(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers of every size, and zeros; their products overflow as a rule not."""
    kind = rng.integers(0, 4, shape)
    powers = np.where(kind == 0, rng.integers(-540, -500, shape), rng.integers(-30, 31, shape))
    values = rng.normal(size=shape) * 2.0**powers
    return np.where(kind == 3, rng.choice([0.0, 1.0, TINIEST, -TINIEST, 2.0**400], shape), values)


@given(st.one_of(fractions, st.floats(allow_nan=False, allow_infinity=False).map(rational)))
@settings(max_examples=500)
def test_rationals_are_rounded_to_the_next_number(value: fmpq) -> None:
    low, high = below(value), above(value)
    assert low == -inf or rational(low) <= value
    assert high == inf or rational(high) >= value
    # and to no other one
    more, less = nextafter(low, inf), nextafter(high, -inf)
    assert more == inf or rational(more) > value
    assert less == -inf or rational(less) < value


@pytest.mark.parametrize("sign", [-1, 1])
def test_rationals_beyond_all_numbers_are_rounded_to_infinity_or_the_last(sign: int) -> None:
    for value in (fmpq(2) ** 1024, fmpq(2) ** 5000, rational(LARGEST) + fmpq(1, 10**9)):
        expected = (LARGEST, inf) if sign > 0 else (-inf, -LARGEST)
        assert (below(sign * value), above(sign * value)) == expected
    for value in (fmpq(1, 2) ** 1080, fmpq(1, 2) ** 5000):
        expected = (0.0, TINIEST) if sign > 0 else (-TINIEST, 0.0)
        assert (below(sign * value), above(sign * value)) == expected


@given(fractions, st.integers(2, 300))
def test_ends_of_balls_hold_what_the_ball_holds(value: fmpq, precision: int) -> None:
    before, flint.ctx.prec = flint.ctx.prec, precision
    try:
        low, high = ends(arb(value))
        root = ends(arb(abs(value)).sqrt())
    finally:
        flint.ctx.prec = before
    assert low <= value <= high
    assert root[0] <= 0 or root[0] * root[0] <= abs(value)
    assert root[1] * root[1] >= abs(value)


def test_the_error_of_a_sum_is_not_less_than_its_formula() -> None:
    rigorous, unit = Rigorous(), Fraction(1, 2**53)
    for terms in (0, 1, 2, 3, 1000, 12345, 10**6, LONGEST - 1):
        formula = terms * unit / (1 - terms * unit)
        found = rigorous.gamma(terms)
        assert formula <= fraction(rigorous.raised(found))
        assert fraction(found) <= formula * (1 + 4 * unit)
    assert Exact().gamma(5) == 0
    for arithmetic in (rigorous, Exact()):
        with pytest.raises(BadSetting):
            arithmetic.gamma(LONGEST)


@given(random_generators(), st.integers(1, 3000))
@settings(max_examples=40)
def test_what_is_summed_up_is_raised_above_the_sum(rng: np.random.Generator, terms: int) -> None:
    values = abs(wild(rng, terms))
    total = sum(map(fraction, values))
    rigorous = Rigorous()
    assert fraction(rigorous.raised(values.sum())) >= total
    assert fraction(rigorous.raised(np.cumsum(values)[-1])) >= total
    # What underflow takes from one product with each
    assert fraction(rigorous.floor(values)) >= (1 + total) * terms * Fraction(1, 2**1075)


@given(random_generators())
@settings(max_examples=60)
def test_errors_of_products_are_bounded(rng: np.random.Generator) -> None:
    rows, inner, columns = rng.integers(1, [4, 60, 4])
    first, second = wild(rng, rows, inner), wild(rng, inner, columns)
    rigorous = Rigorous()
    found = rigorous.matmul(first, second)
    sizes = abs(first) @ abs(second)
    bound = rigorous.raised(rigorous.gamma(int(inner)) * sizes)
    for i in range(rows):
        floor = fraction(rigorous.floor(abs(first[i])))
        for j in range(columns):
            pairs = zip(first[i], second[:, j], strict=True)
            exact = sum(fraction(a) * fraction(b) for a, b in pairs)
            assert abs(fraction(found[i, j]) - exact) <= fraction(bound[i, j]) + floor


@given(random_generators())
@settings(max_examples=30)
def test_rational_products_are_those_of_fractions(rng: np.random.Generator) -> None:
    cells, rows, inner, columns = rng.integers(0, 4, 4)
    first, second = wild(rng, cells, rows, inner), wild(rng, inner, columns)
    exact = Exact()
    found = exact.matmul(exact.numbers(first), exact.numbers(second))
    assert found.shape == (cells, rows, columns)
    for (cell, i, j), value in np.ndenumerate(found):
        pairs = zip(first[cell, i], second[:, j], strict=True)
        expected = sum((fraction(a) * fraction(b) for a, b in pairs), Fraction(0))
        assert Fraction(int(value.p), int(value.q)) == expected
    if columns:
        vector = exact.matmul(exact.numbers(first), exact.numbers(second[:, 0]))
        assert (vector == found[..., 0]).all()


@given(random_generators())
def test_numbers_survive_both_ways(rng: np.random.Generator) -> None:
    values = wild(rng, 3, 4)
    for arithmetic in (Exact(), Rigorous()):
        numbers = arithmetic.numbers(values)
        for end in (-1, 1):
            assert (arithmetic.floats(numbers, end) == values).all()
    third = np.array([fmpq(1, 3)], object)
    for end, holds in ((-1, below(fmpq(1, 3))), (1, above(fmpq(1, 3)))):
        assert Exact().floats(third, end)[0] == holds
        assert Rigorous().rationals(third, end)[0] == holds
    assert Exact().rationals(third, 1)[0] == fmpq(1, 3)
