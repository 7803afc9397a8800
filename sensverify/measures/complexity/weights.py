"""A network's weights and biases as one point, and the cross-entropy as a function of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds.forward import forward
from sensverify.bounds.memory import samples_that_fit
from sensverify.bounds.tensors import flattened, tensor_network
from sensverify.errors import NotMeasured
from sensverify.measures.complexity.spectral import averages
from sensverify.measures.measure import MeasuredClassifier
from sensverify.network import Network
from sensverify.network.operators import (
    Affine,
    Conv,
    ConvTranspose,
    Input,
    Linear,
    Max,
    PiecewiseLinear,
)

_PIECEWISE_LINEAR = (Input, Linear, PiecewiseLinear, Max)

_MOST_AT_ONCE = 128
"""Samples; on a processor more are no faster, and leave its caches."""


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights and biases of a network's fully connected and convolutional layers.

    Of the network as it computes after training: batch normalisation is folded into the layer in
    front of it (see `simplify`), so that a module and the file that it was exported to have the
    same weights. Average pooling has none, nor has a normalisation that follows no layer.

    Parameters
    ----------
    network : Network
        With floating tensors as parameters.
    places : tuple of (int, str)
        Positions of nodes, and names of their operators' fields.
    """

    network: Network
    places: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, network: Network, dtype: torch.dtype) -> Weights:
        """The weights of a network, converted to ``dtype`` and without history.

        Raises
        ------
        NotMeasured
            The network has none.
        MissingRule
            Operators of the network are not known.
        """
        network.require_operators()
        network = converted(network, dtype)
        places = tuple(_places(network))
        if not places:
            raise NotMeasured("the network has no layer with weights")
        return cls(network, places)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The network's own, in order."""
        return tuple(getattr(self.network.nodes[p].operator, name) for p, name in self.places)

    @property
    def count(self) -> int:
        """Number of entries."""
        return sum(values.numel() for values in self.tensors)

    def at(self, tensors: Sequence[Tensor]) -> Network:
        """The network with other tensors in the places of its weights and biases."""
        nodes = list(self.network.nodes)
        for (position, name), values in zip(self.places, tensors, strict=True):
            operator: Any = nodes[position].operator
            nodes[position] = replace(nodes[position], operator=replace(operator, **{name: values}))
        return Network(tuple(nodes))

    def split(self, vector: Tensor) -> tuple[Tensor, ...]:
        """One tensor for each place, from a flat vector of `count` numbers."""
        parts = vector.split([values.numel() for values in self.tensors])
        return tuple(p.reshape(t.shape) for p, t in zip(parts, self.tensors, strict=True))


def converted(network: Network, dtype: torch.dtype) -> Network:
    """The network simplified, with floating tensors in ``dtype`` and without history."""
    arrays = [values for _, values in network.arrays() if isinstance(values, Tensor)]
    device = arrays[0].device if arrays else torch.device("cpu")
    network = tensor_network(network, dtype=dtype, device=device)
    return network.map_arrays(lambda values: values.detach())


def cross_entropies(network: Network, x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of every sample in nats, ``[batch]``; in double precision from the outputs on.

    Parameters
    ----------
    network : Network
        With tensors of x's dtype.
    x, y : Tensor, shapes ``[batch, *network.input_shape]`` and ``[batch]``
    """
    outputs = flattened(forward(network, x))
    return functional.cross_entropy(outputs.double(), y, reduction="none")


def is_piecewise_linear(network: Network) -> bool:
    """True where the outputs are piecewise linear in the input, and in every single weight.

    Where they have second derivatives, those in the input are zero then, and so are those in one
    weight twice: no path from the input to an output meets a weight more than once.
    """
    return all(isinstance(node.operator, _PIECEWISE_LINEAR) for node in network.nodes)


def slices(measured: MeasuredClassifier, samples: int, *, entries: int = 0) -> Iterator[slice]:
    """Parts of the samples that fit the memory budget in double precision.

    Parameters
    ----------
    measured : MeasuredClassifier
    samples : int
        How many there are in all.
    entries : int
        Numbers that are kept for every sample on top of some copies of every layer.
    """
    classes = prod(measured.network.output_shape)
    budget = measured.memory_budget
    size = samples_that_fit(budget, measured.network, classes, 8, extra=entries)
    for first in range(0, samples, min(size, _MOST_AT_ONCE)):
        yield slice(first, min(first + min(size, _MOST_AT_ONCE), samples))


def _places(network: Network) -> Iterator[tuple[int, str]]:
    for position, node in enumerate(network.nodes):
        operator = node.operator
        if not isinstance(operator, Affine | Conv | ConvTranspose):
            continue
        if averages(operator, network.nodes[node.inputs[0]].shape):
            continue
        yield position, "weight"
        if operator.bias is not None:
            yield position, "bias"
