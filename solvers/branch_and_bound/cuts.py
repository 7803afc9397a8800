"""Cuts: what a split says of the numbers that enter nonlinear operators.

A split at p of a number z leaves ``z <= p`` in one part and ``z >= p`` in the other; the sign of a
ReLU is the case p = 0. All that the splits of one sub-problem say together is one interval for each
such number. Its ends are float32, so that a sub-problem takes little room: splits are at such
numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import torch
from torch import Tensor

from sensverify.bounds.ibp import Interval

Arrays = dict[int, Tensor]
"""For nonlinear nodes, an array with one entry for each number that enters, ``[items, *shape]``."""

Cuts = tuple[Arrays, Arrays]
"""The lower and the upper ends of the intervals; infinite where no split says anything."""


def no_cuts(shapes: dict[int, tuple[int, ...]], items: int, device: torch.device) -> Cuts:
    """Ends that say nothing, for nodes that numbers of these shapes enter."""
    low, high = (
        {p: torch.full((items, *s), end, device=device) for p, s in shapes.items()}
        for end in (-torch.inf, torch.inf)
    )
    return low, high


def entries_of_neurons(
    arrays: Mapping[int, Tensor], neuron: Tensor
) -> Iterator[tuple[int, tuple[Tensor, ...], Tensor]]:
    """By node, the places of neurons that are there, and which of the node's entries they are.

    Parameters
    ----------
    arrays : mapping from node to Tensor ``[items, *shape]``
        Over all entries of which neurons are counted, node by node.
    neuron : int64 Tensor of any shape
        Outside of that count it is of no node.
    """
    start = 0
    for position, values in arrays.items():
        count = prod(values.shape[1:])
        where = ((neuron >= start) & (neuron < start + count)).nonzero(as_tuple=True)
        yield position, where, neuron[where] - start
        start += count


def within_cuts(interval: Interval, low: Tensor, high: Tensor) -> Interval:
    """Bounds that say no less than the cuts; where these contradict them, a point of the cuts.

    Then nothing is left of the sub-problem, and any line is valid.
    """
    low, high = low.to(interval[0]), high.to(interval[1])
    return interval[0].clamp(low, high), interval[1].clamp(low, high)


def cut_nodes(cuts: Cuts) -> dict[int, Interval]:
    """The ends at the nodes of which some number is cut."""
    low, high = cuts
    return {
        p: (low[p], high[p])
        for p in low
        if bool((torch.isfinite(low[p]) | torch.isfinite(high[p])).any())
    }
