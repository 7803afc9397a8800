"""Decimal numbers that float64 does not hold are never rounded towards a wrong answer."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensverify.formats.vnnlib import parse_property
from sensverify.formats.vnnlib.rounding import float_row, rounded_down, rounded_up

ONE = "(declare-const X_0 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)"

fractions = st.one_of(
    st.fractions(),
    st.floats(allow_nan=False, allow_infinity=False, width=64).map(Fraction),
    st.decimals(allow_nan=False, allow_infinity=False, places=20).map(Fraction),
).filter(lambda value: abs(value) < 2**1023)


@given(fractions)
def test_rounding_is_in_its_direction_and_no_further(value: Fraction) -> None:
    below, above = rounded_down(value), rounded_up(value)
    assert Fraction(below) <= value <= Fraction(above)
    assert Fraction(math.nextafter(below, math.inf)) > value
    assert Fraction(math.nextafter(above, -math.inf)) < value
    assert (below == above) == (Fraction(float(value)) == value)


@given(fractions)
def test_strict_rounding_leaves_the_number_out(value: Fraction) -> None:
    below, above = rounded_down(value, strict=True), rounded_up(value, strict=True)
    assert Fraction(below) < value < Fraction(above)
    assert Fraction(math.nextafter(below, math.inf)) >= value
    assert Fraction(math.nextafter(above, -math.inf)) <= value


@pytest.mark.parametrize("value", ["0.1", "0.3", "0.679857769", "1e-400", "-1e-400", "123456789.1"])
def test_the_box_is_rounded_outward_and_the_witness_inward(value: str) -> None:
    (case,) = parse_property(f"{ONE}(assert (>= X_0 {value}))(assert (<= X_0 200000000.1))").cases
    exact = Fraction(value)
    assert Fraction(case.query.box.lower[0, 0]) <= exact < Fraction(case.lower[0])
    assert Fraction(case.query.box.upper[0, 0]) > Fraction("200000000.1") > Fraction(case.upper[0])


def test_a_point_that_float64_does_not_hold() -> None:
    (case,) = parse_property(f"{ONE}(assert (= X_0 0.1))").cases
    assert Fraction(case.query.box.lower[0, 0]) < Fraction("0.1")
    assert case.query.box.upper[0, 0] == 0.1
    # No float64 number is 0.1: the nearest one stands for it, as when a float was printed.
    assert case.lower[0] == case.upper[0] == 0.1


def test_an_interval_between_two_floats() -> None:
    ends = "(assert (>= X_0 0.10000000000000001))(assert (<= X_0 0.100000000000000012))"
    (case,) = parse_property(f"{ONE}{ends}").cases
    below, above = case.query.box.lower[0, 0], case.query.box.upper[0, 0]
    assert above == math.nextafter(below, 1)
    assert below <= case.lower[0] <= case.upper[0] <= above


def test_an_open_interval_without_a_float_has_no_witness() -> None:
    (case,) = parse_property(f"{ONE}(assert (> X_0 0))(assert (< X_0 1e-400))").cases
    assert case.query.box.lower[0, 0] == 0
    assert case.lower[0] > case.upper[0]


def test_strict_bounds_leave_their_ends_to_no_witness() -> None:
    (case,) = parse_property(f"{ONE}(assert (> X_0 0))(assert (< X_0 1))").cases
    assert case.query.box.lower[0, 0] == 0
    assert case.query.box.upper[0, 0] == 1
    assert 0 < case.lower[0] < 1e-300
    assert case.upper[0] == math.nextafter(1, 0)


def test_of_equal_bounds_the_strict_one_counts() -> None:
    text = f"{ONE}(assert (>= X_0 0))(assert (<= X_0 1))(assert (< X_0 1.0))(assert (<= X_0 1))"
    (case,) = parse_property(text).cases
    assert case.upper[0] < 1


@pytest.mark.parametrize(
    ("constraint", "row", "limit"),
    [
        ("(<= (* 0.1 Y_0) 0.3)", [1, 0], 3),
        ("(<= (+ (* 0.2 Y_0) (* 0.4 Y_1)) 0.1)", [1, 2], 0.5),
        ("(<= (* 0.5 Y_0) 0.25)", [0.5, 0], 0.25),
        ("(<= (* 3e300 Y_0) 3e300)", [1, 0], 1),
    ],
)
def test_factors_are_scaled_where_that_makes_them_exact(
    constraint: str, row: list[float], limit: float
) -> None:
    (query,) = parse_property(f"{ONE}(assert (= X_0 0))(assert {constraint})").queries
    assert query.rows.tolist() == [row]
    assert query.limits.tolist() == [limit]


@given(st.lists(fractions.filter(bool), min_size=1, max_size=4), fractions)
def test_the_limit_is_never_rounded_down(factors: list[Fraction], limit: Fraction) -> None:
    row, end = float_row(factors, limit)
    assert np.isfinite([*row, end]).all()
    exact = [Fraction(value) for value in row]
    if exact[0] and all(
        a * factors[0] == b * exact[0] for a, b in zip(exact, factors, strict=True)
    ):
        assert Fraction(end) >= limit * exact[0] / factors[0]
    else:
        assert row == [float(factor) for factor in factors]
        assert Fraction(end) >= limit


def test_outputs_are_held_against_the_exact_numbers() -> None:
    (case,) = parse_property(f"{ONE}(assert (= X_0 0))(assert (<= Y_0 0.1))").cases
    # float64 rounds 0.1 up: the query is met, the file is not.
    output = np.array([0.1, 0.0])
    assert case.query.met_by(output[None])[0]
    assert not case.met_by(output)
    assert case.met_by(np.array([math.nextafter(0.1, 0), 0.0]))


def test_strict_constraints_and_alternatives_of_exact_outputs() -> None:
    text = f"{ONE}(assert (= X_0 0))(assert (or (< Y_0 Y_1) (and (> Y_0 1) (= Y_1 0.5))))"
    (case,) = parse_property(text).cases
    for output, met in [((0, 0), False), ((0, 1), True), ((2, 0.5), True), ((1, 0.5), False)]:
        assert case.met_by(np.array(output, dtype=np.float32)) is met
    for bad in (np.nan, np.inf, -np.inf):
        assert not case.met_by(np.array([bad, 3]))
        assert not case.met_by(np.array([0, bad]))
