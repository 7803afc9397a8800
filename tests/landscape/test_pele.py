"""pele, with which Wang et al. searched, as a reference: the same minima, the same saddles."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from sensverify.landscape import Database, Energy, Search, Settings, explore
from tests.landscape.energies import MUELLER_BROWN, xor
from tests.landscape.test_known_landscapes import SMALL

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    potentials = pytest.importorskip("pele.potentials", reason="the package pele is not installed")
    from pele.optimize import lbfgs_py
    from pele.transition_states import findTransitionState

NEAR = 1e-6
"""Of an energy, to be that of the same point."""


class Potential(potentials.BasePotential):  # type: ignore[misc, name-defined]
    """An energy of ours as pele asks for one."""

    def __init__(self, energy: Energy) -> None:
        self._energy = energy

    def getEnergy(self, coords: np.ndarray) -> float:
        return float(self._energy.value(torch.tensor(coords)[None])[0])

    def getEnergyGradient(self, coords: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self._energy.gradient(torch.tensor(coords)[None])
        return float(value[0]), gradient[0].numpy()

    def getGradient(self, coords: np.ndarray) -> np.ndarray:
        return self.getEnergyGradient(coords)[1]


def quench(energy: Energy, start: np.ndarray) -> Any:
    return lbfgs_py(start, Potential(energy), tol=1e-9, nsteps=20_000)


def climb(energy: Energy, start: np.ndarray) -> Any:
    # No direction is known beforehand along which nothing changes.
    return findTransitionState(start, Potential(energy), tol=1e-8, orthogZeroEigs=None, iprint=0)


XOR = xor()
LANDSCAPES: dict[str, tuple[Energy, Settings]] = {
    "Mueller-Brown": (MUELLER_BROWN, SMALL),
    "XOR": (XOR, Settings(search=Search(starts=8, batch=8, rounds=1, climbs=4))),
}


@pytest.fixture(scope="module", params=LANDSCAPES)
def searched(request: pytest.FixtureRequest) -> tuple[Energy, Database]:
    energy, settings = LANDSCAPES[request.param]
    return energy, explore(energy, settings)


def away(weights: np.ndarray, generator: np.random.Generator, far: float = 1e-2) -> np.ndarray:
    return weights + far * generator.standard_normal(weights.shape)


def test_every_minimum_is_one_of_theirs(searched: tuple[Energy, Database]) -> None:
    energy, database = searched
    generator = np.random.default_rng(0)
    for point in database.minima:
        found = quench(energy, away(point.weights, generator))
        assert found.success
        assert found.energy == pytest.approx(point.energy, abs=NEAR)


def test_every_saddle_is_one_of_theirs(searched: tuple[Energy, Database]) -> None:
    energy, database = searched
    generator = np.random.default_rng(1)
    assert database.saddles
    for point in database.saddles:
        found = climb(energy, away(point.weights, generator, 1e-3))
        assert found.success
        assert found.eigenval < 0
        assert found.energy == pytest.approx(point.energy, abs=NEAR)


def test_their_minima_are_ours(searched: tuple[Energy, Database]) -> None:
    energy, database = searched
    ours = np.array([point.energy for point in database.minima])
    for start in energy.starts(4, torch.Generator().manual_seed(7)).numpy():
        found = quench(energy, start)
        assert found.success
        assert np.abs(ours - found.energy).min() < NEAR
