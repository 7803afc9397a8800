"""Radii by name and as they are typed."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from sensverify.attacks import GRIDS, parse_radii
from sensverify.core.numbers import RangeShare
from sensverify.errors import BadSetting


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_ascends_and_says_where_it_is_from(name) -> None:
    grid = GRIDS[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert all(low < high for low, high in pairwise(grid.radii))
    assert grid.radii[0] > 0
    assert grid.source
    assert parse_radii(name) == grid.radii


def test_the_grids_of_the_sources() -> None:
    in_pixels = {
        name: [round(255 * radius, 6) for radius in grid.radii] for name, grid in GRIDS.items()
    }
    assert in_pixels["architectures-fgsm"] == [0.1, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 255]
    assert in_pixels["architectures"] == [0.1, 0.5, 1, 2, 3, 4, 8]
    assert in_pixels["measures-study"] == [2, 5, 8]
    assert GRIDS["m-tlat"].radii == (0.04, 0.08)
    assert GRIDS["wong-kolter"].radii == (0.1,)
    assert GRIDS["mnist"].radii == (0.05, 0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1", (0.1,)),
        ("0.3, 0.1,0.1", (0.1, 0.3)),
        ("8/255,2/255", (2 / 255, 8 / 255)),
        ("0", (0.0,)),
        ("-0", (0.0,)),
        ("1e-3", (0.001,)),
        (".5/2", (0.25,)),
        ("mnist,0.4", (0.05, 0.1, 0.2, 0.3, 0.4)),
        ("measures-study,2/255", (2 / 255, 5 / 255, 8 / 255)),
    ],
)
def test_what_is_typed(text, expected) -> None:
    found = parse_radii(text)
    assert found == expected
    assert all(str(radius)[0] != "-" for radius in found)


@pytest.mark.parametrize("text", ["", "0.1,", "one", "1/0", "1/2/3", "8/", "/255", "0.1 0.2"])
def test_what_is_no_radius(text) -> None:
    with pytest.raises(BadSetting, match="is no number, no fraction"):
        parse_radii(text)


@pytest.mark.parametrize("text", ["-0.1", "nan", "inf", "1,-1/2", "1e400", "1/-2"])
def test_what_no_radius_can_be(text) -> None:
    with pytest.raises(BadSetting, match="finite number of at least 0"):
        parse_radii(text)


def test_a_misspelt_grid_gets_a_hint() -> None:
    with pytest.raises(BadSetting, match="did you mean 'mnist'"):
        parse_radii("0.1,minst")


def test_percentages_are_of_the_datas_own_range_unless_they_are_shares() -> None:
    assert parse_radii("5%, 0.1, 1%, 5%") == (0.1, RangeShare(0.01), RangeShare(0.05))
    assert parse_radii("5%, 0.01", shares=True) == (0.01, 0.05)
    with pytest.raises(BadSetting, match="finite number of at least 0"):
        parse_radii("-5%")
