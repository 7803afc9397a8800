"""Ranges of numbers."""

from __future__ import annotations

import math

import pytest

from sensverify.registry.ranges import Range


@pytest.mark.parametrize("value", [0, 0.5, 1, True])
def test_ends_belong_to_it(value: object) -> None:
    assert (value in Range(0, 1)) == (value is not True)
    assert (value in Range(0, 1, above=True)) == (value is not True and value != 0)


def test_ends_that_do_not_belong_to_it_and_infinity_that_does() -> None:
    assert 1 not in Range(0, 1, below=True)
    assert 0 in Range(0, 1, below=True)
    assert math.inf in Range(0, infinite=True)
    assert -math.inf not in Range(0, infinite=True)
    assert math.nan not in Range(0, infinite=True)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, 1j, [1]])
def test_what_is_no_finite_number(value: object) -> None:
    assert value not in Range(-math.inf)


def test_long_whole_numbers_are_compared_exactly() -> None:
    assert 10**400 not in Range(-1e30, 1e30)
    assert -(10**400) not in Range(-1e30, 1e30)
    assert 2**63 - 1 in Range(0, 2**63 - 1)
    assert 2**63 not in Range(0, 2**63 - 1)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (Range(0, 1), "from 0 to 1"),
        (Range(0, 1e30, above=True), "above 0 and up to 1e+30"),
        (Range(1), "of at least 1"),
        (Range(0, above=True), "above 0"),
        (Range(0, 1, below=True), "from 0 to below 1"),
        (Range(0, 1, above=True, below=True), "above 0 and below 1"),
        (Range(0, infinite=True), "of at least 0"),
        (Range(0, 2**63 - 1), "from 0 to 9223372036854775807"),
    ],
)
def test_it_says_what_it_holds(numbers: Range, text: str) -> None:
    assert str(numbers) == text
