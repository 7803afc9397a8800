"""Local search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sensverify.scores.nas.landscape import Asked, Cells, Landscape
from sensverify.scores.nas.strategy import Strategy


@dataclass(frozen=True)
class LocalSearch(Strategy):
    """The best of all neighbours, until none is better; then again from a random cell.

    Neighbours that share a measurement with a cell that is known cost no query.

    Source: White, Nolen & Savani 2021, *Exploring the loss landscape in neural architecture
    search*, Algorithm 1, with restarts.
    """

    name: ClassVar[str] = "local"

    def search(self, landscape: Landscape, queries: int, draws: np.random.Generator) -> Cells:
        """As of `Strategy`."""
        asked = Asked(landscape, queries)
        while not asked.over:
            cell = asked.draw(draws)
            asked.ask(cell)
            self._climb(asked, cell, draws)
        return np.array(asked.cells)

    def _climb(self, asked: Asked, cell: int, draws: np.random.Generator) -> None:
        while True:
            near = draws.permutation(asked.landscape.neighbours(cell))
            for each in asked.unknown(near):
                if asked.over:
                    break
                asked.ask(each)
            known = [int(each) for each in near if asked.knows(each)]
            best = max(known, key=asked.value, default=cell)
            if asked.value(best) <= asked.value(cell):
                return
            cell = best
