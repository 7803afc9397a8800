"""The places of neurons in a `Proof`, which joins the inputs of all nonlinear nodes in a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.ibp import nonlinear_nodes
from sensverify.network import Network
from sensverify.network.operators import Relu
from sensverify.solvers.branch_and_bound.split_rules import can_split


def split_shapes(network: Network) -> dict[int, tuple[int, ...]]:
    """By node that can be split, the shape of what enters it."""
    nodes = network.nodes
    return {
        position: nodes[nodes[position].inputs[0]].shape
        for position in nonlinear_nodes(network)
        if can_split(nodes[position].operator)
    }


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of one network.

    Parameters
    ----------
    places : dict from nonlinear node to slice
        Where what enters the node stands.
    neurons : numpy array, shape ``[neurons]``, int64
        The entry of every neuron, counted over all nodes that can be split.
    features : int
        Numbers of the network's input: splits count entries from there on.
    only_relus : bool
        True where every nonlinear function is a ReLU: the line above is then the chord.
    """

    places: dict[int, slice]
    neurons: np.ndarray
    features: int
    only_relus: bool = True

    @classmethod
    def of(cls, network: Network) -> Entries:
        places, first = {}, 0
        for position in nonlinear_nodes(network):
            source = network.nodes[position].inputs[0]
            last = first + prod(network.nodes[source].shape)
            places[position] = slice(first, last)
            first = last
        nodes = network.nodes
        neurons = [np.zeros(0, dtype=np.int64)]
        neurons += [np.arange(places[p].start, places[p].stop) for p in split_shapes(network)]
        relus = all(isinstance(nodes[p].operator, Relu) for p in places)
        return cls(places, np.concatenate(neurons), prod(network.input_shape), relus)

    def __len__(self) -> int:
        return max((place.stop for place in self.places.values()), default=0)

    @property
    def dtype(self) -> torch.dtype:
        """Of slopes: those of ReLUs are single precision while they are chosen."""
        return torch.float32 if self.only_relus else torch.float64

    def joined(self, values: Mapping[int, Tensor], count: int) -> np.ndarray:
        """Arrays ``[count, ...]`` by node as one, ``[count, entries]``; missing ones are zero."""
        result = torch.zeros(count, len(self), dtype=self.dtype)
        for position, part in values.items():
            place = self.places[position]
            # Without items a size of -1 would mean nothing.
            result[:, place] = part.reshape(count, place.stop - place.start).to(result)
        return result.numpy()
