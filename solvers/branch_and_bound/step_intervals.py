"""Intervals of sub-problems of networks with steps, carried forward from what splits have decided.

A split at a jump leaves a step with one value less, often with a single one. What enters the next
layer then moves hardly, and intervals say so, where bounds on the whole box say nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sensverify.bounds.extremes import inside_of_jumps
from sensverify.bounds.ibp import Interval, interval
from sensverify.bounds.tensors import flattened
from sensverify.network import Network
from sensverify.network.operators import Operator, Steps
from sensverify.solvers.branch_and_bound.cuts import Cuts, within_cuts

_APART = 1e-6
"""Share of their magnitude by which intervals have to miss each other to have nothing in common."""


def has_steps(network: Network) -> bool:
    """True where an operator jumps."""
    return any(isinstance(node.operator, Steps) for node in network.nodes)


def within(operator: Operator, ends: Interval, low: Tensor, high: Tensor) -> Interval:
    """Bounds on what enters an operator that say no less than cuts; at a jump, on its own side."""
    low, high = low.to(ends[0]), high.to(ends[0])
    ends = within_cuts(ends, low, high)
    if isinstance(operator, Steps) and operator.sided:
        jumps = (
            torch.where(operator.jump_from(c, torch) == c, c, far)
            for c, far in ((low, -torch.inf), (high, torch.inf))
        )
        return inside_of_jumps(*ends, *jumps)
    return ends


def carried(
    network: Network, box: Interval, known: Mapping[int, Interval], cuts: Cuts
) -> tuple[dict[int, Interval], Tensor]:
    """Bounds on what enters every nonlinear node of sub-problems.

    Parameters
    ----------
    network : Network
    box : pair of Tensor, shape ``[items, *input_shape]``
    known : mapping from nonlinear node to bounds on what enters it, ``[items, *shape]``
        Without the cuts.
    cuts : Cuts

    Returns
    -------
    intervals : dict from nonlinear node to bounds on what enters it
        Within the known ones and the cuts.
    empty : boolean Tensor, shape ``[items]``
        Of sub-problems in which no input lies.
    """
    values: dict[int, Interval] = {0: box}
    intervals: dict[int, Interval] = {}
    empty = torch.zeros(len(box[0]), dtype=torch.bool, device=box[0].device)
    for position, node in enumerate(network.nodes):
        if position == 0:
            continue
        sources = [values[source] for source in node.inputs]
        if position in known:
            ends, other = known[position], sources[0]
            low = torch.maximum(ends[0], other[0])
            high = torch.minimum(ends[1], other[1])
            # Rounding can cross the ends of a very thin interval.
            low, high = torch.minimum(low, high), torch.maximum(low, high)
            if position in cuts[0]:
                cut = cuts[0][position].to(low), cuts[1][position].to(low)
                size = _APART * torch.maximum(low.abs(), high.abs()).clamp(min=1.0)
                empty |= flattened((low - size > cut[1]) | (high + size < cut[0])).any(dim=1)
                low, high = within(node.operator, (low, high), *cut)
            intervals[position] = (low, high)
            sources = [(low, high)]
        values[position] = interval(node.operator, *sources)
        for source in node.inputs:
            if network.consumers[source][-1] == position:
                values.pop(source, None)
    return intervals, empty
