"""From the records of searches to a `Proof`.

The bound that a search claims for a sub-problem is the better of its own and its parent's. A proof
has leaves alone, so where a sub-problem proves more by its own lines than its parts do together, it
becomes a leaf: a tree then proves all that the search has claimed for it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from torch import Tensor

from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.proofs import flat_bounds
from sensverify.bounds.tensors import flattened
from sensverify.core.proof import NONE, RULE, Cells, Hidden, Lines, Proof
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.goals import Asked
from sensverify.solvers.branch_and_bound.input_tree import FEW_FEATURES, InputTree
from sensverify.solvers.branch_and_bound.neuron_forest import Multipliers, NeuronCells, NeuronForest
from sensverify.solvers.branch_and_bound.neuron_splitting import NeuronSplitting
from sensverify.solvers.branch_and_bound.refining import OwnLines
from sensverify.solvers.branch_and_bound.targets import Targets


def assembled(
    layers: LayerBounds,
    asked: Asked,
    tree: InputTree | None,
    searches: list[NeuronSplitting],
    covered: Tensor,
) -> Proof:
    """The results that the parts of a search have proven.

    Every box has a tree for all rows, of sub-boxes or of the whole box only; where ReLUs were split
    there is another one for every pair of a box and a group of rows.

    Parameters
    ----------
    layers : LayerBounds
        Of the boxes asked about.
    asked : Asked
    tree : InputTree or None
    searches : list of NeuronSplitting
        Those with a record count.
    covered : boolean Tensor, shape ``[boxes]``
        Where the sub-boxes are not needed.
    """
    entries, parts, batch = Entries.of(layers.network), _Parts(asked), layers.box.batch
    inputs = Cells.roots(np.arange(batch))
    if tree is not None and len(tree):
        inputs = _without(tree.cells(), covered.numpy())
    hidden: list[Hidden] = []
    # Cells that may have to be split further bound their layers themselves. Others get CROWN's
    # bounds: whoever bounds layers by other means too comes to other slopes, not always better.
    moving = flattened(layers.box.lower < layers.box.upper).sum(dim=1).cpu().numpy()
    whole = (inputs.split == NONE) & (inputs.parent == NONE)
    whole &= moving[inputs.problem] > FEW_FEATURES
    if whole.any() or searches:
        rule, none = np.full(batch, RULE), [np.zeros(0, np.int64)] * 4
        ends = flat_bounds(layers.pre_activations, batch)
        hidden.append(Hidden(np.arange(batch), *ends, rule, *none))
        inputs = replace(inputs, hidden=np.where(whole, inputs.problem, NONE))
    if asked.groups == 1:
        # One group and all of them are the same; weights belong to a group.
        inputs = replace(inputs, group=np.zeros(len(inputs), np.int64))
    weighed = None if tree is None else tree.weighed()
    if weighed is not None:
        inputs.lines[weighed.cell] = np.arange(len(weighed.cell))
        rows = np.arange(weighed.weights.shape[1])
        parts.add(weighed.lower, weighed.upper, rows, weighed.weights)
    cells = [inputs]
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for search in searches:
        recorded = None if search.forest is None else search.forest.cells()
        if search.forest is None or recorded is None:
            continue
        targets, shape = search.targets, _Shape.of(recorded, sum(map(len, cells)))
        made, leaves = _cells(entries, shape, targets, parts.count), shape.leaves
        target = recorded.target[leaves]
        weights = recorded.weights[leaves] * targets.present.cpu().numpy()[target]
        upper = None if recorded.upper is None else recorded.upper[leaves]
        parts.add(recorded.lower[leaves], upper, targets.rows.cpu().numpy()[target], weights)
        sets, made = _hidden(entries, search.forest, shape, made, parts, hidden)
        cells.append(made)
        hidden.append(sets)
        found.append(_multipliers(entries, shape, made, search.forest.multipliers()))
    return parts.proof(entries, cells, hidden, found)


class _Parts:
    """Line sets as they come, with their weights."""

    def __init__(self, asked: Asked) -> None:
        self.count = 0
        self._asked = asked
        self._lower: list[np.ndarray] = []
        self._upper: list[np.ndarray | None] = []
        self._weights: list[np.ndarray] = []

    def add(
        self,
        lower: np.ndarray,
        upper: np.ndarray | None,
        rows: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        """Slopes, and what they weigh which rows of the goal with, ``[sets, rows of a group]``."""
        self._lower.append(lower)
        self._upper.append(upper)
        self.count += len(lower)
        table = np.zeros((len(lower), self._asked.count))
        if rows is not None and weights is not None:
            np.add.at(table, (np.arange(len(lower))[:, None], self._asked.order[rows]), weights)
        self._weights.append(table)

    def proof(
        self,
        entries: Entries,
        cells: list[Cells],
        hidden: list[Hidden],
        multipliers: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    ) -> Proof:
        """All together; cells, sets and their numbers run on from one part to the next."""
        none = entries.joined({}, 0)
        upper = None
        if not entries.only_relus:
            upper = np.concatenate([none, *(part for part in self._upper if part is not None)])
        weights = None
        if self._asked.weighed:
            weights = np.concatenate([np.zeros((0, self._asked.count)), *self._weights])
        empty = Proof.of(cells[0], entries=len(entries))
        multiplier = (empty.multiplier_cell, empty.multiplier_split, empty.multiplier)
        columns = zip(multiplier, *multipliers, strict=True)
        return Proof(
            _concatenated(cells),
            Lines(np.concatenate([none, *self._lower]), upper),
            _concatenated([empty.hidden, *hidden]),
            weights,
            *(np.concatenate(column) for column in columns),
        )


@dataclass(frozen=True, eq=False)
class _Shape:
    """The recorded cells that a proof keeps.

    ``kept`` are their old numbers, ``new`` their new ones by the old; ``leaves`` the old numbers
    of leaves, in the order of their line sets.
    """

    recorded: NeuronCells
    kept: np.ndarray
    new: np.ndarray
    leaves: np.ndarray

    @classmethod
    def of(cls, recorded: NeuronCells, first: int) -> _Shape:
        leaf, best = _pruned(recorded)
        parents = recorded.parent.tolist()
        # A target may have two roots: the one that proves more.
        roots: dict[int, int] = {}
        for cell in np.flatnonzero(recorded.parent == NONE).tolist():
            target = int(recorded.target[cell])
            if target not in roots or best[cell] > best[roots[target]]:
                roots[target] = cell
        chosen, inside = set(roots.values()), [False] * len(parents)
        for cell, parent in enumerate(parents):
            inside[cell] = cell in chosen if parent == NONE else inside[parent] and not leaf[parent]
        kept = np.flatnonzero(inside)
        new = np.full(len(parents), NONE)
        new[kept] = first + np.arange(len(kept))
        return cls(recorded, kept, new, kept[np.array(leaf)[kept]])


def _pruned(recorded: NeuronCells) -> tuple[list[bool], list[float]]:
    """Mask of the leaves, and the better bound of every cell's own lines and of its parts."""
    best, parents = recorded.value.tolist(), recorded.parent.tolist()
    least: dict[int, float] = {}
    leaf = [True] * len(best)
    for cell in range(len(best) - 1, -1, -1):
        parts = least.get(cell)
        if parts is not None and parts > best[cell]:
            best[cell], leaf[cell] = parts, False
        parent = parents[cell]
        if parent != NONE:
            least[parent] = min(least.get(parent, np.inf), best[cell])
    return leaf, best


