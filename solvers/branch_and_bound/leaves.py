"""Sub-problems without a free neuron that matters: a linear program is exact there.

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
from sensverify.network.operators import Relu
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
    multipliers : numpy array, shape ``[signs]``, at least 0, or None
        What the constraints are weighed with in the proof: one for every fixed sign, in the order
        of the ReLU nodes and of their neurons.
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
        Of sub-problems in which every ReLU that a row depends on is stable or fixed. Others do no
        harm: what depends on them is left out or bounded.
    item : int
    scale : float
        Size of the objective.
    watch : Watch
    """
    lower, upper = (end[item].cpu().numpy() for end in (problem.lower, problem.upper))
    relaxations = {p: r.of(slice(item, item + 1)) for p, r in problem.relaxations.items()}
    slopes, constants = _constraints(problem, item, relaxations)
    present = problem.present[item].cpu().numpy()
    lines, heights, _ = _lines(problem, relaxations, problem.rows[item : item + 1], None)
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
    signs: tuple[np.ndarray, np.ndarray],
    rows: tuple[np.ndarray, np.ndarray],
) -> tuple[Problem, np.ndarray]:
    """A program whose least value is that of the largest row, with a cost still without penalty.

    ``slopes · x + constants + t >= 0`` for the signs, with one more column t for how far that is
    broken; and where there are several rows, ``v - lines · x >= heights``, with a column v.
    """
    slopes, constants = signs
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

    Zero for the signs of neurons that depend on free ones, which are not affine.
    """
    crossing = {p: _crossing(r) for p, r in relaxations.items()}
    slopes, constants = [np.zeros((0, problem.lower.shape[1]))], [np.zeros(0)]
    for position, values in problem.signs.items():
        sign = values[item].flatten()
        places = sign.nonzero().squeeze(1)
        if not len(places):
            continue
        rows = problem.rows.new_zeros(1, len(places), len(sign))
        rows[0, torch.arange(len(places)), places] = sign[places].to(rows)
        source = problem.network.nodes[position].inputs[0]
        line, constant, seen = _lines(problem, relaxations, rows, source)
        bent = np.zeros(len(places), dtype=bool)
        for p, weights in seen.items():
            bent |= flattened((weights != 0) & crossing[p], 2).any(dim=2)[0].cpu().numpy()
        slopes.append(np.where(bent[:, None], 0.0, line))
        constants.append(np.where(bent, 0.0, constant))
    return np.concatenate(slopes), np.concatenate(constants)


def _lines(
    problem: LineProblem, relaxations: dict[int, Relaxation], rows: Tensor, target: int | None
) -> tuple[np.ndarray, np.ndarray, dict[int, Tensor]]:
    network = problem.network
    last = len(network.nodes) - 1 if target is None else target
    objectives = rows.reshape(1, rows.shape[1], *network.nodes[last].shape)
    needed = {p: r for p, r in relaxations.items() if p <= last}
    slopes, constants, seen = backward_lines(network, objectives, needed, target=last)
    return flattened(slopes[0]).cpu().numpy(), constants[0].cpu().numpy(), seen


def _crossing(relaxation: Relaxation) -> Tensor:
    """Of a ReLU's neurons, those with two lines."""
    above = relaxation.upper_intercept
    return (
        torch.zeros_like(relaxation.upper_slope, dtype=torch.bool) if above is None else above > 0
    )


def is_affine(problem: LineProblem) -> bool:
    """True where fixing every ReLU leaves nothing nonlinear."""
    nodes = problem.network.nodes
    return all(isinstance(nodes[p].operator, Relu) for p in problem.relaxations)
