"""Regularised evolution."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from sensverify.registry.ranges import Range
from sensverify.scores.nas.landscape import Cells, Landscape
from sensverify.scores.nas.strategy import Strategy


@dataclass(frozen=True)
class Evolution(Strategy):
    """Ageing evolution: the best of a sample has a child, and the oldest of all dies.

    A child is any cell that differs from its parent in one edge and can be asked, or any cell at
    all where there is none such. Every child is a query, also of a cell that is known.

    Source: Real, Aggarwal, Huang & Le 2019, *Regularized evolution for image classifier
    architecture search*, Algorithm 1. The sizes are those of White's *naszilla*.

    Parameters
    ----------
    population : int
        Cells that live.
    sample : int
        Of these, drawn with replacement for every child.
    """

    name: ClassVar[str] = "evolution"
    population: Annotated[int, Range(1, 1_000_000)] = 30
    sample: Annotated[int, Range(1, 1_000_000)] = 10

    def search(self, landscape: Landscape, queries: int, draws: np.random.Generator) -> Cells:
        """As of `Strategy`."""
        allowed, values = landscape.allowed, landscape.values
        history = [int(each) for each in draws.choice(allowed, min(self.population, queries))]
        living = deque(history)
        while len(history) < queries:
            candidates = [living[place] for place in draws.integers(len(living), size=self.sample)]
            parent = max(candidates, key=lambda cell: values[cell])
            near = landscape.neighbours(parent)
            child = int(draws.choice(near if len(near) else allowed))
            history.append(child)
            living.append(child)
            living.popleft()
        return np.array(history)
