"""Networks as people have them, and the arithmetic that CROWN cannot do without on each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import torch
from contenders import Setting
from torch import Tensor, nn

from sensverify.bounds.adjoint import adjoint
from sensverify.bounds.ibp import interval_at
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.needed import interval_is_exact, only_signs_matter, range_follows
from sensverify.bounds.relaxation import Slope
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.formats.modules import from_module
from sensverify.network import Network
from sensverify.network.operators import Affine, Conv, ConvTranspose, Nonlinear, Windowed

_SAMPLED_ROWS = 12
"""Rows of a layer whose cones stand for those of all."""


class _Block(nn.Module):
    """Two 3x3 convolutions of stride 1 beside a connection that skips them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


def _mlp(activation: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs in (784, 256, 256, 256):
        layers += [nn.Linear(inputs, 256), activation()]
    return nn.Sequential(*layers, nn.Linear(256, 10))


def _conv(channels: int, size: int, *hidden: int) -> nn.Sequential:
    width = 32 * (size // 4) ** 2
    layers: list[nn.Module] = [
        nn.Conv2d(channels, 16, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
    ]
    for wide in hidden:
        layers += [nn.Linear(width, wide), nn.ReLU()]
        width = wide
    return nn.Sequential(*layers, nn.Linear(width, 10))


def _residual() -> nn.Sequential:
    blocks = [_Block(8) for _ in range(4)]
    start, end = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8 * 14 * 14, 10)
    return nn.Sequential(start, nn.ReLU(), *blocks, nn.Flatten(), end)


def _pooled() -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels, inputs, padding in ((6, 1, 2), (16, 6, 0)):
        convolution = nn.Conv2d(inputs, channels, 5, padding=padding)
        layers += [convolution, nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(84, 10))


def _decoder() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(16, 32 * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 4, 2, 1),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(784, 10),
    )


@dataclass(frozen=True)
class Net(Setting):
    """A network with random weights and images: `Setting` for any of them."""

    make: Callable[[], nn.Sequential] = nn.Sequential
    shape: tuple[int, ...] = ()

    @cached_property
    def module(self) -> nn.Sequential:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.make().to(self.device)

    @cached_property
    def network(self) -> Network:
        return from_module(self.module, self.shape)

    @cached_property
    def x(self) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.rand(self.images, *self.shape, generator=generator).to(self.device)

    def operations(self, method: str = "crown") -> float:
        """Multiply-adds of CROWN, counted as two, that no order of the work saves.

        Both ends of what is unstable, one end of what is stable and not decided by intervals from
        the layers in front, each through the affine maps that it depends on.
        """
        network = tensor_network(self.network, dtype=torch.float32, device=torch.device("cpu"))
        box = Box.around(self.x.cpu(), self.radius)
        with torch.no_grad():
            layers = LayerBounds(network, box, Slope.ADAPTIVE).fill()
            total = 2.0 * self.images * 10 * _cone(network, len(network.nodes) - 1)
            for position in layers.pre_activations:
                (source,) = network.nodes[position].inputs
                if not interval_is_exact(network, source) and not range_follows(network, source):
                    total += _ends(layers, position) * _cone(network, source)
        return 2.0 * total


def _ends(layers: LayerBounds, position: int) -> float:
    """Ends that need a pass on what enters a nonlinear node."""
    (source,) = layers.network.nodes[position].inputs
    lower, upper = layers.pre_activations[position]
    if not only_signs_matter(layers.network, source):
        return 2.0 * lower.numel()
    before = {p: ends for p, ends in layers.pre_activations.items() if p < position}
    low, high = interval_at(layers.network, source, (layers.box.lower, layers.box.upper), before)
    undecided = (low < 0) & (high > 0)
    return float(undecided.sum() + (undecided & (lower < 0) & (upper > 0)).sum())


def _cone(network: Network, target: int) -> float:
    """Multiply-adds of one row of a node, back to the input, on average over some rows."""
    size = prod(network.nodes[target].shape)
    rows = torch.linspace(0, size - 1, min(size, _SAMPLED_ROWS)).long()
    start = torch.zeros(1, len(rows), size).scatter_(2, rows[None, :, None], 1.0)
    pending = {target: start.reshape(1, len(rows), *network.nodes[target].shape)}
    total = 0.0
    for position in range(target, 0, -1):
        if position not in pending:
            continue
        values, node = pending.pop(position), network.nodes[position]
        operator = node.operator
        if isinstance(operator, Windowed):
            window = network.nodes[node.inputs[0]].shape[-1]
            parts = [values.unsqueeze(-1).expand(*values.shape, window)]
        elif isinstance(operator, Nonlinear):
            parts = [values]
        else:
            if isinstance(operator, Affine | Conv | ConvTranspose):
                # The row that the target itself is needs no product.
                seen = 0.0 if position == target else float((values != 0).sum()) / len(rows)
                total += seen * _entered(operator)
                operator = replace(operator, weight=(operator.weight != 0).float(), bias=None)
            shapes = tuple(network.nodes[i].shape for i in node.inputs)
            parts = adjoint(operator, (values != 0).float(), shapes)
        for source, part in zip(node.inputs, parts, strict=True):
            pending[source] = pending[source] + part if source in pending else part
    return total


def _entered(operator: Affine | Conv | ConvTranspose) -> float:
    """Numbers that an output reads, on average."""
    if isinstance(operator, ConvTranspose):
        return float(operator.weight[:, 0].numel()) / operator.groups / prod(operator.stride)
    return float(operator.weight[0].numel())


NETS = {
    "MNIST, 2 convolutions": Net(64, 0.05, make=lambda: _conv(1, 28), shape=(1, 28, 28)),
    "MNIST, 2 convolutions and 100": Net(
        64, 0.05, make=lambda: _conv(1, 28, 100), shape=(1, 28, 28)
    ),
    "784-256x4-10": Net(16, 2 / 255, make=lambda: _mlp(nn.ReLU), shape=(1, 28, 28)),
    "784-256x4-10, tanh": Net(16, 2 / 255, make=lambda: _mlp(nn.Tanh), shape=(1, 28, 28)),
    "CIFAR, 2 convolutions and 256": Net(
        8, 2 / 255, make=lambda: _conv(3, 32, 256), shape=(3, 32, 32)
    ),
    "residual, 4 blocks of 8 channels": Net(2, 2 / 255, make=_residual, shape=(1, 14, 14)),
    "MNIST, max pooling": Net(8, 2 / 255, make=_pooled, shape=(1, 28, 28)),
    "decoder, 2 transposed convolutions": Net(8, 0.05, make=_decoder, shape=(16,)),
}
"""By what they are called in the table."""
