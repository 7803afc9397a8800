"""A plain evaluation of proofs, in float64 and for chains only: what a leaf is worth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from sensverify.core.box import Box
from sensverify.core.proof import NONE, RULE, Proof
from sensverify.network import Network
from sensverify.network.operators import (
    Abs,
    Affine,
    Elementwise,
    LeakyRelu,
    Max,
    Operator,
    Relu,
    Reshape,
)

Ends = tuple[np.ndarray, np.ndarray]


def assert_covers(proof: Proof, box: Box) -> None:
    """Children hold all of their parent, and whatever is named exists."""
    cells, features = proof.cells, prod(box.shape)
    lower, upper = (
        np.asarray(end, np.float64).reshape(box.batch, -1) for end in (box.lower, box.upper)
    )
    ends: list[Ends] = []
    for cell in range(len(cells)):
        parent, problem = cells.parent[cell], cells.problem[cell]
        if parent == NONE:
            assert cells.side[cell] == 0
            ends.append((lower[problem].copy(), upper[problem].copy()))
        else:
            assert 0 <= parent < cell
            assert (cells.problem[parent], cells.group[parent]) == (problem, cells.group[cell])
            low, high = (end.copy() for end in ends[parent])
            split, at = cells.split[parent], cells.at[parent]
            if split < features:
                assert low[split] <= at <= high[split]
                (low if cells.side[cell] > 0 else high)[split] = at
            ends.append((low, high))
        assert cells.lines[cell] < len(proof.lines)
        assert cells.hidden[cell] < len(proof.hidden)
        children = np.flatnonzero(cells.parent == cell)
        if cells.split[cell] == NONE:
            assert len(children) == 0
        else:
            assert sorted(cells.side[children]) == [-1, 1]
    assert set(cells.problem[cells.parent == NONE]) == set(range(box.batch))
    hidden = proof.hidden.problem
    used = cells.hidden != NONE
    assert (hidden[cells.hidden[used]] == cells.problem[used]).all()
    assert (proof.multiplier >= 0).all()
    if proof.weights is not None:
        assert (proof.weights >= 0).all()
        assert len(proof.weights) == len(proof.lines)


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Of proofs about rows ``[batch or 1, rows, outputs]`` over the boxes of one network."""

    network: Network
    box: Box
    rows: np.ndarray

    def tree_values(self, proof: Proof) -> np.ndarray:
        """What roots prove of every row, ``[cells, rows]``; of other cells NaN."""
        values = self.leaf_values(proof)
        cells = proof.cells
        for cell in range(len(cells) - 1, -1, -1):
            children = np.flatnonzero(cells.parent == cell)
            if len(children):
                values[cell] = values[children].min(axis=0)
        values[cells.parent != NONE] = np.nan
        return values

    def proven(self, proof: Proof) -> np.ndarray:
        """The best of all roots, ``[batch, rows]``."""
        values, cells = self.tree_values(proof), proof.cells
        result = np.full((self.box.batch, self.rows.shape[1]), -np.inf)
        for cell in np.flatnonzero(cells.parent == NONE):
            about = slice(None) if cells.group[cell] == NONE else cells.group[cell]
            part = result[cells.problem[cell]]
            part[about] = np.maximum(part[about], values[cell][about])
        return result

    def refuted(self, proof: Proof, limits: np.ndarray, groups: Any) -> bool:
        """Whether every group of rows is above its limits somewhere, at every point."""
        closed, cells = self.closed_groups(proof, limits, groups), proof.cells
        root = np.arange(len(cells))
        for cell in range(len(cells)):
            if cells.parent[cell] != NONE:
                root[cell] = root[cells.parent[cell]]
        whole = [
            set.intersection(*(closed[leaf] for leaf in closed if root[leaf] == tree))
            for tree in np.flatnonzero(cells.parent == NONE)
        ]
        return set.union(*whole) == set(range(len(groups)))

    def closed_leaves(self, proof: Proof, limits: np.ndarray, groups: Any) -> dict[int, bool]:
        """For every leaf, whether it refutes its group, or all of them."""
        wanted = {NONE: set(range(len(groups)))}
        return {
            leaf: closed >= wanted.get(proof.cells.group[leaf], {proof.cells.group[leaf]})
            for leaf, closed in self.closed_groups(proof, limits, groups).items()
        }

    def closed_groups(self, proof: Proof, limits: np.ndarray, groups: Any) -> dict[int, set[int]]:
        """For every leaf, the groups that it refutes."""
        result = {}
        for cell in np.flatnonzero(proof.cells.split == NONE):
            group, lines = proof.cells.group[cell], proof.cells.lines[cell]
            chosen = range(len(groups)) if group == NONE else [group]
            if lines != RULE and proof.weights is not None:
                weights = proof.weights[lines]
                assert group != NONE
                assert set(np.flatnonzero(weights)) <= set(groups[group])
                value = self.leaf(proof, cell, weights[None] @ self.rows[0])
                result[cell] = {group} if value[0] > weights @ limits else set()
            else:
                value = self.leaf(proof, cell, self.rows[0])
                result[cell] = {g for g in chosen if any(value[i] > limits[i] for i in groups[g])}
        return result

    def leaf_values(self, proof: Proof) -> np.ndarray:
        """What leaves prove of every row, ``[cells, rows]``; other cells NaN."""
        result = np.full((len(proof.cells), self.rows.shape[1]), np.nan)
        for cell in np.flatnonzero(proof.cells.split == NONE):
            problem = proof.cells.problem[cell]
            rows = self.rows[problem if len(self.rows) > 1 else 0]
            result[cell] = self.leaf(proof, cell, rows)
        return result

    def leaf(self, proof: Proof, cell: int, rows: np.ndarray) -> np.ndarray:
        """The least values of rows that one leaf proves; infinite where it is empty."""
        cells, features = proof.cells, prod(self.box.shape)
        problem = cells.problem[cell]
        low, high = (
            np.asarray(end[problem], np.float64).ravel().copy()
            for end in (self.box.lower, self.box.upper)
        )
        cut = np.full(len(self.entries), -np.inf), np.full(len(self.entries), np.inf)
        here, constraints = cell, []
        while cells.parent[here] != NONE:
            above, side = cells.parent[here], cells.side[here]
            split, at = cells.split[above], cells.at[above]
            ends = (low, high) if split < features else cut
            place = split if split < features else split - features
            end = ends[0 if side > 0 else 1]
            end[place] = max(end[place], at) if side > 0 else min(end[place], at)
            if split >= features:
                constraints.append((above, place, side, at))
            here = above
        number = cells.lines[cell]
        lines = self.lines(proof, number)
        if cells.hidden[cell] == NONE:
            bounds = self.layers((low, high), lines, cut)
        else:
            stored = cells.hidden[cell]
            lower, upper = proof.hidden.lower[stored], proof.hidden.upper[stored]
            bounds = np.maximum(lower, cut[0]), np.minimum(upper, cut[1])
        if (bounds[0] > bounds[1]).any() or (low > high).any():
            return np.full(len(rows), np.inf)
        added, constant = np.zeros(len(self.entries)), 0.0
        for above, place, side, at in constraints:
            hit = (proof.multiplier_cell == cell) & (proof.multiplier_split == above)
            amount = proof.multiplier[hit].sum()
            added[place] -= side * amount
            constant += side * amount * at
        last = len(self.network.nodes) - 1
        return constant + self.backward(last, rows, (low, high), bounds, lines, added)

    def hidden_sets(self, proof: Proof) -> Ends:
        """What the lines of stored bounds prove of each, behind the stored ones before it."""
        lower, upper = np.zeros((2, *proof.hidden.lower.shape))
        for number in range(len(proof.hidden)):
            problem = proof.hidden.problem[number]
            box = tuple(
                np.asarray(e[problem], np.float64).ravel() for e in (self.box.lower, self.box.upper)
            )
            stored = proof.hidden.lower[number], proof.hidden.upper[number]
            lines = self.lines(proof, proof.hidden.lines[number])
            lower[number], upper[number] = self.layers(box, lines, stored)
            own = np.flatnonzero(proof.hidden.own_set == number)
            for entry, side, which in zip(
                proof.hidden.own_entry[own],
                proof.hidden.own_side[own],
                proof.hidden.own_lines[own],
                strict=True,
            ):
                position, first = self.entries[entry]
                source = self.network.nodes[position].inputs[0]
                row = np.zeros((1, prod(self.network.nodes[source].shape)))
                row[0, entry - first] = -side
                value = self.backward(source, row, box, stored, self.lines(proof, which), None)[0]
                (upper if side > 0 else lower)[number, entry] = -side * value
        return lower, upper

    @cached_property
    def entries(self) -> list[tuple[int, int]]:
        """For every entry its node and the node's first entry."""
        result: list[tuple[int, int]] = []
        for position, node in enumerate(self.network.nodes):
            if isinstance(node.operator, Elementwise | Max):
                size = prod(self.network.nodes[node.inputs[0]].shape)
                result += [(position, len(result))] * size
        return result

    def lines(self, proof: Proof, number: int) -> tuple[np.ndarray, np.ndarray | None] | None:
        if number == RULE:
            return None
        upper = proof.lines.upper
        return proof.lines.lower[number].astype(np.float64), None if upper is None else upper[
            number
        ]

    def layers(self, box: Any, lines: Any, cut: Ends) -> Ends:
        """Bounds on all entries, layer after layer, each cut as it comes."""
        count = len(self.entries)
        lower, upper = np.zeros(count), np.zeros(count)
        values = box
        for position, node in enumerate(self.network.nodes):
            if position == 0:
                continue
            if isinstance(node.operator, Elementwise | Max):
                first = self._first[position]
                size = len(values[0])
                place = slice(first, first + size)
                rows = np.concatenate([np.eye(size), -np.eye(size)])
                both = self.backward(node.inputs[0], rows, box, (lower, upper), lines, None)
                low, high = np.maximum(values[0], both[:size]), np.minimum(values[1], -both[size:])
                lower[place] = np.maximum(low, cut[0][place])
                upper[place] = np.minimum(high, cut[1][place])
                values = lower[place], upper[place]
            values = _image(node.operator, values, self._window(position))
        return lower, upper

    def backward(
        self, target: int, rows: np.ndarray, box: Any, bounds: Ends, lines: Any, added: Any
    ) -> np.ndarray:
        constant = np.zeros(len(rows))
        for position in range(target, 0, -1):
            operator = self.network.nodes[position].operator
            if isinstance(operator, Affine):
                if operator.bias is not None:
                    constant = constant + rows @ operator.bias
                rows = rows @ operator.weight
            elif isinstance(operator, Elementwise | Max):
                first = self._first[position]
                window = self._window(position)
                size = rows.shape[1] * window
                place = slice(first, first + size)
                low, high = bounds[0][place], bounds[1][place]
                own = (
                    None
                    if lines is None
                    else tuple(None if part is None else part[place] for part in lines)
                )
                (a, i), (b, j) = _relaxed(operator, low, high, own, window)
                positive, negative = np.maximum(rows, 0), np.minimum(rows, 0)
                constant = constant + positive @ i + negative @ j
                rows = np.repeat(positive, window, 1) * a + np.repeat(negative, window, 1) * b
                if added is not None:
                    rows = rows + added[place]
            else:
                assert isinstance(operator, Reshape)
        return constant + (np.minimum(rows * box[0], rows * box[1])).sum(axis=1)

    @cached_property
    def _first(self) -> dict[int, int]:
        return dict(self.entries)

    def _window(self, position: int) -> int:
        node = self.network.nodes[position]
        source = self.network.nodes[node.inputs[0]]
        return source.shape[-1] if isinstance(node.operator, Max) else 1


