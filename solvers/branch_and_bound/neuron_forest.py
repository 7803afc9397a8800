"""The record of a search by splitting neurons: every sub-problem, and what proves its bound."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.tensors import flattened
from sensverify.core.proof import NONE
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.leaf_program import Leaf
from sensverify.solvers.branch_and_bound.neuron_nodes import NeuronNodes
from sensverify.solvers.branch_and_bound.optimising import Behind, BestLines
from sensverify.solvers.branch_and_bound.pruning import Pruned
from sensverify.solvers.branch_and_bound.refining import OwnLines


@dataclass(frozen=True, eq=False)
class NeuronCells:
    """Sub-problems in the order in which they were made.

    Parameters
    ----------
    target : numpy array, shape ``[cells]``
        The pair of a box and a group of rows, in the order of the search.
    parent : numpy array, shape ``[cells]``
        `NONE` for roots: a target's first one, and another one with better hidden bounds.
    neuron : numpy array, shape ``[cells]``
        The one whose cut makes the cell, counted as in `NeuronNodes`; `NONE` for roots.
    side : numpy array, shape ``[cells]``
        1 where it is at least ``at``, -1 where it is at most that, 0 for roots.
    at : numpy array, shape ``[cells]``
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
    at: np.ndarray
    hidden: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray | None
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.target)


@dataclass(eq=False)
class Multipliers:
    """Multiples of cuts: ``value`` of an end of ``neuron`` in the proof of ``cell``.

    ``side`` is 1 for the lower end, -1 for the upper one.
    """

    cell: np.ndarray
    neuron: np.ndarray
    side: np.ndarray
    value: np.ndarray


