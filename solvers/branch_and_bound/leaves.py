"""Sub-problems without a free neuron: there the network is affine, and a linear program is exact.

Gradient steps on the multipliers of split constraints come close to the optimum of that program
and seldom reach it. Its own multipliers do, and any multipliers prove a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sensverify.bounds.backward import backward_lines
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.tensors import flattened
from sensverify.errors import BackendFailure, Unbounded
from sensverify.network.operators import Relu
from sensverify.solvers.branch_and_bound.optimising import LineProblem
from sensverify.solvers.encoding.problem import Problem
from sensverify.solvers.highs import Highs
from sensverify.watch import Watch

_PENALTY = 1e4
"""Price of breaking the split constraints, relative to the size of the objective. With a price
instead of hard constraints the program always has an optimum, also where the leaf is empty."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """What a linear program says about a leaf.

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
    """

    bound: float = -np.inf
    point: np.ndarray | None = None
    multipliers: np.ndarray | None = None


def leaf_bound(problem: LineProblem, item: int, scale: float, watch: Watch) -> Leaf:
    """The smallest weighted distance of a leaf's rows to their limits.

    Parameters
    ----------
    problem : LineProblem
        Of sub-problems whose ReLUs are all stable or fixed, and with one row each.
    item : int
    scale : float
        Size of the objective.
    watch : Watch
    """
    lower, upper = (end[item].cpu().numpy() for end in (problem.lower, problem.upper))
    relaxations = {p: r.of(slice(item, item + 1)) for p, r in problem.relaxations.items()}
    slopes, constants = _constraints(problem, item, relaxations)
    cost, constant = _lines(problem, relaxations, problem.rows[item : item + 1], None)
    price = np.append(cost[0], _PENALTY * scale)
    try:
        program = _program(lower, upper, slopes, constants)
        solution = Highs(program).minimise(price, watch=watch)
    except (BackendFailure, Unbounded):
        # What gradient steps have proven stays.
        return Leaf()
    bound = -np.inf if solution.bound is None else solution.bound
    bound += float(constant[0]) - float(problem.limits[item, 0])
    point = None if solution.point is None else np.clip(solution.point[:-1], lower, upper)
    # An overflow proves nothing.
    if not np.isfinite(bound):
        return Leaf(point=point)
    given = solution.multipliers
    return Leaf(bound, point, None if given is None else np.maximum(given, 0.0))


def _program(
    lower: np.ndarray, upper: np.ndarray, slopes: np.ndarray, constants: np.ndarray
) -> Problem:
    """``slopes · x + constants + t >= 0`` with one more column t, for how far that is broken."""
    most = float(np.abs(constants).max(initial=0.0)) + float(
        (np.abs(slopes) * np.maximum(np.abs(lower), np.abs(upper))).sum(axis=1).max(initial=0.0)
    )
    return Problem(
        lower=np.append(lower, 0.0),
        upper=np.append(upper, most),
        integer=np.zeros(len(lower) + 1, dtype=bool),
        matrix=sparse.csr_array(np.hstack([slopes, np.ones((len(slopes), 1))])),
        row_lower=-constants,
        row_upper=np.full(len(slopes), np.inf),
    )


def _constraints(
    problem: LineProblem, item: int, relaxations: dict[int, Relaxation]
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and constants of affine functions of the input that are at least 0 in the leaf."""
    slopes, constants = [np.zeros((0, problem.lower.shape[1]))], [np.zeros(0)]
    for position, values in problem.signs.items():
        sign = values[item].flatten()
        places = sign.nonzero().squeeze(1)
        if not len(places):
            continue
        rows = problem.rows.new_zeros(1, len(places), len(sign))
        rows[0, torch.arange(len(places)), places] = sign[places].to(rows)
        source = problem.network.nodes[position].inputs[0]
        line, constant = _lines(problem, relaxations, rows, source)
        slopes.append(line)
        constants.append(constant)
    return np.concatenate(slopes), np.concatenate(constants)


def _lines(
    problem: LineProblem, relaxations: dict[int, Relaxation], rows: Tensor, target: int | None
) -> tuple[np.ndarray, np.ndarray]:
    network = problem.network
    last = len(network.nodes) - 1 if target is None else target
    objectives = rows.reshape(1, rows.shape[1], *network.nodes[last].shape)
    needed = {p: r for p, r in relaxations.items() if p <= last}
    slopes, constants, _ = backward_lines(network, objectives, needed, target=last)
    return flattened(slopes[0]).cpu().numpy(), constants[0].cpu().numpy()


def is_affine(problem: LineProblem) -> bool:
    """Whether fixing every ReLU leaves nothing nonlinear."""
    nodes = problem.network.nodes
    return problem.rows.shape[1] == 1 and all(
        isinstance(nodes[p].operator, Relu) for p in problem.relaxations
    )
