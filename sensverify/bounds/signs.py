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

from sensverify.bounds.forward import apply
from sensverify.bounds.ibp import Interval
from sensverify.bounds.needed import only_signs_matter
from sensverify.network import Network
from sensverify.network.operators import Affine, Relu

Signs = dict[int, Tensor]
"""For ReLU nodes: 1 where the input is known to be at least 0 on the whole box, -1 where at most 0,
else 0; int8, ``[batch, *shape]``."""


def signs_of(network: Network, pre_activations: Mapping[int, Interval]) -> Signs:
    """The signs of ReLUs' inputs that follow from bounds on these."""
    result = {}
    for position, (lower, upper) in pre_activations.items():
        if isinstance(network.nodes[position].operator, Relu):
            result[position] = (lower >= 0).to(torch.int8) - (upper <= 0).to(torch.int8)
    return result


def signs_at(network: Network, x: Tensor) -> dict[int, Tensor]:
    """Signs of what enters ReLUs at one input: 1 where it is at least 0, else -1, in x's dtype.

    Keyed by the nodes that the ReLUs read; ``[batch, *shape]`` for x ``[batch, *input_shape]``.
    """
    values, result = [x], {}
    last_use = {source: p for p, node in enumerate(network.nodes) for source in node.inputs}
    for position, node in enumerate(network.nodes[1:], start=1):
        if isinstance(node.operator, Relu):
            (source,) = node.inputs
            result[source] = torch.where(values[source] >= 0, 1.0, -1.0).to(x)
        values.append(apply(node.operator, *(values[i] for i in node.inputs)))
        for source in node.inputs:
            if last_use[source] == position:
                values[source] = x.new_empty(0)
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
    """True where signs that are known save time: where only they matter, behind an `Affine`."""
    if position not in signs:
        return False
    (source,) = network.nodes[position].inputs
    before = network.nodes[source]
    narrow = isinstance(before.operator, Affine) and prod(before.shape[:-1]) == 1
    return narrow and only_signs_matter(network, source)


def stand_ins(lower: Tensor, upper: Tensor) -> Interval:
    """Finite ends with the same signs, for infinite ones: a relaxation depends on no more there."""
    endless = torch.isinf(upper)
    upper = torch.where(endless, 1.0, upper)
    return torch.where(torch.isinf(lower), -1.0, lower), upper
