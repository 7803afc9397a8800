"""Neurons that may be split, what each costs, and where some are to be split.

Arrays are counted over all entries of the nodes that can be split, ``[items, neurons]``, in the
order of the arrays that are given.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sensverify.bounds.ibp import Interval
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.tensors import flattened
from sensverify.network import Network
from sensverify.network.operators import Windowed
from sensverify.solvers.branch_and_bound.cuts import Arrays, entries_of_neurons
from sensverify.solvers.branch_and_bound.split_rules import (
    losses,
    of_entries,
    split_points,
    splittable,
)


def free_neurons(
    network: Network, intervals: Mapping[int, Interval], nodes: Mapping[int, Tensor]
) -> Tensor:
    """Mask of the neurons that a split can help."""
    free = [splittable(network.nodes[p].operator, *intervals[p]) for p in nodes]
    return torch.cat([flattened(part) for part in free], dim=1)


def neuron_losses(
    network: Network,
    seen: Arrays,
    lines: Mapping[int, Relaxation],
    intervals: Mapping[int, Interval],
    nodes: Mapping[int, Tensor],
) -> Tensor:
    """The loss of a bound at the lines around each neuron.

    Parameters
    ----------
    network : Network
    seen : dict from node to Tensor ``[items, *shape]``
        Coefficients on its output.
    lines, intervals : dict from node to its lines, and to bounds on what enters it
    nodes : mapping whose keys are the nodes
    """
    found = []
    for p in nodes:
        loss = losses(network.nodes[p].operator, seen[p], lines[p], *intervals[p])
        found.append(flattened(loss))
    return torch.cat(found, dim=1)


def points_of(
    network: Network,
    seen: Arrays,
    intervals: Mapping[int, Interval],
    nodes: Mapping[int, Tensor],
    neuron: Tensor,
) -> Tensor:
    """The points at which to split some neurons of each item, float32 ``[items, some]``.

    Parameters
    ----------
    network, seen, intervals, nodes
        As for `neuron_losses`.
    neuron : Tensor, shape ``[items, some]``
    """
    result = torch.zeros(neuron.shape, device=neuron.device)
    for position, where, entry in entries_of_neurons(nodes, neuron):
        if len(entry):
            found = _points(network, seen, intervals, position, where[0], entry)
            result[where] = found.float()
    return result


def _points(
    network: Network,
    seen: Arrays,
    intervals: Mapping[int, Interval],
    position: int,
    item: Tensor,
    entry: Tensor,
) -> Tensor:
    node = network.nodes[position]
    low, high = (flattened(end) for end in intervals[position])
    number = torch.zeros_like(entry)
    if isinstance(node.operator, Windowed):
        size = intervals[position][0].shape[-1]
        low, high = (end.reshape(len(end), -1, size) for end in (low, high))
        entry, number = entry // size, entry % size
    weight = flattened(seen[position])[item, entry]
    operator = of_entries(node.operator, node.shape, entry)
    ends = low[item, entry].unsqueeze(0), high[item, entry].unsqueeze(0)
    return split_points(operator, weight.unsqueeze(0), *ends, number)
