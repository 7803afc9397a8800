"""Affine functions of the input over input sets, which intervals of the box around a set forget."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from sensverify.bounds.backward import backward_bounds
from sensverify.core.box import Box
from sensverify.core.sets import InputSet
from sensverify.network import Network
from sensverify.network.operators import Nonlinear

_SET_ENTRIES = 1 << 22
"""Coefficients on one layer that are held at a time where a set is the input."""


def first_layers(network: Network, box: Box) -> dict[int, tuple[Tensor, Tensor]]:
    """Bounds over input sets on what enters nonlinear nodes with affine maps alone before them.

    Empty for boxes, of which intervals know as much.
    """
    if not isinstance(box, InputSet):
        return {}
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for position in first_functions(network):
        source = network.nodes[position].inputs[0]
        shape = (box.batch, *network.nodes[source].shape)
        lower, upper = over_set(network, source, None, box)
        found[position] = (lower.reshape(shape), upper.reshape(shape))
    return found


def first_functions(network: Network) -> list[int]:
    """The nonlinear nodes with affine maps alone in front of them, in order."""
    found: list[int] = []
    behind: set[int] = set()
    for position, node in enumerate(network.nodes):
        bent, after = isinstance(node.operator, Nonlinear), bool(behind & set(node.inputs))
        if bent and not after:
            found.append(position)
        if bent or after:
            behind.add(position)
    return found


def over_set(
    network: Network, target: int, objectives: Tensor | None, inside: InputSet
) -> tuple[Tensor, Tensor]:
    """Ends ``[batch, rows]`` of affine functions of the input over sets; None: of every entry."""
    shape = network.nodes[target].shape
    rows = prod(shape) if objectives is None else objectives.shape[1]
    step = max(1, _SET_ENTRIES // (inside.batch * max(prod(n.shape) for n in network.nodes)))
    parts = []
    for first in range(0, rows, step):
        part = slice(first, min(first + step, rows))
        chosen: Tensor | slice = part
        if objectives is not None:
            chosen = objectives[:, part].reshape(len(objectives), -1, *shape)
        ends = inside.lower, inside.upper
        low, high = backward_bounds(network, target, chosen, {}, *ends, inside=inside)
        assert high is not None
        parts.append((torch.minimum(low, high), torch.maximum(low, high)))
    lower, upper = (torch.cat([part[side] for part in parts], dim=1) for side in (0, 1))
    return lower, upper
