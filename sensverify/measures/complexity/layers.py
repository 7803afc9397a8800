"""The layers of a network that have weights, as measures of complexity see them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from torch import Tensor

from sensverify.errors import NotMeasured
from sensverify.measures.complexity.spectral import Layer, averages
from sensverify.network import Network, simplify
from sensverify.network.operators import Affine, Conv, ConvTranspose


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """A fully connected or convolutional layer.

    Parameters
    ----------
    name : str
        Of its node, for messages.
    operator : Affine, Conv or ConvTranspose
        With tensors.
    shape : tuple of int
        Of one sample that goes into it.
    """

    name: str
    operator: Layer
    shape: tuple[int, ...]

    @property
    def weight(self) -> Tensor:
        """The matrix or kernel."""
        weight: Tensor = self.operator.weight
        return weight

    @property
    def bias(self) -> Tensor | None:
        """One number for each output channel, or None."""
        bias: Tensor | None = self.operator.bias
        return bias

    @property
    def channels(self) -> tuple[int, int]:
        """Numbers, or channels, that go in and that come out."""
        rows, columns = int(self.weight.shape[0]), int(self.weight.shape[1])
        if isinstance(self.operator, Affine):
            return columns, rows
        groups = self.operator.groups
        if isinstance(self.operator, ConvTranspose):
            return rows, columns * groups
        return columns * groups, rows

    @property
    def entries(self) -> int:
        """Entries of the kernel for one pair of channels; 1 of a matrix."""
        return prod(self.weight.shape[2:])


def linear_layers(network: Network) -> tuple[LinearLayer, ...]:
    """The layers with weights, in order, as the network computes after training.

    Batch normalisation and other scales are folded into the layer in front of them, and linear
    layers with nothing between them are merged where `simplify` merges them: so a module and the
    file that it was exported to have the same layers. Average pooling is left out: nothing about it
    is learnt. A batch normalisation that follows no layer is none itself.

    Parameters
    ----------
    network : Network
        With tensors: see `prepare`.

    Raises
    ------
    NotMeasured
        There are none.
    MissingRule
        Operators of the network are not known.
    """
    network.require_operators()
    simple = simplify(network)
    layers = tuple(
        LinearLayer(node.name, node.operator, simple.nodes[node.inputs[0]].shape)
        for node in simple.nodes
        if isinstance(node.operator, Affine | Conv | ConvTranspose)
        and not averages(node.operator, simple.nodes[node.inputs[0]].shape)
    )
    if not layers:
        raise NotMeasured("the network has no layer with weights")
    return layers


def changed_layers(network: Network, initial: Network) -> tuple[LinearLayer, ...]:
    """The layers with the difference of their weights and biases from the initial ones.

    Parameters
    ----------
    network, initial : Network
        With tensors: see `prepare`.

    Raises
    ------
    NotMeasured
        The two networks differ in more than numbers.
    """
    now, before = linear_layers(network), linear_layers(initial)
    if len(now) != len(before):
        raise NotMeasured(
            f"the network has {len(now)} layers with weights and the initial one {len(before)}",
            "give the initial weights of this network",
        )
    return tuple(_difference(a, b) for a, b in zip(now, before, strict=True))


def _difference(now: LinearLayer, before: LinearLayer) -> LinearLayer:
    for what, a, b in (
        ("is of the kind", type(now.operator).__name__, type(before.operator).__name__),
        ("has weights of shape", tuple(now.weight.shape), tuple(before.weight.shape)),
        ("takes inputs of shape", now.shape, before.shape),
        ("works with", _geometry(now.operator), _geometry(before.operator)),
    ):
        if a != b:
            raise NotMeasured(
                f"layer '{now.name}' {what} {a}, and '{before.name}' of the initial network {b}",
                "give the initial weights of this network",
            )
    bias = _minus(now.bias, before.bias)
    operator = replace(now.operator, weight=now.weight - before.weight, bias=bias)
    return replace(now, operator=operator)


def _geometry(operator: Layer) -> dict[str, Any]:
    """Strides and the like, by name."""
    if isinstance(operator, Affine):
        return {}
    names = ["stride", "padding", "dilation", "groups"]
    if isinstance(operator, ConvTranspose):
        names.append("output_padding")
    return {name: getattr(operator, name) for name in names}


def _minus(now: Tensor | None, before: Tensor | None) -> Tensor | None:
    """The difference, where a bias that is not there is zero."""
    if before is None:
        return now
    return -before if now is None else now - before
