"""The record of a search by splitting ReLUs: every sub-problem, and what proves its bound."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.tensors import flattened
from sensverify.core.proof import NONE
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.leaves import Leaf
from sensverify.solvers.branch_and_bound.optimising import Behind, BestLines
from sensverify.solvers.branch_and_bound.refining import OwnLines


@dataclass(frozen=True, eq=False)
class SignedCells:
    """Sub-problems in the order in which they were made.

    Parameters
    ----------
    target : numpy array, shape ``[cells]``
        The pair of a box and a group of rows, in the order of the search.
    parent : numpy array, shape ``[cells]``
        `NONE` for roots: a target's first one, and another one with better hidden bounds.
    neuron : numpy array, shape ``[cells]``
        The ReLU whose sign makes the cell, counted over all ReLU nodes; `NONE` for roots.
    side : numpy array, shape ``[cells]``
        1 for active, -1 for inactive, 0 for roots.
    hidden : numpy array, shape ``[cells]``
        Which bounds on hidden layers it rests on.
    value : numpy array, shape ``[cells]``
        What its own lines prove.
    lower, upper : numpy array, shape ``[cells, entries]``
        Their slopes; ``upper`` is None where it is the chord.
    weights : numpy array, shape ``[cells, rows of a group]``
    """

    target: np.ndarray
    parent: np.ndarray
    neuron: np.ndarray
    side: np.ndarray
    hidden: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray | None
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.target)


@dataclass(eq=False)
class Multipliers:
    """Multiples of sign constraints: ``value`` of that of ``neuron`` in the proof of ``cell``."""

    cell: np.ndarray
    neuron: np.ndarray
    value: np.ndarray


@dataclass(eq=False)
class SignForest:
    """Cells of a `Proof` up to a number of bytes: beyond it, cells are not split any more.

    A cell that is not recorded has the number -1, and so have its parts.

    Parameters
    ----------
    entries : Entries
    budget : int
        Bytes.
    hidden : list of pairs of LayerBounds and OwnLines or None
        The bounds on hidden layers that cells rest on: CROWN's, and refined ones with the lines
        that prove them.
    """

    entries: Entries
    budget: int
    hidden: list[tuple[LayerBounds, OwnLines | None]] = field(default_factory=list)
    _bytes: int = 0
    _count: int = 0
    _full: bool = False
    _steps: list[SignedCells] = field(default_factory=list)
    _multipliers: list[Multipliers] = field(default_factory=list)
    _leaves: dict[int, tuple[float, np.ndarray, np.ndarray, np.ndarray]] = field(
        default_factory=dict
    )

    def __len__(self) -> int:
        return self._count

    def roots(self, target: Tensor, best: BestLines) -> Tensor:
        """Sub-problems without a sign; their numbers, ``[cells]``."""
        none = torch.full_like(target, NONE)
        return self._add(target, none, none, torch.zeros_like(target), best, {})

    def children(
        self,
        target: Tensor,
        parent: Tensor,
        neuron: Tensor,
        best: BestLines,
        signs: dict[int, Tensor],
    ) -> Tensor:
        """Both parts of cells: first all with the neuron active, then all with it inactive."""
        side = torch.ones_like(target)
        side[len(side) // 2 :] = -1
        return self._add(target, parent, neuron, side, best, signs)

    def improve(self, cell: int, leaf: Leaf, signs: dict[int, Tensor]) -> None:
        """Other multipliers and weights for a cell that is not split, with its signs by node."""
        if cell == NONE or leaf.multipliers is None or leaf.weights is None:
            return
        flat = torch.cat([values.flatten() for values in signs.values()])
        neuron = flat.nonzero().squeeze(1).cpu().numpy()
        self._leaves[cell] = (leaf.bound, neuron, leaf.multipliers, leaf.weights)

    def rest_on(self, layers: LayerBounds, own: OwnLines | None = None) -> None:
        """Cells from now on use these bounds on hidden layers."""
        self.hidden.append((layers, own))

    def cells(self) -> SignedCells | None:
        """All cells, with their best values; None where there are none."""
        if not self._steps:
            return None
        names = ("target", "parent", "neuron", "side", "hidden", "value", "lower", "weights")
        columns = {n: np.concatenate([getattr(s, n) for s in self._steps]) for n in names}
        upper = None
        if not self.entries.only_relus:
            upper = np.concatenate([s.upper for s in self._steps if s.upper is not None])
        for cell, (value, _, _, weights) in self._leaves.items():
            columns["value"][cell], columns["weights"][cell] = value, weights
        return SignedCells(**columns, upper=upper)

    def multipliers(self) -> Multipliers:
        """The multipliers of all cells."""
        parts = [
            Multipliers(np.full(len(neuron), cell), neuron, multiplier)
            for cell, (_, neuron, multiplier, _) in self._leaves.items()
        ]
        improved = np.fromiter(self._leaves, np.int64, len(self._leaves))
        for part in self._multipliers:
            kept = ~np.isin(part.cell, improved)
            parts.append(Multipliers(part.cell[kept], part.neuron[kept], part.value[kept]))
        none = np.zeros(0, np.int64)
        return Multipliers(
            np.concatenate([none, *(part.cell for part in parts)]),
            np.concatenate([none, *(part.neuron for part in parts)]),
            np.concatenate([np.zeros(0), *(part.value for part in parts)]),
        )

    def _add(
        self,
        target: Tensor,
        parent: Tensor,
        neuron: Tensor,
        side: Tensor,
        best: BestLines,
        signs: dict[int, Tensor],
    ) -> Tensor:
        behind = best.behind
        if behind is None:
            raise ValueError("a record needs what is behind the lines: best_lines(keep=True)")
        count, first = len(target), self._count
        multipliers = _multipliers(signs, behind, first)
        slopes = len(self.entries) * self.entries.dtype.itemsize
        size = count * (slopes * (1 if self.entries.only_relus else 2) + 64)
        self._bytes += size + 24 * len(multipliers.cell)
        self._full |= self._bytes > self.budget
        if self._full:
            return torch.full_like(target, NONE)
        self._count += count
        self._multipliers.append(multipliers)
        upper = None
        if not self.entries.only_relus:
            upper = self.entries.joined(behind.upper, count)
        self._steps.append(
            SignedCells(
                target=_numpy(target),
                parent=_numpy(parent),
                neuron=_numpy(neuron),
                side=_numpy(side),
                hidden=np.full(count, len(self.hidden) - 1),
                value=_numpy(best.excess),
                lower=self.entries.joined(behind.lower, count),
                upper=upper,
                weights=_numpy(best.weights),
            )
        )
        return first + torch.arange(count, device=target.device)


def _multipliers(signs: dict[int, Tensor], behind: Behind, first: int) -> Multipliers:
    """The positive ones, of neurons with a sign."""
    cells, neurons, values, start = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [], 0
    for position, sign in signs.items():
        flat = flattened(sign)
        if position in behind.multipliers:
            found = flattened(behind.multipliers[position])
            cell, neuron = ((flat != 0) & (found > 0)).nonzero(as_tuple=True)
            cells.append(first + cell.cpu().numpy())
            neurons.append(start + neuron.cpu().numpy())
            values.append(found[cell, neuron].double().cpu().numpy())
        start += flat.shape[1]
    return Multipliers(
        np.concatenate(cells), np.concatenate(neurons), np.concatenate([np.zeros(0), *values])
    )


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy().copy()
