"""Random search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sensverify.scores.nas.landscape import Cells, Landscape
from sensverify.scores.nas.strategy import Strategy


@dataclass(frozen=True)
class RandomSearch(Strategy):
    """Cells in a random order, each measurement once.

    Source: Li & Talwalkar 2020, *Random search and reproducibility for neural architecture search*.
    """

    name: ClassVar[str] = "random"

    def search(self, landscape: Landscape, queries: int, draws: np.random.Generator) -> Cells:
        """As of `Strategy`."""
        order = draws.permutation(landscape.allowed)
        _, first = np.unique(landscape.owners[order], return_index=True)
        return order[np.sort(first)[:queries]]
