"""Energies whose stationary points are known: all are found, and paths lead to the right minima."""

from __future__ import annotations

import numpy as np
import pytest

from sensverify.landscape import Database, Search, Settings, explore
from sensverify.landscape.minimise import Lbfgs
from sensverify.landscape.paths import Descent
from sensverify.landscape.saddles import Climb
from tests.landscape.energies import (
    MINIMA_OF_MUELLER_BROWN,
    MUELLER_BROWN,
    SADDLES_OF_MUELLER_BROWN,
    WELLS,
)
from tests.landscape.laws import check_laws

SMALL = Settings(
    search=Search(starts=12, rounds=2, climbs=12, batch=12),
    descent=Lbfgs(longest=0.1),
    climb=Climb(longest=0.05, first=0.05, tolerance=1e-2),
    path=Descent(longest=0.05, near=1e-2),
)


@pytest.fixture(scope="module")
def wells() -> Database:
    return explore(WELLS, SMALL)


@pytest.fixture(scope="module")
def mueller_brown() -> Database:
    return explore(MUELLER_BROWN, SMALL)


def test_all_points_of_the_wells_are_found(wells: Database) -> None:
    minima = {tuple(point.weights.round(6) + 0.0) for point in wells.minima}
    saddles = {tuple(point.weights.round(6) + 0.0) for point in wells.saddles}
    assert minima == {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    assert saddles == {(0, 1), (0, -1), (1, 0), (-1, 0)}


def test_curvatures_of_the_wells_are_those_of_the_formula(wells: Database) -> None:
    for point in wells.minima:
        np.testing.assert_allclose(point.spectrum, [8, 8], rtol=1e-6)
        assert point.log_volume == pytest.approx(-np.log(8))
    for point in wells.saddles:
        np.testing.assert_allclose(point.spectrum, [-4, 8], rtol=1e-6)


def test_a_saddle_of_the_wells_links_the_minima_beside_it(wells: Database) -> None:
    assert len(wells.links) == 4
    for link in wells.links:
        first, second = (wells.points[key].weights for key in link.minima)
        middle = wells.points[link.saddle].weights
        np.testing.assert_allclose((first + second) / 2, middle, atol=1e-6)
        for path in link.paths:
            # From the saddle straight to the minimum, a distance of 1.
            assert path.lengths[-1] == pytest.approx(1, rel=1e-3)


def test_mueller_and_browns_points_are_found(mueller_brown: Database) -> None:
    for points, known in (
        (mueller_brown.minima, MINIMA_OF_MUELLER_BROWN),
        (mueller_brown.saddles, SADDLES_OF_MUELLER_BROWN),
    ):
        assert len(points) == len(known)
        for point in points:
            at = min(known, key=lambda each: float(np.abs(point.weights - each).max()))
            np.testing.assert_allclose(point.weights, at, atol=6e-4)
            assert point.energy == pytest.approx(known[at], abs=6e-4)


def test_mueller_and_browns_saddles_link_the_minima_in_a_row(mueller_brown: Database) -> None:
    by_energy = {round(point.energy): point.key for point in mueller_brown.points.values()}
    links = {link.saddle: set(link.minima) for link in mueller_brown.links}
    assert links == {
        by_energy[-41]: {by_energy[-147], by_energy[-81]},
        by_energy[-72]: {by_energy[-81], by_energy[-108]},
    }


def test_laws_of_every_database(wells: Database, mueller_brown: Database) -> None:
    check_laws(WELLS, wells)
    check_laws(MUELLER_BROWN, mueller_brown)


def test_the_same_search_finds_the_same(wells: Database) -> None:
    again = explore(WELLS, SMALL)
    assert again.points.keys() == wells.points.keys()
    for key, point in again.points.items():
        assert np.array_equal(point.weights, wells.points[key].weights)
