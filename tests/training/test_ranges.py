"""Numbers that fit an option."""

from __future__ import annotations

import math

import pytest

from sensverify.training.ranges import LARGEST, Range


@pytest.mark.parametrize("value", [0, 0.5, 1, True])
def test_ends_belong_to_it(value: object) -> None:
    assert (value in Range(0, 1)) == (value is not True)
    assert (value in Range(0, 1, above=True)) == (value is not True and value != 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, -(10**400), "1", None])
def test_what_is_no_number_of_float32(value: object) -> None:
    assert value not in Range(-LARGEST)


def test_it_says_what_it_holds() -> None:
    assert str(Range(0, 1)) == "from 0 to 1"
    assert str(Range(0, above=True)) == "above 0 and up to 1e+30"
