"""Layers that need no backward pass, and neurons of which the sign is enough."""

from __future__ import annotations

import torch

from sensverify.network import Network
from sensverify.network.operators import (
    Affine,
    Conv,
    ConvTranspose,
    Max,
    Nonlinear,
    Pad,
    Permute,
    PiecewiseLinear,
    Relu,
    Reshape,
    Scale,
    Select,
    Smooth,
)

_MOVES = (Pad, Permute, Reshape, Select)


def interval_is_exact(network: Network, target: int) -> bool:
    """True where interval arithmetic gives the exact range of every entry of a node.

    It does along a chain from the input with at most one operator that sums entries, and none in
    front of it that repeats entries: interval arithmetic takes the copies for independent.
    """
    sums = 0
    position = target
    while position:
        node = network.nodes[position]
        if isinstance(node.operator, Affine | Conv | ConvTranspose):
            sums += 1
        elif isinstance(node.operator, Select):
            if sums and _repeats(node.operator):
                return False
        elif not isinstance(node.operator, Scale | Pad | Permute | Reshape):
            return False
        (position,) = node.inputs
    return sums <= 1


def _repeats(operator: Select) -> bool:
    indices = operator.indices.flatten()
    return len(torch.unique(indices)) < len(indices)


def range_is_in_front(network: Network, target: int) -> bool:
    """True where a node's bounds follow from those on what enters nonlinear nodes in front of it.

    It does where a rising function or a maximum is followed by nothing but moves of numbers: lines
    around such a function, over what enters it, end nowhere inside of its interval.
    """
    operator = network.nodes[target].operator
    while isinstance(operator, _MOVES):
        (target,) = network.nodes[target].inputs
        operator = network.nodes[target].operator
    rises = isinstance(operator, PiecewiseLinear | Smooth) and operator.rising is True
    return rises or isinstance(operator, Max)


def only_relus_read(network: Network, source: int) -> bool:
    """True where nothing but ReLUs reads a node.

    Where such a ReLU is inactive on the whole box, it is 0 whatever the bounds on what enters it.
    """
    return all(isinstance(network.nodes[p].operator, Relu) for p in network.consumers[source])


def only_signs_matter(network: Network, source: int) -> bool:
    """True where only ReLUs read a node, and no bounds follow from their ranges.

    The lines around a ReLU that is active, or inactive, on the whole box are the ReLU itself,
    whatever the bounds on what enters it.
    """
    relus = network.consumers[source]
    return only_relus_read(network, source) and not any(_gives_range(network, p) for p in relus)


def _gives_range(network: Network, position: int) -> bool:
    """True where a nonlinear node reads a node's numbers, moved or not."""
    readers = [(p, network.nodes[p].operator) for p in network.consumers[position]]
    return any(
        isinstance(operator, Nonlinear)
        or (isinstance(operator, _MOVES) and _gives_range(network, reader))
        for reader, operator in readers
    )
