"""Numbers as people write them."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from sensverify.core.numbers import RangeShare, parse_number, parse_radius, parse_share
from sensverify.errors import BadBox, BadSetting


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.1", 0.1), ("8/255", 8 / 255), (" 8 / 255 ", 8 / 255), ("-inf", -inf), ("1e-3", 1e-3)],
)
def test_numbers_and_fractions(text: str, value: float) -> None:
    assert parse_number(text) == parse_share(text) == parse_radius(text) == value


def test_percentages() -> None:
    assert parse_share("5%") == parse_share(" 5 % ") == 0.05
    assert parse_share("1/2%") == 0.005
    assert parse_radius("5%") == RangeShare(0.05)
    assert str(RangeShare(0.05)) == "5%"


def test_files() -> None:
    assert parse_radius("some/radii.npy") == Path("some/radii.npy")


@pytest.mark.parametrize("text", ["", "x", "1/0", "1/2/3", "8/", "%", "5%%", "1e400/1e400x"])
def test_what_is_no_number(text: str) -> None:
    for parse in (parse_share, parse_radius):
        with pytest.raises(BadSetting):
            parse(text)


@pytest.mark.parametrize("text", ["-1%", "nan%", "inf%"])
def test_what_no_share_of_a_range_can_be(text: str) -> None:
    with pytest.raises(BadBox):
        parse_radius(text)


def test_a_share_is_of_the_first_finite_range() -> None:
    assert RangeShare(0.5).of(None, (0.0, inf), (1.0, 5.0), (0.0, 1.0), data="d") == 2.0
    with pytest.raises(BadSetting) as caught:
        RangeShare(0.5).of(None, (-inf, inf), data="d")
    assert "sigma" in str(caught.value.remedy)
