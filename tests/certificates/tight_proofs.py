"""Proofs that leave nothing: what they prove is attained, but for rounding.

Trees split every entry that bends, so that the network is linear on a leaf; the multipliers, and
the weights of several rows, are then the dual solution of a linear program.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linprog

from sensverify.certificates import Claims
from sensverify.certificates.check.program import Program
from sensverify.certificates.leaves import best
from sensverify.core.proof import NONE, RULE, Cells, Hidden, Lines, Proof
from sensverify.network import Network
from sensverify.network.operators import Abs, Add, Affine, Elementwise, LeakyRelu
from tests.certificates.random_proofs import evaluated, evaluator_of

PENALTY = 50.0
"""Most that a multiplier may be."""

NAMES = ("problem", "group", "parent", "side", "split", "at", "hidden", "lines")


@dataclass(frozen=True, eq=False)
class Linearised:
    """Maps ``[size, features + 1]`` of what enters nonlinear nodes, and of the output."""

    entries: np.ndarray
    output: np.ndarray


def linearised(network: Network, signs: np.ndarray) -> Linearised:
    """A network whose nonlinear nodes stay on one side of their kink at zero."""
    features = int(np.prod(network.input_shape))
    values, entries, first = [np.eye(features, features + 1)], [], 0
    for node in network.nodes[1:]:
        operator, inputs = node.operator, [values[i] for i in node.inputs]
        if isinstance(operator, Affine):
            result = np.asarray(operator.weight) @ inputs[0]
            result[:, -1] += 0 if operator.bias is None else np.asarray(operator.bias)
        elif isinstance(operator, Add):
            result = sum(inputs[1:], start=inputs[0])
        else:
            assert isinstance(operator, Elementwise)
            entries.append(inputs[0])
            own = signs[first : first + len(inputs[0])]
            result = inputs[0] * np.where(own > 0, 1.0, below(operator))[:, None]
            first += len(own)
        values.append(result)
    return Linearised(np.concatenate(entries), values[-1])


def below(operator: Elementwise) -> float:
    """The slope below zero."""
    if isinstance(operator, LeakyRelu):
        return float(operator.slope)
    return -1.0 if isinstance(operator, Abs) else 0.0


class Forest:
    """Cells, line sets, weights and multipliers, as they are collected."""

    def __init__(self, network: Network, claims: Claims, hidden: Hidden, rng: np.random.Generator):
        self.network, self.claims, self.hidden, self.rng = network, claims, hidden, rng
        self.cells: list[dict[str, float]] = []
        self.slopes: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []
        self.multipliers: list[tuple[int, int, float]] = []

    def cell(self, **given: float) -> int:
        plain = {"split": NONE, "at": 0.0, "hidden": NONE, "lines": RULE}
        self.cells.append(plain | given)
        return len(self.cells) - 1

    def tree(self, problem: int, group: int, members: np.ndarray) -> None:
        """Once at an input, then at every entry that bends; the rest by linear programs."""
        about = {"problem": problem, "group": group}
        root = self.cell(**about, parent=NONE, side=0)
        low, high = self.claims.lower[problem], self.claims.upper[problem]
        feature, share = self.rng.integers(len(low)), self.rng.uniform(0.2, 0.8)
        leaves = self._halved(
            root, int(feature), float(low[feature] + share * (high - low)[feature])
        )
        ends = self.hidden.lower[problem], self.hidden.upper[problem]
        for entry in np.flatnonzero((ends[0] < 0) & (ends[1] > 0)):
            leaves = [part for leaf in leaves for part in self._halved(leaf, len(low) + entry, 0.0)]
        for leaf in leaves:
            self._close(leaf, members)

    def _halved(self, cell: int, number: int, at: float) -> list[int]:
        self.cells[cell] |= {"split": number, "at": at}
        about = {name: self.cells[cell][name] for name in ("problem", "group")}
        return [self.cell(**about, parent=cell, side=side) for side in (-1, 1)]

    def _close(self, leaf: int, members: np.ndarray) -> None:
        """The line set, weights and multipliers of a leaf."""
        problem, features = int(self.cells[leaf]["problem"]), self.claims.lower.shape[1]
        signs = np.where(self.hidden.lower[problem] >= 0, 1, -1)
        low, high = self.claims.lower[problem].copy(), self.claims.upper[problem].copy()
        path, cell = [], leaf
        while (parent := int(self.cells[cell]["parent"])) != NONE:
            split, side = int(self.cells[parent]["split"]), int(self.cells[cell]["side"])
            if split >= features:
                signs[split - features] = side
                path.append((parent, split - features, side))
            else:
                (high if side < 0 else low)[split] = self.cells[parent]["at"]
            cell = parent
        maps = linearised(self.network, signs)
        rows = self.claims.rows[problem if len(self.claims.rows) > 1 else 0][members]
        entries = maps.entries[[entry for _, entry, _ in path]]
        sides = np.array([side for _, _, side in path])
        refutes = self.claims.groups is not None
        limits = self.claims.limits[problem, members] if refutes else np.zeros(len(rows))
        weights, forces = dual(rows @ maps.output, limits, -sides[:, None] * entries, (low, high))
        every = np.zeros(self.claims.limits.shape[1])
        every[members] = weights
        self.cells[leaf]["lines"] = len(self.slopes)
        self.cells[leaf]["hidden"] = self.rng.choice([NONE, problem])
        self.slopes.append(self._slopes(signs))
        self.weights.append(every)
        self.multipliers += [(leaf, p, f) for (p, _, _), f in zip(path, forces, strict=True)]

    def _slopes(self, signs: np.ndarray) -> np.ndarray:
        parts, first = [], 0
        for node in self.network.nodes:
            if isinstance(node.operator, Elementwise):
                size = int(np.prod(node.shape))
                own = signs[first : first + size]
                parts.append(np.where(own > 0, 1.0, below(node.operator)))
                first += size
        return np.concatenate(parts)

    def proof(self) -> Proof:
        cells = {
            name: np.array([c[name] for c in self.cells], float if name == "at" else np.int64)
            for name in NAMES
        }
        slopes = np.array(self.slopes)
        cell, split, value = np.array(self.multipliers, float).reshape(-1, 3).T
        pairs = cell.astype(np.int64), split.astype(np.int64)
        weights = np.array(self.weights) if self.claims.groups is not None else None
        return Proof(
            Cells(**cells), Lines(slopes, slopes.copy()), self.hidden, weights, *pairs, value
        )


def dual(
    rows: np.ndarray, limits: np.ndarray, most: np.ndarray, box: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Of the least of the largest ``row - limit`` where ``most <= 0``: the dual solution.

    Rows and constraints are linear functions, ``[.., features + 1]``. Constraints may be broken at
    a price, so that there is a solution where nothing meets all of them.
    """
    features, count = rows.shape[1] - 1, len(most)
    # x, the largest of the rows, by how much constraints are broken
    cost = np.concatenate([np.zeros(features), [1.0], np.full(count, PENALTY)])
    above = np.hstack([rows[:, :-1], -np.ones((len(rows), 1)), np.zeros((len(rows), count))])
    held = np.hstack([most[:, :-1], np.zeros((count, 1)), -np.eye(count)])
    result = linprog(
        cost,
        A_ub=np.vstack([above, held]),
        b_ub=np.concatenate([limits - rows[:, -1], -most[:, -1]]),
        bounds=[*zip(*box, strict=True), (None, None), *[(0, None)] * count],
    )
    assert result.status == 0, result.message
    found = np.maximum(-result.ineqlin.marginals, 0)
    return found[: len(rows)], found[len(rows) :]


