"""Networks without the ReLUs that are dead on all boxes: what is bounded thousands of times.

A ReLU whose input is at most 0 wherever it is asked about is 0 there. Between two affine maps it
leaves a row of the one and a column of the other without effect. On the boxes of robustness
queries most neurons of a trained network are dead, so that the products of a bound take a fraction
of the time, and a sub-problem a fraction of the memory. Numbers stay as they are: what is left out
are terms that are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.layerwise import LayerBounds
from sensverify.network import Network, Node
from sensverify.network.operators import Affine, Relu
from sensverify.solvers.branch_and_bound.cuts import Arrays
from sensverify.solvers.branch_and_bound.entries import split_shapes

Kept = Mapping[int, Tensor]
"""By node, the entries that are left of a network, ascending, int64; of other nodes all are."""


@dataclass(frozen=True, eq=False)
class Pruned:
    """Bounds on the layers of a network without dead neurons.

    Parameters
    ----------
    whole : LayerBounds
        Of the network as it was.
    layers : LayerBounds
        Of what is left: each node stands where it does in the whole network.
    kept : dict from node to Tensor
        The entries that are left.
    """

    whole: LayerBounds
    layers: LayerBounds
    kept: Kept

    @classmethod
    def of(cls, whole: LayerBounds) -> Pruned:
        """Without the neurons that are dead on all of the boxes; one of a layer stays at least."""
        kept = {}
        for position in _between_affine_maps(whole.network):
            # Written so that a NaN is alive.
            living = ~(whole.pre_activations[position][1] <= 0).all(dim=0)
            if not bool(living.all()):
                living[0] |= ~living.any()
                kept[position] = living.nonzero().squeeze(1)
        if not kept:
            return cls.without_change(whole)
        layers = LayerBounds(_left(whole.network, kept), whole.box, whole.slope)
        for position, (low, high) in whole.pre_activations.items():
            lines, part = whole.relaxations[position], kept.get(position)
            if part is not None:
                low, high = low[:, part], high[:, part]
                lines = lines.map(partial(torch.index_select, dim=-1, index=part))
            layers.pre_activations[position] = low, high
            layers.relaxations[position] = lines
        return cls(whole, layers, kept)

    @classmethod
    def without_change(cls, whole: LayerBounds) -> Pruned:
        """With all neurons."""
        return cls(whole, whole, {})

    @cached_property
    def numbers(self) -> np.ndarray:
        """The numbers of what is left among the neurons of the whole network, int64.

        Neurons are what enters the nodes that can be split, counted over all of them.
        """
        numbers, start = [np.zeros(0, dtype=np.int64)], 0
        for position, shape in split_shapes(self.whole.network).items():
            part = self.kept.get(position)
            own = np.arange(prod(shape)) if part is None else part.cpu().numpy()
            numbers.append(start + own)
            start += prod(shape)
        return np.concatenate(numbers)

    def taken(self, values: Arrays) -> Arrays:
        """The part that is left of arrays ``[..., *shape]`` by node of the whole network."""
        return {p: v[..., self.kept[p]] if p in self.kept else v for p, v in values.items()}

    def spread(self, values: Arrays) -> Arrays:
        """Arrays for the whole network from arrays for what is left: others are 0."""
        result = dict(values)
        for position in self.kept.keys() & values.keys():
            part, nodes = values[position], self.whole.network.nodes
            every = part.new_zeros(*part.shape[:-1], *nodes[position].shape)
            result[position] = every.index_copy(-1, self.kept[position], part)
        return result


def _between_affine_maps(network: Network) -> list[int]:
    """The ReLUs of which an affine map alone makes the input, and affine maps alone take theirs."""
    nodes, readers = network.nodes, network.consumers
    return [
        position
        for position, node in enumerate(nodes)
        if isinstance(node.operator, Relu)
        and len(node.shape) == 1
        and isinstance(nodes[node.inputs[0]].operator, Affine)
        and readers[node.inputs[0]] == (position,)
        and readers[position]
        and all(isinstance(nodes[reader].operator, Affine) for reader in readers[position])
    ]


def _left(network: Network, kept: Kept) -> Network:
    """The network with these entries of some of its ReLUs."""
    rows = {network.nodes[position].inputs[0]: part for position, part in kept.items()}
    nodes = []
    for position, node in enumerate(network.nodes):
        chosen = rows.get(position, kept.get(position))
        if chosen is not None:
            node = replace(node, shape=(len(chosen),))
        if isinstance(node.operator, Affine):
            source = node.inputs[0]
            node = replace(node, operator=_part(node, rows.get(position), kept.get(source)))
        nodes.append(node)
    return Network(tuple(nodes))


def _part(node: Node, rows: Tensor | None, columns: Tensor | None) -> Affine:
    """Some rows and columns of an affine map."""
    assert isinstance(node.operator, Affine)
    weight, bias = node.operator.weight, node.operator.bias
    if rows is not None:
        weight, bias = weight[rows], None if bias is None else bias[rows]
    if columns is not None:
        weight = weight[:, columns]
    return Affine(weight, bias)
