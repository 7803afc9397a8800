"""Minima that end at one network as their activation becomes ReLU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sensverify.landscape.network_energy import NetworkEnergy
from sensverify.landscape.points import StationaryPoint

Floats = NDArray[np.float64]

ENERGY = 1e-6
"""Difference of the energies of one network, at most, in shares of the larger of 1 and them."""

OUTPUTS = 5e-3
"""Difference of its outputs, at most, in shares of all outputs' root mean square."""


def repeats(
    minima: Sequence[StationaryPoint], relu: NetworkEnergy, inputs: Floats
) -> dict[str, str]:
    """The minima that end where one before them has ended.

    Ends are one network where their energies agree and their outputs for all inputs do: that takes
    exchanged neurons, and neurons that no input reaches, for what they are. An end with ReLU is as
    exact as its descent, so that weights tell less.

    Parameters
    ----------
    minima : sequence of StationaryPoint
    relu : NetworkEnergy
        With ReLU.
    inputs : numpy array, shape ``[samples, *features]``

    Returns
    -------
    dict from str to str
        From their keys to that of the first; without those that were not continued to ReLU.
    """
    ended = [point for point in minima if point.relu is not None]
    if not ended:
        return {}
    x = torch.as_tensor(inputs, dtype=torch.float64)
    with torch.no_grad():
        outputs = [relu.with_weights(each.final_weights)(x).flatten() for each in ended]
    size = torch.stack([each.square().mean() for each in outputs]).mean().sqrt()
    first: list[int] = []
    found: dict[str, str] = {}
    for place, point in enumerate(ended):
        for other in first:
            low, high = sorted((ended[other].final_energy, point.final_energy))
            near = high - low <= ENERGY * max(1.0, abs(low), abs(high))
            if near and (outputs[other] - outputs[place]).abs().max() <= OUTPUTS * size:
                found[point.key] = ended[other].key
                break
        else:
            first.append(place)
    return found