@dataclass(eq=False)
class NeuronForest:
    """Cells of a `Proof` up to a number of bytes: beyond it, cells are not split any more.

    A cell that is not recorded has the number -1, and so have its parts.

    Parameters
    ----------
    entries : Entries
    budget : int
        Bytes.
    hidden : list of pairs of Pruned and OwnLines or None
        The bounds on hidden layers that cells rest on: CROWN's, and refined ones with the lines
        that prove them.
    """

    entries: Entries
    budget: int
    hidden: list[tuple[Pruned, OwnLines | None]] = field(default_factory=list)
    _bytes: int = 0
    _count: int = 0
    _full: bool = False
    _steps: list[NeuronCells] = field(default_factory=list)
    _multipliers: list[Multipliers] = field(default_factory=list)
    _leaves: dict[int, tuple[float, Multipliers, np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self._count

    def add(self, nodes: NeuronNodes, best: BestLines) -> Tensor:
        """Sub-problems as they come: roots, or both parts of others; their numbers, ``[cells]``.

        Parts carry their parents' numbers, and the neurons that were split: first all those of
        the upper sides, then all those of the lower ones.
        """
        side = torch.ones_like(nodes.target)
        side[len(side) // 2 :] = -1
        root = nodes.decision < 0
        parent = torch.where(root, NONE, nodes.node)
        return self._add(nodes, parent, torch.where(root, 0, side), best)

    def improve(self, cell: int, leaf: Leaf, node: NeuronNodes) -> None:
        """Other multipliers and weights for a cell that is not split: a single sub-problem."""
        if cell == NONE or leaf.multipliers is None or leaf.weights is None:
            return
        neuron, side, start = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
        for position, low in node.low.items():
            for end, sign in ((low, 1), (node.high[position], -1)):
                cut = _numpy(torch.isfinite(end).flatten().nonzero().squeeze(1))
                neuron.append(start + cut)
                side.append(np.full(len(cut), sign))
            start += low.numel()
        every = self._pruned.numbers[np.concatenate(neuron)]
        cells, sides = np.full(len(every), cell), np.concatenate(side)
        multipliers = Multipliers(cells, every, sides, leaf.multipliers)
        self._leaves[cell] = (leaf.bound, multipliers, leaf.weights)

    def rest_on(self, pruned: Pruned, own: OwnLines | None = None) -> None:
        """Cells from now on use these bounds on hidden layers; records are of the whole network."""
        self.hidden.append((pruned, own))

    def cells(self) -> NeuronCells | None:
        """All cells, with their best values; None where there are none."""
        if not self._steps:
            return None
        names = ("target", "parent", "neuron", "side", "at", "hidden", "value", "lower", "weights")
        columns = {n: np.concatenate([getattr(s, n) for s in self._steps]) for n in names}
        upper = None
        if not self.entries.only_relus:
            upper = np.concatenate([s.upper for s in self._steps if s.upper is not None])
        for cell, (value, _, weights) in self._leaves.items():
            columns["value"][cell], columns["weights"][cell] = value, weights
        return NeuronCells(**columns, upper=upper)

    def multipliers(self) -> Multipliers:
        """The multipliers of all cells."""
        parts = [multipliers for _, multipliers, _ in self._leaves.values()]
        improved = np.fromiter(self._leaves, np.int64, len(self._leaves))
        for part in self._multipliers:
            kept = ~np.isin(part.cell, improved)
            columns = (part.cell, part.neuron, part.side, part.value)
            parts.append(Multipliers(*(column[kept] for column in columns)))
        none = np.zeros(0, np.int64)
        return Multipliers(
            np.concatenate([none, *(part.cell for part in parts)]),
            np.concatenate([none, *(part.neuron for part in parts)]),
            np.concatenate([none, *(part.side for part in parts)]),
            np.concatenate([np.zeros(0), *(part.value for part in parts)]),
        )

    def _add(self, nodes: NeuronNodes, parent: Tensor, side: Tensor, best: BestLines) -> Tensor:
        behind = best.behind
        if behind is None:
            raise ValueError("a record needs what is behind the lines: best_lines(keep=True)")
        count, first = len(nodes), self._count
        multipliers = _multipliers(nodes, behind, first, self._pruned.numbers)
        slopes = len(self.entries) * self.entries.dtype.itemsize
        size = count * (slopes * (1 if self.entries.only_relus else 2) + 72)
        self._bytes += size + 32 * len(multipliers.cell)
        self._full |= self._bytes > self.budget
        if self._full:
            return torch.full_like(nodes.target, NONE)
        self._count += count
        self._multipliers.append(multipliers)
        upper = None
        if not self.entries.only_relus:
            upper = self.entries.joined(self._pruned.spread(behind.upper), count)
        self._steps.append(
            NeuronCells(
                target=_numpy(nodes.target),
                parent=_numpy(parent),
                neuron=self._number(_numpy(nodes.decision)),
                side=_numpy(side),
                at=_numpy(nodes.at).astype(np.float64),
                hidden=np.full(count, len(self.hidden) - 1),
                value=_numpy(best.excess),
                lower=self.entries.joined(self._pruned.spread(behind.lower), count),
                upper=upper,
                weights=_numpy(best.weights),
            )
        )
        return first + torch.arange(count, device=nodes.target.device)

    @property
    def _pruned(self) -> Pruned:
        return self.hidden[-1][0]

    def _number(self, neuron: np.ndarray) -> np.ndarray:
        """In the whole network; `NONE` stays."""
        return np.append(self._pruned.numbers, NONE)[neuron]


def _multipliers(
    nodes: NeuronNodes, behind: Behind, first: int, numbers: np.ndarray
) -> Multipliers:
    """The multipliers that are not zero, of neurons with these numbers."""
    cells, neurons, values, start = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [], 0
    for position, low in nodes.low.items():
        if position in behind.multipliers:
            found = flattened(behind.multipliers[position])
            cell, neuron = found.nonzero(as_tuple=True)
            cells.append(first + cell.cpu().numpy())
            neurons.append(start + neuron.cpu().numpy())
            values.append(found[cell, neuron].double().cpu().numpy())
        start += flattened(low).shape[1]
    value = np.concatenate([np.zeros(0), *values])
    side = np.where(value > 0, 1, -1)
    every = numbers[np.concatenate(neurons)]
    return Multipliers(np.concatenate(cells), every, side, np.abs(value))


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy().copy()
