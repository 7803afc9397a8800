"""The linear program of a sub-problem in which everything that matters is linear.

Over a box its columns are the inputs; over an input set they are weights of points of the set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse

from sensverify.bounds.support import least_move
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.core.sets import InputSet
from sensverify.errors import BackendFailure, Unbounded
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.points_of_sets import Affine, WeightsOfPoints
from sensverify.solvers.encoding.problem import Problem
from sensverify.solvers.highs import Highs

_PENALTY = 1e4
"""Price of breaking the split constraints, relative to the size of the objective. With a price
instead of hard constraints the program always has an optimum, also where the leaf is empty."""

_DENOMINATORS = 512
"""Largest common denominator that is tried for multipliers."""

_POINTS = 64
"""Points of an input set that join, at most."""

_CLOSE = 1e-9
"""What a program may still be above the proven bound, relative to the objective, at the end."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """The answer of a linear program about a leaf.

    Parameters
    ----------
    bound : float
        Proven by weak duality, whatever the solver did: SOUND. Minus infinity if nothing is, as
        where numbers overflow or the solver fails.
    point : numpy array, shape ``[features]``, or None
        An input close to where the smallest value is taken.
    multipliers : numpy array, shape ``[cuts]``, at least 0, or None
        What the constraints are weighed with in the proof: one for every end that is cut, node by
        node, first those of the lower ends in the order of the entries, then of the upper ones.
    weights : numpy array, shape ``[rows]``, at least 0, or None
        What the rows are weighed with in the proof.
    """

    bound: float = -np.inf
    point: np.ndarray | None = None
    multipliers: np.ndarray | None = None
    weights: np.ndarray | None = None

    def in_short_fractions(self) -> Leaf:
        """The same with multipliers and weights that are small integers, where they are in ratio.

        Where a strict limit is just reached, rounded multipliers fall short of it, however little.
        """
        if self.multipliers is None or self.weights is None:
            return self
        count = len(self.multipliers)
        values = np.concatenate([self.multipliers, self.weights]) / self.weights.max()
        for denominator in range(1, _DENOMINATORS + 1):
            near = np.round(values * denominator)
            if bool((np.abs(values * denominator - near) <= 1e-6 * denominator).all()):
                return replace(self, multipliers=near[:count], weights=near[count:])
        return self


@dataclass(frozen=True, eq=False)
class LeafProgram:
    """The least value of the largest of some rows, where some affine functions are at least 0.

    Parameters
    ----------
    box : Box of tensors
        One box, or one input set.
    cuts : Affine
        At least 0 in the leaf.
    rows : Affine
    scale : float
        Size of the objective.
    """

    box: Box
    cuts: Affine
    rows: Affine
    scale: float

    def solved(self, watch: Watch) -> Leaf:
        """The bound that the program proves: none where HiGHS fails."""
        try:
            if isinstance(self.box, InputSet):
                return self._on_set(self.box)
            return self._on_box(watch)
        except (BackendFailure, Unbounded):
            # What gradient steps have proven stays.
            return Leaf()

    def _on_box(self, watch: Watch) -> Leaf:
        lower, upper = (flattened(end)[0].cpu().numpy() for end in (self.box.lower, self.box.upper))
        program, cost = _program(self.cuts, self.rows, lower, upper, _PENALTY * self.scale)
        solution = Highs(program).minimise(cost, watch=watch)
        point = None
        if solution.point is not None:
            point = np.clip(solution.point[: len(lower)], lower, upper)
        if solution.multipliers is None:
            return Leaf(point=point)
        multipliers, weights = self._dual(solution.multipliers)
        line, constant = self._line(multipliers, weights)
        with np.errstate(over="ignore", invalid="ignore"):
            least = line @ (lower / 2 + upper / 2) - np.abs(line) @ (upper / 2 - lower / 2)
        return _proven(constant + least, point, multipliers, weights)

    def _on_set(self, inside: InputSet) -> Leaf:
        """Points of the set join for as long as the least value may become less by one."""
        equal = np.full(len(self.rows), 1 / len(self.rows))
        own = flattened(inside.point)[0].double().cpu().numpy()
        _, joining = self._least(inside, np.zeros(len(self.cuts)), equal)
        program = WeightsOfPoints(self.cuts, self.rows, _PENALTY * self.scale)
        program.add(own)
        best, point = Leaf(), own
        for _ in range(_POINTS):
            program.add(joining)
            solved = program.solved()
            if solved is None:
                break
            value, point, found = solved
            multipliers, weights = self._dual(found)
            bound, joining = self._least(inside, multipliers, weights)
            leaf = _proven(bound, None, multipliers, weights)
            best = leaf if leaf.bound > best.bound else best
            # Above 0 there is nothing left to prove. Written so that a NaN ends it.
            if best.bound >= 0 or not best.bound < value - _CLOSE * self.scale:
                break
        return replace(best, point=point)

    def _dual(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The multipliers of the cuts, and the weights of the rows, of a program's multipliers."""
        found = np.maximum(found, 0.0)
        cuts, rows = len(self.cuts), len(self.rows)
        multipliers, weights = found[:cuts], found[cuts : cuts + rows]
        # One row is not weighed; without any weight, as when time was up, the rows count the same.
        if rows == 1 or not weights.sum() > 0:
            return multipliers, np.full(rows, 1 / rows)
        return multipliers, weights / weights.sum()

    def _line(self, multipliers: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
        """Slopes and constant of the function that is below the weighted rows in the leaf."""
        with np.errstate(over="ignore", invalid="ignore"):
            line = weights @ self.rows.slopes - multipliers @ self.cuts.slopes
            constant = weights @ self.rows.constants - multipliers @ self.cuts.constants
        return line, float(constant)

    def _least(
        self, inside: InputSet, multipliers: np.ndarray, weights: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """The least value of the line on the set, and where it is about taken."""
        line, constant = self._line(multipliers, weights)
        own = flattened(inside.point)[0].double()
        slopes = torch.from_numpy(line).to(own)
        value, move = least_move(inside, slopes.reshape(1, 1, -1))
        bound = constant + float(slopes @ own) + float(value)
        return bound, (own + move[0, 0]).cpu().numpy()


def _proven(
    bound: float, point: np.ndarray | None, multipliers: np.ndarray, weights: np.ndarray
) -> Leaf:
    """A leaf with a bound; an overflow proves nothing."""
    if not np.isfinite(bound):
        return Leaf(point=point)
    return Leaf(float(bound), point, multipliers, weights)


def _program(
    cuts: Affine, rows: Affine, lower: np.ndarray, upper: np.ndarray, price: float
) -> tuple[Problem, np.ndarray]:
    """A program whose least value is that of the largest row, and its cost.

    ``slopes · x + constants + t >= 0`` for the cuts, with one more column t for how far that is
    broken; and where there are several rows, ``v - slopes · x >= constants``, with a column v.
    """
    several, inputs = len(rows) > 1, len(lower)
    columns = inputs + 1 + several
    reach = np.maximum(np.abs(lower), np.abs(upper))
    most = [cuts.most(reach), rows.most(reach)][: columns - inputs]
    matrix = np.zeros((len(cuts), columns))
    matrix[:, :inputs], matrix[:, inputs] = cuts.slopes, 1.0
    cost = np.zeros(columns)
    cost[inputs] = price
    right = -cuts.constants
    if several:
        above = np.zeros((len(rows), columns))
        above[:, :inputs], above[:, -1], cost[-1] = -rows.slopes, 1.0, 1.0
        matrix, right = np.concatenate([matrix, above]), np.append(right, rows.constants)
    else:
        cost[:inputs] = rows.slopes[0]
    return Problem(
        lower=np.concatenate([lower, np.array([0.0, -most[-1]])[: len(most)]]),
        upper=np.concatenate([upper, most]),
        integer=np.zeros(columns, dtype=bool),
        matrix=sparse.csr_array(matrix),
        row_lower=right,
        row_upper=np.full(len(right), np.inf),
    ), cost
