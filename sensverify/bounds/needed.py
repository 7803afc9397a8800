"""Layers that need no backward pass, and neurons of which the sign is enough."""

from __future__ import annotations

import torch

from sensverify.network import Network
from sensverify.network.operators import (
    Affine,
    Conv,
    ConvTranspose,
    Pad,
    Permute,
    Relu,
    Reshape,
    Scale,
    Select,
)


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


def only_signs_matter(network: Network, source: int) -> bool:
    """True where nothing but ReLUs reads a node.

    The lines around a ReLU that is active, or inactive, on the whole box are the ReLU itself,
    whatever the bounds on what enters it.
    """
    return all(isinstance(network.nodes[p].operator, Relu) for p in network.consumers[source])
