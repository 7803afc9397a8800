"""The XOR network of the landscape literature: one hidden layer of tanh, with a penalty."""

from __future__ import annotations

import pytest
import torch

from sensverify.landscape import Database, Search, Settings, explore
from sensverify.landscape.points import StationaryPoint
from sensverify.landscape.search import from_starts
from tests.landscape.energies import xor
from tests.landscape.laws import check_laws

ENERGY = xor()
SETTINGS = Settings(search=Search(starts=8, batch=8, rounds=1, climbs=4))


@pytest.fixture(scope="module")
def database() -> Database:
    return explore(ENERGY, SETTINGS)


def test_minima_are_few_and_the_lowest_solves_xor(database: Database) -> None:
    energies = [point.energy for point in database.minima]
    # With two hidden neurons: one network that solves it, and some that do not.
    assert 2 <= len(energies) <= 6
    module = ENERGY.with_weights(database.minima[0].weights)
    assert module(ENERGY.inputs).argmax(dim=1).tolist() == [0, 1, 1, 0]
    top = ENERGY.with_weights(database.minima[-1].weights)
    assert top(ENERGY.inputs).argmax(dim=1).tolist() != [0, 1, 1, 0]


def test_saddles_have_one_way_down_on_each_side(database: Database) -> None:
    assert database.saddles
    for link in database.links:
        saddle = database.points[link.saddle]
        assert saddle.negative == 1
        assert saddle.spectrum[0] < -saddle.zero_tolerance
        assert all(database.points[key].energy < saddle.energy for key in link.minima)


def test_laws_hold_of_a_network(database: Database) -> None:
    check_laws(ENERGY, database)


def test_exchanged_and_turned_neurons_are_one_entry(database: Database) -> None:
    generator = torch.Generator().manual_seed(3)
    before = len(database.points)
    for point in (*database.minima, *database.saddles):
        equal = ENERGY.symmetry.drawn(torch.tensor(point.weights), generator).numpy()
        values = {name: getattr(point, name) for name in StationaryPoint.__dataclass_fields__}
        assert database.identify(StationaryPoint(**{**values, "weights": equal})) == point.key
    assert len(database.points) == before


def test_without_l2_flat_directions_are_counted() -> None:
    energy = xor(l2=0.0)
    starts = energy.starts(2, torch.Generator().manual_seed(0))
    found = from_starts(energy, starts, SETTINGS)
    # Weights grow for ever, or there are flat directions: nothing is a plain minimum.
    assert found.lost or all(point.zero for point in found.points)
