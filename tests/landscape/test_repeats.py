"""Minima whose networks are one with ReLU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sensverify.landscape.network_energy import NetworkEnergy
from sensverify.landscape.points import ReluEnd, StationaryPoint
from sensverify.landscape.repeats import repeats
from sensverify.landscape.request import LandscapeRequest

REQUEST = LandscapeRequest(data="iris", model="mlp-6-6", standardise=True, relu=True)
SPLIT = REQUEST.split()
RELU = REQUEST.relu_energy(SPLIT)
SMOOTH = REQUEST.energy(split=SPLIT)
INPUTS = np.asarray(SPLIT.train.x, dtype=np.float64)


def minimum(key: str, weights: np.ndarray, energy: float | None = None) -> StationaryPoint:
    value = float(RELU.value(torch.tensor(weights)[None])[0]) if energy is None else energy
    end = ReluEnd(weights, value, 0.0, 0.0, 1e-3, 1, True)
    return StationaryPoint(
        weights=weights,
        energy=value,
        gradient_norm=0.0,
        spectrum=np.ones(len(weights)),
        negative=0,
        zero=0,
        zero_tolerance=1e-9,
        relu=end,
        key=key,
    )


@pytest.fixture
def weights() -> np.ndarray:
    return RELU.starts(1, torch.Generator().manual_seed(5))[0].numpy()


def exchanged(weights: np.ndarray) -> np.ndarray:
    """The same network, its neurons in another order."""
    drawn = SMOOTH.symmetry.drawn(torch.tensor(weights), torch.Generator().manual_seed(2))
    assert not np.allclose(drawn.numpy(), weights)
    return drawn.numpy()


def found(relu: NetworkEnergy, *points: StationaryPoint) -> dict[str, str]:
    return repeats(points, relu, INPUTS)


def test_a_network_whose_neurons_are_exchanged_is_the_same(weights: np.ndarray) -> None:
    first, again = minimum("m1", weights), minimum("m2", exchanged(weights) + 1e-9)
    third = minimum("m3", weights + 1e-10)
    assert found(RELU, first, again, third) == {"m2": "m1", "m3": "m1"}


def test_others_are_others(weights: np.ndarray) -> None:
    first = minimum("m1", weights)
    # Other outputs, though the energy is made out to be the same; and another energy.
    moved = minimum("m2", weights + 0.05, first.final_energy)
    above = minimum("m3", weights, first.final_energy + 1e-4)
    assert found(RELU, first, moved, above) == {}


def test_minima_that_were_not_continued_are_left_alone(weights: np.ndarray) -> None:
    points = [replace(minimum(key, weights), relu=None) for key in ("m1", "m2")]
    assert found(RELU, *points) == {}
