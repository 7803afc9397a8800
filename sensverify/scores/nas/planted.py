"""A made-up table of all cells, whose best ones are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadSetting
from sensverify.models.nas201 import COUNT, EDGES, OPERATIONS, Cell, all_cells
from sensverify.scores.nas.landscape import codes
from sensverify.scores.table import CLEAN, Network, Scores, Shift

TOTAL = 10_000
"""Samples that accuracies are of."""

SHIFTS = (CLEAN, Shift("fgsm", 1.0, "attack"), Shift("pgd", 1.0, "attack"))

NOISE = 0.02
"""Deviation that makes a search about as hard as a measured table does."""

_PEAK = (0.95, 0.70, 0.60)
_FALL = (0.06, 0.07, 0.08)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A made-up table.

    Parameters
    ----------
    scores : Scores
    clean, attacked : Cell
        The best ones on clean samples, and under either attack, where there is no noise.
    """

    scores: Scores
    clean: Cell
    attacked: Cell


def planted(seed: int = 0, *, noise: float = 0.0) -> Planted:
    """Accuracies that fall with the edges in which a cell differs from the best one.

    ``accuracy = peak - fall * sum of weights of the edges that differ``, in samples of 10,000, with
    weights between 0.5 and 1.5: from every cell, changes of one edge lead up to the best. Clean
    samples have one best cell, and both attacks another one that shares two edges with it. With
    ``noise``, a normal number of this deviation is added to every accuracy, isomorphic cells have
    each their own, and paths up end early.

    Parameters
    ----------
    seed : int
    noise : float
        From 0 to 1.

    Raises
    ------
    BadSetting
        The seed or the noise cannot be one.
    """
    if seed < 0 or not 0 <= noise <= 1:
        raise BadSetting(
            f"a made-up table needs a seed of at least 0 and noise from 0 to 1, got {seed} and "
            f"{noise}"
        )
    draws = np.random.default_rng(seed)
    clean = draws.integers(len(OPERATIONS), size=len(EDGES))
    attacked = clean.copy()
    changed = draws.permutation(len(EDGES))[:4]
    attacked[changed] += draws.integers(1, len(OPERATIONS), size=4)
    attacked %= len(OPERATIONS)
    columns = []
    for place, best in enumerate((clean, attacked, attacked)):
        weights = draws.uniform(0.5, 1.5, size=len(EDGES))
        accuracy = _PEAK[place] - _FALL[place] * (codes() != best) @ weights
        accuracy = accuracy + noise * draws.standard_normal(COUNT)
        columns.append(np.rint(TOTAL * np.clip(accuracy, 0, 1)).astype(np.int64))
    right = np.stack(columns, axis=1)
    return Planted(
        scores=Scores(
            networks=tuple(Network(cell.name) for cell in all_cells()),
            shifts=SHIFTS,
            right=right,
            total=np.full_like(right, TOTAL),
            samples=f"made up, seed {seed}, noise {noise:g}",
        ),
        clean=_cell(clean),
        attacked=_cell(attacked),
    )


def _cell(best: NDArray[np.int64]) -> Cell:
    return Cell(tuple(OPERATIONS[place] for place in best))
