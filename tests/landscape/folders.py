"""Folders of landscapes whose points are made by hand, so that nothing has to be searched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sensverify.landscape.database import Database
from sensverify.landscape.folder import Landscape, open_landscape
from sensverify.landscape.points import DescentPath, StationaryPoint
from sensverify.landscape.request import LandscapeRequest
from sensverify.landscape.rounds import rounds
from sensverify.landscape.rows import Found, FoundLink
from sensverify.landscape.settings import Search, Settings

PATH = DescentPath(np.array([0.0, 1.0]), np.array([1.0, 0.5]))


def write_landscape(
    folder: Path, minima: int, *, model: str = "linear", scale: float = 1.0
) -> Landscape:
    """A landscape of networks with random weights, as if they were minima, in a chain of saddles.

    Parameters
    ----------
    folder : Path
    minima : int
        0 for a landscape that has just begun.
    model : str
    scale : float
        0 for networks that are all the same but for a first weight.
    """
    settings = Settings(search=Search(starts=max(minima, 1), batch=max(minima, 1), rounds=0))
    request = LandscapeRequest(
        data="iris", model=model, activation="tanh", standardise=True, settings=settings
    )
    energy = request.energy(split=request.split())
    starts = energy.starts(2 * max(minima, 1), torch.Generator().manual_seed(1))
    starts = starts[:1] + scale * (starts - starts[:1])
    values = energy.value(starts)
    low, high = starts[values.argsort()].split(max(minima, 1))
    points = [_point(each, float(energy.value(each[None])), 0) for each in low[:minima]]
    saddles = [_point(each, 9.0 + at, 1) for at, each in enumerate(high[: max(minima - 1, 0)])]
    links = [FoundLink(minima + at, (at, at + 1), (PATH, PATH)) for at in range(len(saddles))]
    part = next(rounds(settings, Database(energy.symmetry)))[0]
    with open_landscape(folder, request, resume=False) as journal:
        if minima:
            journal.add(Found(part.key, (*points, *saddles), tuple(links)))
    return Landscape.read(folder)


def _point(weights: torch.Tensor, energy: float, negative: int) -> StationaryPoint:
    spectrum = np.linspace(1.0, 2.0, len(weights)) + energy
    spectrum[:negative] = -1.0
    return StationaryPoint(
        weights=weights.numpy().copy(),
        energy=energy,
        gradient_norm=1e-8,
        spectrum=spectrum,
        negative=negative,
        zero=0,
        zero_tolerance=1e-9,
    )
