"""Neurons known to be stable need no bounds: they are skipped, box by box.

A ReLU that is active, or inactive, on all of a box is so on every part of it. When many parts of
boxes are bounded, only the neurons that are still undecided on each of them take part in the
backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from sensverify.bounds.backward import backward_bounds
from sensverify.bounds.ibp import Interval
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.tensors import flattened
from sensverify.bounds.workspace import Workspace
from sensverify.core.box import Box
from sensverify.network import Network
from sensverify.network.operators import Affine, Nonlinear, Relu

Signs = dict[int, Tensor]
"""For ReLU nodes: 1 where the input is known to be at least 0 on the whole box, -1 where at most 0,
else 0; int8, ``[batch, *shape]``."""

_TILE_BOXES = 512
"""Boxes of one pass: those with as many open neurons go together."""


def signs_of(network: Network, pre_activations: Mapping[int, Interval]) -> Signs:
    """The signs of ReLUs' inputs that follow from bounds on these."""
    result = {}
    for position, (lower, upper) in pre_activations.items():
        if isinstance(network.nodes[position].operator, Relu):
            result[position] = (lower >= 0).to(torch.int8) - (upper <= 0).to(torch.int8)
    return result


def said_by(signs: Tensor, like: Tensor) -> Interval:
    """The bounds that follow from signs alone: 0 or infinity, in the dtype of another tensor."""
    lower = torch.where(signs > 0, 0.0, -torch.inf).to(like)
    return lower, torch.where(signs < 0, 0.0, torch.inf).to(like)


def within_signs(lower: Tensor, upper: Tensor, signs: Tensor) -> Interval:
    """Bounds that say no less than what is known of the signs; NaN stays.

    CROWN's bounds on a part of a box are not always inside those on the box: a sign that follows
    from the ones may not follow from the others. Where a sign contradicts bounds, both are 0.
    """
    least, most = said_by(signs, lower)
    return lower.clamp(least, most), upper.clamp(least, most)


def skips_known(network: Network, position: int, signs: Signs) -> bool:
    """True where `open_neuron_bounds` can bound the input of a node."""
    if position not in signs:
        return False
    (source,) = network.nodes[position].inputs
    # The sign alone is enough for ReLUs, not for others that are relaxed on the same bounds.
    readers = (network.nodes[reader].operator for reader in network.consumers[source])
    if any(isinstance(r, Nonlinear) and not isinstance(r, Relu) for r in readers):
        return False
    before = network.nodes[source]
    return isinstance(before.operator, Affine) and prod(before.shape[:-1]) == 1


def open_neuron_bounds(
    network: Network,
    box: Box,
    relaxations: Mapping[int, Relaxation],
    position: int,
    signs: Tensor,
) -> Interval:
    """Bounds on what enters a ReLU node, where its sign is not known yet.

    Parameters
    ----------
    network : Network
    box : Box of tensors, shape ``[batch, *input_shape]``
    relaxations : mapping from position to Relaxation
        One for every nonlinear node before this one.
    position : int
        Of the ReLU; an `Affine` is in front of it.
    signs : Tensor, shape ``[batch, *shape]``
        As in `Signs`.

    Returns
    -------
    lower, upper : Tensor, shape ``[batch, *shape]``
        SOUND. Of a neuron whose sign is known they say no more than that: 0 and infinity.
    """
    source = network.nodes[position].inputs[0]
    affine, (before,) = network.nodes[source].operator, network.nodes[source].inputs
    assert isinstance(affine, Affine)
    flat = flattened(signs)
    lower, upper = said_by(flat, box.lower)
    unknown = (flat == 0).to(torch.int8)
    counts = unknown.sum(dim=1)
    order = counts.argsort(descending=True)
    workspace = Workspace()
    for first in range(0, box.batch, _TILE_BOXES):
        part = order[first : first + _TILE_BOXES]
        most = int(counts[part[0]])
        if most == 0:
            break
        chosen = unknown[part].topk(most, dim=1).indices
        rows = affine.weight[chosen].reshape(len(part), most, *network.nodes[before].shape)
        taken = {p: r.of(part) for p, r in relaxations.items() if p <= before}
        ends = box.lower[part], box.upper[part]
        low, high = backward_bounds(network, before, rows, taken, *ends, workspace=workspace)
        assert high is not None
        if affine.bias is not None:
            low, high = low + affine.bias[chosen], high + affine.bias[chosen]
        # Rounding can cross the ends of a very thin interval.
        low, high = torch.minimum(low, high), torch.maximum(low, high)
        place = part.unsqueeze(1)
        # What is known of a sign stays; NaN stays too, for the caller to refuse.
        lower[place, chosen] = torch.where(low > lower[place, chosen], low, lower[place, chosen])
        upper[place, chosen] = torch.where(high < upper[place, chosen], high, upper[place, chosen])
        lower[place, chosen] = torch.where(low.isnan(), low, lower[place, chosen])
    return lower.reshape(signs.shape), upper.reshape(signs.shape)


def stand_ins(lower: Tensor, upper: Tensor) -> Interval:
    """Finite ends with the same signs, for infinite ones: a relaxation depends on no more there."""
    endless = torch.isinf(upper)
    upper = torch.where(endless, 1.0, upper)
    return torch.where(torch.isinf(lower), -1.0, lower), upper
