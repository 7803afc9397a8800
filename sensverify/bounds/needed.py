"""Layers that need no backward pass, and neurons of which it is enough to know where they are."""

from __future__ import annotations

import torch
from torch import Tensor

from sensverify.network import Network
from sensverify.network.operators import (
    Affine,
    Conv,
    ConvTranspose,
    Elementwise,
    Nonlinear,
    Pad,
    Permute,
    PiecewiseLinear,
    Relu,
    Reshape,
    Scale,
    Select,
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


def kinks_that_matter(network: Network, source: int) -> tuple[float, ...] | None:
    """The kinks of all that reads a node, where only functions that are linear between them do.

    On a box on which a value stays between two kinks, the lines around such a function are the
    function itself, whatever the bounds on the value. None where something else reads the node.
    """
    kinks: set[float] = set()
    for position in network.consumers[source]:
        reader = network.nodes[position].operator
        if not isinstance(reader, PiecewiseLinear):
            return None
        kinks.update(reader.kinks)
    return tuple(sorted(kinks))


def crosses(lower: Tensor, upper: Tensor, kinks: tuple[float, ...]) -> Tensor:
    """True where a value may be on both sides of a kink, for all that its bounds tell.

    Bounds that overflowed, or are NaN, tell nothing.
    """
    tells = torch.isfinite(lower) & torch.isfinite(upper)
    for kink in kinks:
        tells &= (lower >= kink) | (upper <= kink)
    return ~tells


def only_signs_matter(network: Network, source: int) -> bool:
    """True where nothing but ReLUs reads a node, and no bounds follow from their ranges."""
    return only_relus_read(network, source) and not ranges_matter(network, source)


def only_relus_read(network: Network, source: int) -> bool:
    """True where nothing but ReLUs reads a node."""
    return all(isinstance(network.nodes[p].operator, Relu) for p in network.consumers[source])


def range_follows(network: Network, target: int) -> bool:
    """True where a node's bounds follow from those on what enters a function of one number.

    They do where nothing but moves of numbers stands between: a line around the function, over
    what enters it, ends nowhere inside of the function's range there.
    """
    while isinstance(network.nodes[target].operator, _MOVES):
        (target,) = network.nodes[target].inputs
    return isinstance(network.nodes[target].operator, Elementwise)


def ranges_matter(network: Network, source: int) -> bool:
    """True where bounds follow, by `range_follows`, from those on a node."""
    return any(
        isinstance(network.nodes[p].operator, Elementwise) and _reaches_function(network, p)
        for p in network.consumers[source]
    )


def _reaches_function(network: Network, position: int) -> bool:
    """True where a nonlinear node reads a node's numbers, moved or not."""
    readers = ((p, network.nodes[p].operator) for p in network.consumers[position])
    return any(
        isinstance(operator, Nonlinear)
        or (isinstance(operator, _MOVES) and _reaches_function(network, reader))
        for reader, operator in readers
    )
