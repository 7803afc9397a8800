"""Split trees walked once: the boxes of their leaves, and what the leaves prove together.

The leaves of a tree are visited from one side to the other, so that those below every cell are
neighbours. Whoever goes on to the next leaf climbs to where both meet and down again: every edge
is passed twice in all, however deep the trees are, and only one path is held at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensverify.certificates.check.cells import roots_of
from sensverify.certificates.check.claims import Claims
from sensverify.core.proof import NONE, Cells, Proof


class Forest:
    """The leaves of all trees in order.

    Parameters
    ----------
    cells : Cells
        Have passed `check_cells`.

    Attributes
    ----------
    root : integer numpy array, shape ``[cells]``
    first, count : integer numpy array, shape ``[cells]``
        A cell's leaves are those of the places from ``first`` on, ``count`` of them.
    children : integer numpy array, shape ``[2, cells]``
        The lower and the upper child of every cell, `NONE` of a leaf.
    """

    def __init__(self, cells: Cells) -> None:
        self.root = roots_of(cells)
        parent, split = cells.parent, cells.split != NONE
        number, inner = np.arange(len(cells)), parent != NONE
        self.children = np.full((2, len(cells)), NONE)
        self.children[(cells.side[inner] + 1) // 2, parent[inner]] = number[inner]
        above, below = parent[inner].tolist(), number[inner].tolist()
        # Parents come before their children.
        count = (~split).astype(np.int64).tolist()
        for cell, up in zip(reversed(below), reversed(above), strict=True):
            count[up] += count[cell]
        self.count = np.array(count, np.int64)
        roots = self._ordered(cells, number[~inner])
        start = np.zeros(len(cells), np.int64)
        start[roots] = np.cumsum(self.count[roots]) - self.count[roots]
        first, upper = start.tolist(), (cells.side[inner] > 0).tolist()
        for cell, up, last in zip(below, above, upper, strict=True):
            first[cell] = first[up] + count[up] - count[cell] if last else first[up]
        self.first = np.array(first, np.int64)

    def _ordered(self, cells: Cells, roots: np.ndarray) -> np.ndarray:
        """Roots whose first leaves are alike beside each other: such leaves make batches."""
        leaves = np.flatnonzero(cells.split == NONE)[::-1]
        kind = np.zeros(len(cells), np.int64)
        kind[self.root[leaves]] = kinds_of(cells, leaves)
        return roots[np.argsort(kind[roots], kind="stable")]

    def sorted(self, leaves: np.ndarray) -> np.ndarray:
        """Leaves in order."""
        return leaves[np.argsort(self.first[leaves])]


def kinds_of(cells: Cells, leaves: np.ndarray) -> np.ndarray:
    """Kinds of leaves, one to a batch: with hidden bounds, about all rows or a group, whole."""
    every, whole = cells.group[leaves] == NONE, cells.parent[leaves] == NONE
    return 2 * (cells.hidden[leaves] != NONE) + every + 4 * whole


@dataclass(frozen=True, eq=False)
class Paths:
    """Bounds by the splits above some leaves.

    Parameters
    ----------
    lower, upper : numpy array, shape ``[leaves, features]``
        The input boxes.
    entry_lower, entry_upper : numpy array, shape ``[leaves, entries]``, or None
        Between what the entries lie; infinite where nothing is said. None: of no entry.
    """

    lower: np.ndarray
    upper: np.ndarray
    entry_lower: np.ndarray | None
    entry_upper: np.ndarray | None


class Walk:
    """One path from a root to a leaf, and from there to others.

    Parameters
    ----------
    forest : Forest
    cells : Cells
    lower, upper : numpy array, shape ``[problems, features]``
        The problems' boxes.
    entries : int

    Attributes
    ----------
    edges : int
        How many cells were entered.
    """

    def __init__(
        self, forest: Forest, cells: Cells, lower: np.ndarray, upper: np.ndarray, entries: int
    ) -> None:
        self.forest, self.cells, self.edges = forest, cells, 0
        self._lower, self._upper, self._features = lower, upper, lower.shape[1]
        some = bool((cells.split >= self._features).any())
        self._numbers = self._features + (entries if some else 0)
        self._ends = np.full(self._numbers, -np.inf), np.full(self._numbers, np.inf)
        self._path: list[tuple[int, int, int, float]] = []

    def anew(self) -> Walk:
        """Another walk through the same trees."""
        entries = self._numbers - self._features
        return Walk(self.forest, self.cells, self._lower, self._upper, entries)

    def to(self, leaves: np.ndarray) -> Paths:
        """Bounds on leaves by the splits above them; fastest in the order of the forest."""
        count, problem = len(leaves), self.cells.problem[leaves]
        ends = []
        for given, infinite in ((self._lower, -np.inf), (self._upper, np.inf)):
            values = np.full((count, self._numbers), infinite)
            values[:, : self._features] = given[problem]
            ends.append(values)
        for place in np.flatnonzero(self.cells.parent[leaves] != NONE):
            self._go(int(leaves[place]))
            ends[0][place], ends[1][place] = self._ends
        inner, outer = slice(self._features), slice(self._features, None)
        lower, upper = ends
        if self._numbers == self._features:
            return Paths(lower, upper, None, None)
        return Paths(lower[:, inner], upper[:, inner], lower[:, outer], upper[:, outer])

    def _go(self, leaf: int) -> None:
        forest, cells, path = self.forest, self.cells, self._path
        place = forest.first[leaf]
        while path:
            cell, kind, number, before = path[-1]
            if forest.first[cell] <= place < forest.first[cell] + forest.count[cell]:
                break
            path.pop()
            if number != NONE:
                self._ends[kind][number] = before
        else:
            cell, problem = int(forest.root[leaf]), cells.problem[leaf]
            self._ends[0][: self._features] = self._lower[problem]
            self._ends[1][: self._features] = self._upper[problem]
            path.append((cell, 0, NONE, 0.0))
        while cells.split[cell] != NONE:
            lower, upper = forest.children[:, cell]
            number, at = int(cells.split[cell]), cells.at[cell]
            # The upper child raises lower ends, the lower child lowers upper ones.
            kind = 0 if place >= forest.first[upper] else 1
            cell = int(lower if kind else upper)
            end = self._ends[kind]
            path.append((cell, kind, number, end[number]))
            end[number] = min(end[number], at) if kind else max(end[number], at)
            self.edges += 1


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Multipliers of constraints on entries, sorted by their leaves.

    Parameters
    ----------
    leaf, entry : integer numpy array, shape ``[multipliers]``
    force, at : numpy array, shape ``[multipliers]``
        Signed: positive for ``z >= at``, negative for ``z <= at``.
    """

    leaf: np.ndarray
    entry: np.ndarray
    force: np.ndarray
    at: np.ndarray

    @classmethod
    def of(cls, proof: Proof, forest: Forest, features: int) -> Multipliers:
        """Multipliers that weigh a split of an entry above a leaf; others count for nothing.

        Of several on one entry and leaf the last one here, of the highest split, is meant.
        """
        leaf, split = proof.multiplier_cell, proof.multiplier_split
        cells, place = proof.cells, forest.first[proof.multiplier_cell]
        below = (forest.first[split] <= place) & (place < forest.first[split] + forest.count[split])
        known = below & (cells.split[leaf] == NONE) & (cells.split[split] >= features)
        known &= proof.multiplier > 0
        order = np.flatnonzero(known)
        order = order[np.lexsort((-order, -split[order], leaf[order]))]
        leaf, split, place = leaf[order], split[order], place[order]
        side = np.where(place >= forest.first[forest.children[1, split]], 1, -1)
        force = side * proof.multiplier[order]
        return cls(leaf, cells.split[split] - features, force, cells.at[split])

    def on(self, leaves: np.ndarray) -> Multipliers:
        """Multipliers of some leaves, which are numbered by their places; sorted by entry."""
        start = np.searchsorted(self.leaf, leaves)
        count = np.searchsorted(self.leaf, leaves, side="right") - start
        place = np.repeat(np.arange(len(leaves)), count)
        item = np.arange(len(place)) + np.repeat(start - np.cumsum(count) + count, count)
        order = np.argsort(self.entry[item], kind="stable")
        item = item[order]
        return Multipliers(place[order], self.entry[item], self.force[item], self.at[item])