def _function(operator: Operator, x: np.ndarray) -> np.ndarray:
    if isinstance(operator, Relu):
        return np.maximum(x, 0)
    if isinstance(operator, LeakyRelu):
        return np.where(x > 0, x, operator.slope * x)
    assert isinstance(operator, Abs)
    return np.abs(x)


def _image(operator: Operator, values: Any, window: int) -> Any:
    low, high = values
    if isinstance(operator, Affine):
        shift = 0.0 if operator.bias is None else operator.bias
        up, down = np.maximum(operator.weight, 0), np.minimum(operator.weight, 0)
        return up @ low + down @ high + shift, up @ high + down @ low + shift
    if isinstance(operator, Reshape):
        return values
    if isinstance(operator, Max):
        return low.reshape(-1, window).max(axis=1), high.reshape(-1, window).max(axis=1)
    ends = np.stack([_function(operator, low), _function(operator, high)])
    least = np.where((low < 0) & (high > 0), np.minimum(0, ends.min(axis=0)), ends.min(axis=0))
    return least, ends.max(axis=0)


def _relaxed(operator: Operator, low: np.ndarray, high: np.ndarray, own: Any, window: int) -> Any:
    """Slopes and intercepts of the lines below and above."""
    if isinstance(operator, Max):
        return _relaxed_max(low, high, own, window)
    width = np.where(high > low, high - low, 1.0)
    chord = (_function(operator, high) - _function(operator, low)) / width
    if own is None:
        below, above = _adaptive(operator, low, high, chord)
    else:
        below, above = own[0], chord if own[1] is None else own[1]
    points = np.stack([low, high, np.clip(0.0, low, high)])
    values = _function(operator, points)
    return (below, (values - below * points).min(axis=0)), (
        above,
        (values - above * points).max(axis=0),
    )


