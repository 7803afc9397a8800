"""Sub-problems without a free neuron that matters: of kinks alone, a linear program is exact there.

Gradient steps on the multipliers of split constraints come close to the optimum of that program
and seldom reach it. Its own multipliers do, and any multipliers prove a bound.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.backward import backward_lines
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.tensors import flattened
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.leaf_program import Leaf, LeafProgram
from sensverify.solvers.branch_and_bound.line_problem import LineProblem
from sensverify.solvers.branch_and_bound.points_of_sets import Affine


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
    relaxations = {p: r.of(slice(item, item + 1)) for p, r in problem.relaxations.items()}
    slopes, constants = _constraints(problem, item, relaxations)
    present = problem.present[item].cpu().numpy()
    lines, heights = _lines(problem, relaxations, problem.rows[item : item + 1], None)
    with np.errstate(over="ignore", invalid="ignore"):
        lines, heights = lines[present], (heights - problem.limits[item].cpu().numpy())[present]
    box = problem.box_of(item)
    leaf = LeafProgram(box, Affine(slopes, constants), Affine(lines, heights), scale).solved(watch)
    if leaf.weights is None:
        return leaf
    every = np.zeros(len(present))
    every[present] = leaf.weights
    return replace(leaf, weights=every)


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