@dataclass(frozen=True, eq=False)
class Trees:
    """All trees of a proof, and a walk through them."""

    forest: Forest
    multipliers: Multipliers
    walk: Walk

    @classmethod
    def of(cls, proof: Proof, lower: np.ndarray, upper: np.ndarray, entries: int) -> Trees:
        """Trees over the problems' boxes ``[problems, features]``."""
        forest = Forest(proof.cells)
        multipliers = Multipliers.of(proof, forest, lower.shape[1])
        return cls(forest, multipliers, Walk(forest, proof.cells, lower, upper, entries))

    def boxes(self, leaves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The input boxes of leaves, ``[leaves, features]``."""
        order = np.argsort(self.forest.first[leaves])
        paths, back = self.walk.to(leaves[order]), np.argsort(order)
        return paths.lower[back], paths.upper[back]


@dataclass(frozen=True, eq=False)
class Proven:
    """Bounds that some leaves prove on the rows that they are about.

    Parameters
    ----------
    cell, problem : integer numpy array, shape ``[leaves]``
    rows : integer numpy array, shape ``[leaves, most]``
        As many as the leaf with most has; ``own`` of each are meant, and come first.
    own : boolean numpy array, shape ``[leaves, most]``
    values : numpy array, shape ``[leaves, most]``, float64
        Lower bounds, rounded down; infinite on an empty leaf.
    refuted : boolean numpy array, shape ``[leaves, most]``
        That one row of the row's group is above its limit at every input of the leaf.
    reach : numpy array, shape ``[leaves, features]``
        How far the lines move along each feature, at most; for whoever splits on.
    """

    cell: np.ndarray
    problem: np.ndarray
    rows: np.ndarray
    own: np.ndarray
    values: np.ndarray
    refuted: np.ndarray
    reach: np.ndarray


class Together:
    """Bounds by trees: of a tree the worst of its leaves', of a problem the best of its trees'.

    Attributes
    ----------
    values : numpy array, shape ``[problems, rows]``
        Lower bounds.
    refuted : boolean numpy array, shape ``[problems, rows]``
        That the row's group is refuted.
    """

    def __init__(self, claims: Claims, cells: Cells, forest: Forest) -> None:
        self._cells, self._forest = cells, forest
        self.values = np.full(claims.limits.shape, -np.inf)
        self.refuted = np.zeros(claims.limits.shape, bool)
        self._open: tuple[int, np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, part: Proven) -> None:
        """Take leaves in the order of the forest."""
        root = self._forest.root[part.cell]
        starts = np.flatnonzero(np.diff(root, prepend=NONE))
        values = np.minimum.reduceat(part.values, starts, axis=0)
        refuted = np.logical_and.reduceat(part.refuted, starts, axis=0)
        rows, own, root = part.rows[starts], part.own[starts], root[starts]
        if self._open is not None:
            # A tree has as many rows on every leaf.
            tree, _, before, shown = self._open
            if tree == root[0]:
                size = len(before)
                values[0, :size] = np.minimum(values[0, :size], before)
                refuted[0, :size] &= shown
            else:
                self.close()
        whole = own[:-1]
        problem = np.broadcast_to(self._cells.problem[root[:-1], None], whole.shape)[whole]
        self._take(problem, rows[:-1][whole], values[:-1][whole], refuted[:-1][whole])
        last = own[-1]
        self._open = (int(root[-1]), rows[-1][last], values[-1][last], refuted[-1][last])

    def close(self) -> None:
        """All leaves of the last tree are there."""
        if self._open is not None:
            tree, rows, values, refuted = self._open
            problem = np.full(len(rows), self._cells.problem[tree])
            self._take(problem, rows, values, refuted)
            self._open = None

    def _take(
        self, problem: np.ndarray, rows: np.ndarray, values: np.ndarray, refuted: np.ndarray
    ) -> None:
        np.maximum.at(self.values, (problem, rows), values)
        np.logical_or.at(self.refuted, (problem, rows), refuted)