def _adaptive(operator: Operator, low: np.ndarray, high: np.ndarray, chord: np.ndarray) -> Any:
    if isinstance(operator, Relu):
        left = 0.0
    else:
        left = operator.slope if isinstance(operator, LeakyRelu) else -1.0
    crossing = (low < 0) & (high > 0)
    return np.where(crossing, np.where(high > -low, 1.0, left), np.where(low >= 0, 1.0, left)), (
        np.where(crossing, chord, np.where(low >= 0, 1.0, left))
    )


def _relaxed_max(low: np.ndarray, high: np.ndarray, own: Any, window: int) -> Any:
    """Of slopes that are zero, or choose one number of the window."""
    low, high = low.reshape(-1, window), high.reshape(-1, window)
    rows = np.arange(len(low))
    if own is None:
        winner = low.argmax(axis=1)
        below = np.zeros_like(low)
        below[rows, winner] = 1.0
        others = np.where(below > 0, -np.inf, high).max(axis=1)
        above = below * (low.max(axis=1) >= others)[:, None]
    else:
        below, above = (part.reshape(-1, window) for part in own)
    zeros = np.zeros(len(low))
    assert ((below == 0) | (below == 1)).all()
    others = np.where(above > 0, -np.inf, high).max(axis=1)
    chosen = (above > 0).any(axis=1)
    pick = (above * low).sum(axis=1)
    shift = np.where(chosen, np.maximum(0.0, others - pick), others)
    return (below.ravel(), zeros), (above.ravel(), shift)