def _cells(entries: Entries, shape: _Shape, targets: Targets, first_lines: int) -> Cells:
    """The cells that are kept, without hidden bounds."""
    recorded, kept = shape.recorded, shape.kept
    target, parent = recorded.target[kept], recorded.parent[kept]
    first = int(shape.new[kept[0]])
    split, hidden, lines = (np.full(len(kept), NONE) for _ in range(3))
    at, part = np.zeros(len(kept)), parent != NONE
    cut = entries.features + entries.neurons[recorded.neuron[kept[part]]]
    split[shape.new[parent[part]] - first] = cut
    at[shape.new[parent[part]] - first] = recorded.at[kept[part]]
    lines[shape.new[shape.leaves] - first] = first_lines + np.arange(len(shape.leaves))
    return Cells(
        problem=targets.problem.cpu().numpy()[target],
        group=targets.group.cpu().numpy()[target],
        parent=np.where(part, shape.new[parent], NONE),
        side=recorded.side[kept],
        split=split,
        at=at,
        hidden=hidden,
        lines=lines,
    )


def _hidden(
    entries: Entries,
    forest: NeuronForest,
    shape: _Shape,
    cells: Cells,
    parts: _Parts,
    before: list[Hidden],
) -> tuple[Hidden, Cells]:
    """The bounds on hidden layers that leaves rest on, and the cells with the numbers of theirs."""
    leaves = shape.new[shape.leaves] - int(shape.new[shape.kept[0]])
    keys = np.stack([shape.recorded.hidden[shape.leaves], cells.problem[leaves]], axis=1)
    first = sum(map(len, before))
    # CROWN's bounds are there already, for all boxes in their order.
    known = keys[:, 0] == 0
    used, of_leaf = np.unique(keys[~known], axis=0, return_inverse=True)
    lower, upper = np.zeros((2, len(used), len(entries)))
    own = [np.zeros((4, 0), np.int64)]
    for stage in np.unique(used[:, 0]):
        pruned, lines = forest.hidden[stage]
        layers = pruned.whole
        rows = np.flatnonzero(used[:, 0] == stage)
        ends = flat_bounds(layers.pre_activations, layers.box.batch)
        lower[rows], upper[rows] = (end[used[rows, 1]] for end in ends)
        if lines is not None and lines.entry:
            sets = np.full(layers.box.batch, NONE)
            sets[used[rows, 1]] = rows
            own.append(_own(lines, sets, parts, first))
    result = Hidden(
        used[:, 1], lower, upper, np.full(len(used), RULE), *np.concatenate(own, axis=1)
    )
    hidden = cells.hidden.copy()
    hidden[leaves[known]] = keys[known, 1]
    hidden[leaves[~known]] = first + of_leaf.reshape(-1)
    return result, replace(cells, hidden=hidden)


