"""Sub-problems without a free neuron that matters: of kinks alone, a linear program is exact there.

Gradient steps on the multipliers of split constraints come close to the optimum of that program
and seldom reach it. Its own multipliers do, and any multipliers prove a bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sensverify.bounds.backward import backward_lines
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.tensors import flattened
from sensverify.errors import BackendFailure, Unbounded
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.optimising import LineProblem
from sensverify.solvers.encoding.problem import Problem
from sensverify.solvers.highs import Highs

_PENALTY = 1e4
"""Price of breaking the split constraints, relative to the size of the objective. With a price
instead of hard constraints the program always has an optimum, also where the leaf is empty."""

_DENOMINATORS = 512
"""Largest common denominator that is tried for multipliers."""


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


def leaf_bound(problem: LineProblem, item: int, scale: float, watch: Watch) -> Leaf:
    """The least distance of a leaf's rows above their limits, of the row that is farthest.

    By linear programming duality some weighted sum of the rows is as far above.

    Parameters
    ----------
    problem : LineProblem
        Exact where every neuron that a row depends on is linear on its interval. Others do no harm:
        lines stand for them.
    item : int
    scale : float
        Size of the objective.
    watch : Watch
    """
    lower, upper = (end[item].cpu().numpy() for end in (problem.lower, problem.upper))
    relaxations = {p: r.of(slice(item, item + 1)) for p, r in problem.relaxations.items()}
    slopes, constants = _constraints(problem, item, relaxations)
    present = problem.present[item].cpu().numpy()
    lines, heights = _lines(problem, relaxations, problem.rows[item : item + 1], None)
    with np.errstate(over="ignore", invalid="ignore"):
        lines, heights = lines[present], (heights - problem.limits[item].cpu().numpy())[present]
    try:
        program, cost = _program(lower, upper, (slopes, constants), (lines, heights))
        cost[len(lower)] = _PENALTY * scale
        solution = Highs(program).minimise(cost, watch=watch)
    except (BackendFailure, Unbounded):
        # What gradient steps have proven stays.
        return Leaf()
    point = None
    if solution.point is not None:
        point = np.clip(solution.point[: len(lower)], lower, upper)
    if solution.multipliers is None:
        return Leaf(point=point)
    found = np.maximum(solution.multipliers, 0.0)
    multipliers, weights = found[: len(slopes)], found[len(slopes) :]
    # One row is not weighed; without any weight, as when time was up, the rows count the same.
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(lines), 1 / len(lines))
    with np.errstate(over="ignore", invalid="ignore"):
        line = weights @ lines - multipliers @ slopes
        bound = weights @ heights - multipliers @ constants
        bound += float(line @ (lower / 2 + upper / 2) - np.abs(line) @ (upper / 2 - lower / 2))
    # An overflow proves nothing.
    if not np.isfinite(bound):
        return Leaf(point=point)
    every = np.zeros(len(present))
    every[present] = weights
    return Leaf(float(bound), point, multipliers, every)


def _program(
    lower: np.ndarray,
    upper: np.ndarray,
    cuts: tuple[np.ndarray, np.ndarray],
    rows: tuple[np.ndarray, np.ndarray],
) -> tuple[Problem, np.ndarray]:
    """A program whose least value is that of the largest row, with a cost still without penalty.

    ``slopes · x + constants + t >= 0`` for the cuts, with one more column t for how far that is
    broken; and where there are several rows, ``v - lines · x >= heights``, with a column v.
    """
    slopes, constants = cuts
    lines, heights = rows
    several = len(lines) > 1
    columns = len(lower) + 1 + several
    reach = np.maximum(np.abs(lower), np.abs(upper))
    most = [_most(slopes, constants, reach), _most(lines, heights, reach)][: columns - len(lower)]
    matrix = np.zeros((len(slopes), columns))
    matrix[:, : len(lower)], matrix[:, len(lower)] = slopes, 1.0
    cost = np.zeros(columns)
    right = -constants
    if several:
        above = np.zeros((len(lines), columns))
        above[:, : len(lower)], above[:, -1], cost[-1] = -lines, 1.0, 1.0
        matrix, right = np.concatenate([matrix, above]), np.append(right, heights)
    else:
        cost[: len(lower)] = lines[0]
    return Problem(
        lower=np.concatenate([lower, np.array([0.0, -most[-1]])[: len(most)]]),
        upper=np.concatenate([upper, most]),
        integer=np.zeros(columns, dtype=bool),
        matrix=sparse.csr_array(matrix),
        row_lower=right,
        row_upper=np.full(len(right), np.inf),
    ), cost


def _most(slopes: np.ndarray, constants: np.ndarray, reach: np.ndarray) -> float:
    """More than the magnitude of any of the affine functions."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.abs(constants).max(initial=0.0)) + float(
            (np.abs(slopes) * reach).sum(axis=1).max(initial=0.0)
        )


def _constraints(
    problem: LineProblem, item: int, relaxations: dict[int, Relaxation]
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and constants of affine functions of the input that are at least 0 in the leaf.

    What is cut is one itself where nothing bent is before it; else a line above it takes its place.
    """
    slopes, constants = [np.zeros((0, problem.lower.shape[1]))], [np.zeros(0)]
    for position, (sides, places, ends) in _cut_ends(problem, item).items():
        size = problem.cuts[position][0][item].numel()
        rows = problem.rows.new_zeros(1, len(places), size)
        rows[0, torch.arange(len(places)), places] = -sides.to(rows)
        source = problem.network.nodes[position].inputs[0]
        line, constant = _lines(problem, relaxations, rows, source)
        slopes.append(-line)
        constants.append(-constant - (sides * ends).cpu().numpy())
    return np.concatenate(slopes), np.concatenate(constants)


def _cut_ends(problem: LineProblem, item: int) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
    """By node with a cut: the sides, 1 for lower ends and -1 for upper ones, entries and ends."""
    found = {}
    for position, cut in problem.cuts.items():
        low, high = (end[item].flatten() for end in cut)
        places = [torch.isfinite(end).nonzero().squeeze(1) for end in (low, high)]
        sides = [torch.full_like(p, s) for p, s in zip(places, (1, -1), strict=True)]
        ends = torch.cat([low[places[0]], high[places[1]]]).double()
        if len(ends):
            found[position] = (torch.cat(sides), torch.cat(places), ends)
    return found


def _lines(
    problem: LineProblem, relaxations: dict[int, Relaxation], rows: Tensor, target: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and constants of lines below rows of one node."""
    network = problem.network
    last = len(network.nodes) - 1 if target is None else target
    objectives = rows.reshape(1, rows.shape[1], *network.nodes[last].shape)
    needed = {p: r for p, r in relaxations.items() if p <= last}
    slopes, constants, _ = backward_lines(network, objectives, needed, target=last)
    return flattened(slopes[0]).cpu().numpy(), constants[0].cpu().numpy()