def hidden_of(program: Program, claims: Claims, rng: np.random.Generator) -> tuple[Hidden, Lines]:
    """One set of hidden bounds for every problem, some with a line set of their own."""
    count, entries = claims.problems, program.entries
    slopes = rng.integers(0, 2, (2, entries)).astype(float)
    lines = Lines(slopes, rng.uniform(0, 1, (2, entries)))
    own = rng.integers(0, entries, 6), rng.choice([-1, 1], 6), rng.integers(RULE, 2, 6)
    empty = np.zeros((count, entries))
    sets = rng.integers(RULE, 2, count)
    hidden = Hidden(np.arange(count), empty, empty, sets, rng.integers(0, count, 6), *own)
    proof = Proof.of(Cells.roots(np.arange(count)), entries=entries, lines=lines, hidden=hidden)
    low, high = evaluator_of(program, claims).hidden(proof, believe=False)
    return replace(hidden, lower=low, upper=high), lines


def tight_proof(
    network: Network, program: Program, claims: Claims, rng: np.random.Generator
) -> tuple[Claims, Proof]:
    """A proof for ReLU-like networks, with the claims' limits as they are proven, of ranges."""
    hidden, lines = hidden_of(program, claims, rng)
    forest = Forest(network, claims, hidden, rng)
    for problem in range(claims.problems):
        for group in range(claims.count):
            own = claims.groups[problem] if claims.groups is not None else None
            members = np.arange(claims.count) == group if own is None else own == group
            if members.any():
                forest.tree(problem, group, members)
    proof = forest.proof()
    # The sets of the hidden bounds come last.
    first = len(proof.lines)
    joined = Lines(
        *(
            np.vstack(p)
            for p in ((proof.lines.lower, lines.lower), (proof.lines.upper, lines.upper))
        )
    )
    moved = {
        n: np.where(v >= 0, v + first, v)
        for n, v in (("lines", hidden.lines), ("own_lines", hidden.own_lines))
    }
    weights = proof.weights
    if weights is not None:
        weights = np.vstack([weights, np.zeros((len(lines), weights.shape[1]))])
    proof = replace(proof, lines=joined, hidden=replace(hidden, **moved), weights=weights)
    if claims.groups is None:
        claims = replace(claims, limits=best(claims, proof, evaluated(program, claims, proof)))
    return claims, proof


def halved_at(program: Program, claims: Claims, bends: list[np.ndarray]) -> tuple[Claims, Proof]:
    """For networks of one input: leaves on which they are linear, by the places where they bend."""
    rows: list[dict[str, float]] = []
    for problem in range(claims.problems):
        about = {"problem": problem, "group": NONE, "hidden": NONE, "lines": RULE}
        last = {**about, "parent": NONE, "side": 0, "split": NONE, "at": 0.0}
        rows.append(last)
        for at in bends[problem]:
            if claims.lower[problem, 0] < at < claims.upper[problem, 0]:
                last |= {"split": 0, "at": at}
                parent = len(rows) - 1
                leaf = {**about, "parent": parent, "split": NONE, "at": 0.0}
                rows += [leaf | {"side": -1}, last := leaf | {"side": 1}]
    cells = Cells(
        *(np.array([r[n] for r in rows], float if n == "at" else np.int64) for n in NAMES)
    )
    proof = Proof.of(cells, entries=program.entries)
    return replace(claims, limits=best(claims, proof, evaluated(program, claims, proof))), proof