def _own(lines: OwnLines, sets: np.ndarray, parts: _Parts, first: int) -> np.ndarray:
    """Set, entry, side and lines of bounds with lines of their own, ``[4, bounds]``.

    ``sets`` has the hidden set of each sample, or `NONE`.
    """
    place = sets[np.concatenate(lines.sample)]
    chosen = place != NONE
    number = parts.count + np.arange(int(chosen.sum()))
    upper = np.concatenate(lines.upper)[chosen] if lines.upper else None
    parts.add(np.concatenate(lines.slopes)[chosen], upper)
    columns = (first + place, np.concatenate(lines.entry), np.concatenate(lines.side))
    return np.stack([*(values[chosen] for values in columns), number])


def _multipliers(
    entries: Entries, shape: _Shape, cells: Cells, found: Multipliers
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of leaves that are kept, with the cells on their paths whose splits they are about.

    Of several splits of a neuron that is the lowest on the same side, which says most.
    """
    first = int(shape.new[shape.kept[0]])
    leaf = np.zeros(len(shape.new), bool)
    leaf[shape.leaves] = True
    used = leaf[found.cell] & (found.value > 0)
    cell, side = shape.new[found.cell[used]], found.side[used]
    wanted = entries.features + entries.neurons[found.neuron[used]]
    split = np.full(len(cell), NONE)
    here, open_ = cell.copy(), np.arange(len(cell))
    while len(open_):
        below = here[open_] - first
        above = cells.parent[below]
        inner = above != NONE
        open_, below, above = open_[inner], below[inner], above[inner]
        here[open_] = above
        hit = (cells.split[above - first] == wanted[open_]) & (cells.side[below] == side[open_])
        split[open_[hit]] = above[hit]
        open_ = open_[~hit]
    return cell, split, found.value[used]


def _without(cells: Cells, problems: np.ndarray) -> Cells:
    """The same with a single cell for some problems."""
    kept = ~problems[cells.problem] | (cells.parent == NONE)
    new = np.cumsum(kept) - 1
    split = np.where(problems[cells.problem], NONE, cells.split)
    cells = replace(
        cells, split=split, parent=np.where(cells.parent == NONE, NONE, new[cells.parent])
    )
    return Cells(*(getattr(cells, item.name)[kept] for item in fields(cells)))


Arrays = TypeVar("Arrays", Cells, Hidden)


def _concatenated(parts: list[Arrays]) -> Arrays:
    """Field by field."""
    names = [item.name for item in fields(parts[0])]
    return type(parts[0])(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))
