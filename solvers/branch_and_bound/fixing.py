"""ReLUs of sub-problems that are fixed, because probing has closed one of their sides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sensverify.solvers.branch_and_bound.cuts import entries_of_neurons
from sensverify.solvers.branch_and_bound.neuron_forest import NeuronForest
from sensverify.solvers.branch_and_bound.neuron_nodes import NeuronNodes
from sensverify.solvers.branch_and_bound.optimising import Behind, BestLines
from sensverify.solvers.branch_and_bound.probing import Probes

AT_A_TIME = 4
"""ReLUs of a sub-problem that are fixed before it is split, at most: those whose lines lose most.
Each is a split in the proof; the others may still be fixed in the parts."""

PRECISION = 1e-6
"""What single precision of multipliers may take from the bound that closes a side, as a share of
the target's scale."""


@dataclass(frozen=True, eq=False)
class Fixed:
    """Sub-problems of which neurons were fixed.

    Parameters
    ----------
    nodes : NeuronNodes
        With the cuts of what is fixed.
    free : boolean Tensor, shape ``[items, neurons of the probes]``
        Those that may still be split.
    settled : Tensor, shape ``[items]``
        The least bound among the sides that were closed; infinite where there are none.
    ended : boolean Tensor, shape ``[items]``
        Where both sides of a neuron were closed: nothing is left.
    """

    nodes: NeuronNodes
    free: Tensor
    settled: Tensor
    ended: Tensor


def fix(
    nodes: NeuronNodes,
    probes: Probes,
    found: BestLines,
    free: Tensor,
    least: Tensor,
    forest: NeuronForest | None,
) -> Fixed:
    """Fix the neurons of which a side is closed, a few in each sub-problem.

    Parameters
    ----------
    nodes : NeuronNodes
    probes : Probes
        Of the lines that were ``found``, with what is behind these.
    found : BestLines
    free : boolean Tensor, shape ``[items, neurons of the probes]``
    least : Tensor, shape ``[items]``
        The bound from which on a side is closed.
    forest : NeuronForest or None
        Takes the record: of each, a split of which a part is closed.
    """
    # Written so that a NaN closes nothing.
    above, below = ((side >= least.unsqueeze(1)) & free for side in (probes.above, probes.below))
    order = torch.where(above | below, probes.loss.clamp(min=0), -1.0)
    order = torch.where(above & below, torch.inf, order)
    places = order.topk(min(AT_A_TIME, order.shape[1]), dim=1)
    settled, ended = torch.full_like(least, torch.inf), torch.zeros_like(least, dtype=torch.bool)
    for value, place in zip(places.values.T, places.indices.T, strict=True):
        items = ((value >= 0) & ~ended).nonzero().squeeze(1)
        if not len(items):
            break
        which = items, place[items]
        parts = _parts(nodes[items], probes, which, (above[which], below[which]))
        sides = torch.cat([probes.above[which], probes.below[which]])
        shut = torch.cat([above[which], below[which]])
        if forest is not None:
            parts = replace(parts, node=_record(forest, parts, found, items, sides, shut))
        closed = torch.where(shut, sides, torch.inf).reshape(2, -1).amin(dim=0)
        settled[items] = settled[items].minimum(closed)
        ended[items] |= above[which] & below[which]
        free = free.index_put(which, torch.zeros_like(items, dtype=torch.bool))
        # Of both parts, the one that is left.
        order_of_parts = torch.arange(len(items), device=items.device)
        order_of_parts = order_of_parts + torch.where(above[which], len(items), 0)
        kept = torch.arange(len(nodes), device=items.device)
        kept[items] = len(nodes) + order_of_parts
        nodes = (nodes + replace(parts, decision=nodes.decision[items].repeat(2)))[kept]
    return Fixed(nodes, free, settled, ended)


def _parts(
    nodes: NeuronNodes, probes: Probes, which: tuple[Tensor, Tensor], shut: tuple[Tensor, Tensor]
) -> NeuronNodes:
    """Both parts of each, with multipliers: of a closed part what closes it, else what keeps it."""
    neuron = probes.neuron[which[1]]
    up = torch.where(shut[0], probes.multiplier_above[which], probes.keep_above[which])
    down = torch.where(shut[1], probes.multiplier_below[which], probes.keep_below[which])
    parts = nodes.children(neuron, torch.zeros(len(neuron), device=neuron.device))
    values = torch.cat([up, -down]).float()
    multipliers = {p: each.clone() for p, each in parts.multipliers.items()}
    for position, (item,), entry in entries_of_neurons(multipliers, parts.decision):
        multipliers[position].flatten(1)[item, entry] = values[item]
    return replace(parts, multipliers=multipliers)


def _record(
    forest: NeuronForest,
    parts: NeuronNodes,
    found: BestLines,
    items: Tensor,
    sides: Tensor,
    shut: Tensor,
) -> Tensor:
    """The numbers of both parts of each in the record."""
    assert found.behind is not None
    twice = items.repeat(2)
    slopes = found.behind.of(twice)
    lower = {}
    for position, slope in slopes.lower.items():
        # Of what is fixed, a proof's line is the function itself.
        low, high = parts.low[position].unsqueeze(1), parts.high[position].unsqueeze(1)
        slope = torch.where(high <= 0, 0.0, slope.expand_as(high))
        lower[position] = torch.where(low >= 0, 1.0, slope)
    return forest.add(
        parts,
        replace(
            found,
            coefficients=found.coefficients[twice],
            excess=torch.where(shut, sides, found.excess[twice]),
            weights=found.weights[twice],
            seen={},
            behind=Behind(lower, slopes.upper, parts.multipliers),
        ),
    )
