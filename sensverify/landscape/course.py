"""Ordinary trainings on the energy of a landscape: their weights after some of their steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sensverify.errors import BadSetting
from sensverify.landscape.energy import Energy


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The weights after a step.

    Parameters
    ----------
    step : int
    energy : float
    weights : numpy array, shape ``[size]``
    seed : int
        Of the start of the training.
    """

    step: int
    energy: float
    weights: np.ndarray
    seed: int = 0

    @property
    def name(self) -> str:
        """``seed 0, step 20``."""
        return f"seed {self.seed}, step {self.step}"


def training_course(
    energy: Energy, *, steps: int = 400, every: int = 10, rate: float = 0.01, seed: int = 0
) -> tuple[Snapshot, ...]:
    """Adam from one random start, with all samples in every step.

    Parameters
    ----------
    energy : Energy
    steps : int
    every : int
        Steps from one snapshot to the next; the start and the end are among them.
    rate : float
        Step size.
    seed : int
        Of the start.

    Returns
    -------
    tuple of Snapshot
        Up to the last one with a finite energy.

    Raises
    ------
    BadSetting
        A number is below 1, or the rate is not above 0.

    Examples
    --------
    >>> from sensverify.landscape import FunctionEnergy
    >>> course = training_course(FunctionEnergy(lambda x: x.square().sum(), 2), steps=20)
    >>> [shot.step for shot in course]
    [0, 10, 20]
    >>> course[-1].energy < course[0].energy
    True
    """
    if steps < 1 or every < 1 or not 0 < rate < float("inf"):
        raise BadSetting(
            "a training needs `steps` and `every` of at least 1 and a `rate` above 0, got "
            f"{steps}, {every} and {rate}"
        )
    point = energy.starts(1, torch.Generator().manual_seed(seed)).clone()
    optimiser = torch.optim.Adam([point], lr=rate)
    found = []
    for step in range(steps + 1):
        values, gradients = energy.gradient(point.detach())
        if not bool(torch.isfinite(values).all() and torch.isfinite(gradients).all()):
            break
        if step % every == 0 or step == steps:
            weights = point[0].detach().numpy().copy()
            found.append(Snapshot(step, float(values[0]), weights, seed))
        point.grad = gradients
        optimiser.step()
    return tuple(found)
