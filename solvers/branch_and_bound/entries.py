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


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of one network.

    Parameters
    ----------
    places : dict from nonlinear node to slice
        Where what enters the node stands.
    neurons : numpy array, shape ``[neurons]``, int64
        The entry of every ReLU, counted over all ReLU nodes.
    features : int
        Numbers of the network's input: splits count entries from there on.
    """

    places: dict[int, slice]
    neurons: np.ndarray
    features: int

    @classmethod
    def of(cls, network: Network) -> Entries:
        places, first = {}, 0
        for position in nonlinear_nodes(network):
            source = network.nodes[position].inputs[0]
            last = first + prod(network.nodes[source].shape)
            places[position] = slice(first, last)
            first = last
        nodes = network.nodes
        relus = [np.zeros(0, dtype=np.int64)]
        relus += [
            np.arange(place.start, place.stop)
            for position, place in places.items()
            if isinstance(nodes[position].operator, Relu)
        ]
        return cls(places, np.concatenate(relus), prod(network.input_shape))

    def __len__(self) -> int:
        return max((place.stop for place in self.places.values()), default=0)

    @property
    def only_relus(self) -> bool:
        """True where every nonlinear function is a ReLU: the line above is then the chord."""
        return len(self.neurons) == len(self)

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
