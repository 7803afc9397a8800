"""What is one entry of a database and what is two, and which minima are begun at next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sensverify.errors import BadSetting, InputError
from sensverify.landscape import Alike, Database, DescentPath, StationaryPoint
from sensverify.landscape.rows import Found, FoundLink
from sensverify.landscape.symmetry import NONE, Symmetry
from tests.landscape.energies import xor

SYMMETRY = xor().symmetry
SIZE = xor().size
PATH = DescentPath(np.array([0.0, 1.0]), np.array([1.0, 0.5]))


def point(
    seed: int, energy: float = 0.5, *, negative: int = 0, turn: float = 0.0
) -> StationaryPoint:
    draws = np.random.default_rng(seed)
    spectrum = np.linspace(1.0, 3.0, SIZE) * (1 + turn)
    spectrum[:negative] = -1.0
    return StationaryPoint(
        weights=draws.normal(size=SIZE),
        energy=energy,
        gradient_norm=1e-12,
        spectrum=spectrum,
        negative=negative,
        zero=0,
        zero_tolerance=1e-9,
    )


def keys(
    *points: StationaryPoint, alike: Alike | None = None, symmetry: Symmetry = SYMMETRY
) -> list[str]:
    database = Database(symmetry, alike or Alike())
    return [database.identify(each) for each in points]


def test_points_of_one_form_are_one_though_their_eigenvalues_differ_by_rounding() -> None:
    first = point(1)
    equal = SYMMETRY.drawn(torch.tensor(first.weights), torch.Generator().manual_seed(0)).numpy()
    again = replace(point(1, 0.5 + 1e-11, turn=1e-3), weights=equal)
    assert keys(first, again) == ["m1", "m1"]


def test_points_of_other_energies_are_two_whatever_their_form() -> None:
    assert keys(point(1), point(1, 0.5 + 1e-7)) == ["m1", "m2"]
    assert keys(point(1), point(1, 0.5 + 1e-7), alike=Alike(energy=1e-6)) == ["m1", "m1"]


def test_points_of_other_forms_are_told_by_their_eigenvalues() -> None:
    assert keys(point(1), point(2)) == ["m1", "m1"]
    assert keys(point(1), point(2, turn=1e-4)) == ["m1", "m2"]
    # Where nothing can change places, forms alone tell.
    assert keys(point(1), point(2), symmetry=NONE) == ["m1", "m2"]


def test_minima_and_saddles_are_apart_and_other_indices_are_refused() -> None:
    assert keys(point(1), point(1, negative=1), point(3, 0.7)) == ["m1", "s1", "m2"]
    with pytest.raises(InputError, match="index 2"):
        keys(point(1, negative=2))


def test_who_comes_by_again_is_counted_and_the_first_stays() -> None:
    database = Database(SYMMETRY)
    for each in (point(1), point(2, 0.4), replace(point(1), gradient_norm=0.0)):
        database.identify(each)
    assert database.seen == {"m1": 2, "m2": 1}
    assert [each.key for each in database.minima] == ["m2", "m1"]
    assert database.points["m1"].gradient_norm == 1e-12


@pytest.fixture
def chain() -> Database:
    """m1 - m2 - m3 and m4 alone, from the lowest on; one saddle leads from m4 to itself."""
    database = Database(SYMMETRY)
    minima = [point(at, 0.1 * at) for at in (1, 2, 3, 4)]
    saddles = [point(10 + at, 1.0 + at, negative=1) for at in range(3)]
    ends = [(0, 1), (1, 2), (3, 3)]
    links = [FoundLink(4 + at, each, (PATH, PATH)) for at, each in enumerate(ends)]
    database.add(Found("climbs", (*minima, *saddles), tuple(links)))
    return database


def test_the_least_connected_come_first_then_who_was_tried_less_then_who_is_lower(
    chain: Database,
) -> None:
    assert chain.neighbours() == {"m1": {"m2"}, "m2": {"m1", "m3"}, "m3": {"m2"}, "m4": set()}
    assert chain.least_connected(9, {}) == ("m4", "m1", "m3", "m2")
    assert chain.least_connected(2, {}) == ("m4", "m1")
    assert chain.least_connected(9, {"m4": 2, "m1": 1}) == ("m3", "m1", "m2", "m4")


def test_a_saddle_that_is_found_again_keeps_its_first_link(chain: Database) -> None:
    again = (point(4, 0.4), point(1, 0.1), point(10, 1.0, negative=1))
    chain.add(Found("more", again, (FoundLink(2, (0, 1), (PATH, PATH)),)))
    assert {each.saddle: each.minima for each in chain.links} == {
        "s1": ("m1", "m2"),
        "s2": ("m2", "m3"),
        "s3": ("m4", "m4"),
    }


def test_the_nearest_are_by_canonical_form(chain: Database) -> None:
    forms = {
        each.key: SYMMETRY.canonical(torch.tensor(each.weights)).numpy() for each in chain.minima
    }
    apart = {key: np.linalg.norm(form - forms["m2"]) for key, form in forms.items() if key != "m2"}
    assert list(chain.nearest("m2")) == sorted(apart, key=lambda key: apart[key])


@pytest.mark.parametrize("name", ["energy", "form", "spectrum"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_tolerances_that_cannot_be(name: str, value: float) -> None:
    with pytest.raises(BadSetting, match=f"`{name}`"):
        Alike(**{name: value})
