"""Landscapes that are searched: the value of every cell, and the cells one change apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from sensverify.models.nas201 import COUNT, EDGES, OPERATIONS, all_cells

Cells = NDArray[np.int64]
"""Indices of cells."""


@dataclass(frozen=True, eq=False)
class Landscape:
    """Values to be maximised.

    Parameters
    ----------
    values : array of floats, shape ``[15625]``
        By the cell's index; NaN where a cell cannot be asked.
    owners : array of whole numbers, shape ``[15625]``
        Whose measurement a cell has: cells with the same are known together, and asked once.
    """

    values: NDArray[np.float64]
    owners: Cells

    @cached_property
    def allowed(self) -> Cells:
        """Cells that can be asked, ascending."""
        return np.flatnonzero(~np.isnan(self.values))

    @cached_property
    def different(self) -> int:
        """Measurements that there are."""
        return len(np.unique(self.owners[self.allowed]))

    def neighbours(self, cell: int) -> Cells:
        """Cells that can be asked and differ from this one in one edge; not itself."""
        near = neighbours()[cell]
        return near[~np.isnan(self.values[near])]


class Asked:
    """The queries of a search, in order, and what is known by them."""

    def __init__(self, landscape: Landscape, queries: int) -> None:
        self.landscape = landscape
        self._left = queries
        self.cells: list[int] = []
        self._known: set[int] = set()

    @property
    def over(self) -> bool:
        """Whether no query is left, or nothing that is not known yet."""
        return self._left == len(self.cells) or len(self._known) == self.landscape.different

    def knows(self, cell: int) -> bool:
        """Whether a cell, or one that shares its measurement, has been asked."""
        return int(self.landscape.owners[cell]) in self._known

    def ask(self, cell: int) -> float:
        """The value of a cell, for one query."""
        self.cells.append(int(cell))
        self._known.add(int(self.landscape.owners[cell]))
        return self.value(cell)

    def value(self, cell: int) -> float:
        """The value of a cell that is known."""
        return float(self.landscape.values[cell])

    def unknown(self, cells: Cells) -> Cells:
        """The cells among these that are not known, one of each measurement, in their order."""
        owners = self.landscape.owners[cells]
        fresh = np.array([owner not in self._known for owner in owners], dtype=bool)
        _, first = np.unique(owners[fresh], return_index=True)
        return cells[fresh][np.sort(first)]

    def draw(self, draws: np.random.Generator) -> int:
        """A random cell that is not known; there is one."""
        allowed = self.landscape.allowed
        fresh = ~np.isin(self.landscape.owners[allowed], list(self._known))
        return int(draws.choice(allowed[fresh]))


@lru_cache(maxsize=1)
def codes() -> NDArray[np.int64]:
    """Places of the operations of every cell in `OPERATIONS`, shape ``[15625, 6]``."""
    table = {operation: place for place, operation in enumerate(OPERATIONS)}
    found = np.array([[table[each] for each in cell.operations] for cell in all_cells()])
    found.setflags(write=False)
    return found


@lru_cache(maxsize=1)
def neighbours() -> Cells:
    """By cell, the 24 cells that differ from it in one edge."""
    weights = len(OPERATIONS) ** np.arange(len(EDGES))
    numbers = codes() @ weights
    index = np.empty(COUNT, dtype=np.int64)
    index[numbers] = np.arange(COUNT)
    steps = np.arange(1, len(OPERATIONS))
    found = []
    for edge, weight in enumerate(weights):
        own = codes()[:, edge, None]
        other = (own + steps) % len(OPERATIONS)
        found.append(index[numbers[:, None] + (other - own) * weight])
    near = np.concatenate(found, axis=1)
    near.setflags(write=False)
    return near
