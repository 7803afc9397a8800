"""The networks that ship, as torch modules.

The layers are those of Wang et al., "Towards Robust Deep Neural Networks": section 4 for Iris,
section 6 for MNIST, with the kernels of Wong and Kolter's MNIST network (4x4, stride 2, padding 1).
Importing this module imports torch; the registry in ``sensverify.models`` does not.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import nn

from sensverify.errors import UnknownName


def iris() -> nn.Sequential:
    """Fully-connected layers 4-25-25-25-3: input ``[batch, 4]``, logits ``[batch, 3]``."""
    return mlp(4, 25, 25, 25, 3)


def digits() -> nn.Sequential:
    """A network 64-48-24-10: input ``[batch, 1, 8, 8]``, logits ``[batch, 10]``."""
    return nn.Sequential(nn.Flatten(), *mlp(64, 48, 24, 10))


def mnist_conv1() -> nn.Sequential:
    """One convolution and one fully-connected layer.

    Input ``[batch, 1, 28, 28]``, logits ``[batch, 10]``.
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 14 * 14, 10),
    )


def mnist_conv2() -> nn.Sequential:
    """Two convolutions and one fully-connected layer.

    Input ``[batch, 1, 28, 28]``, logits ``[batch, 10]``.
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 10),
    )


def mlp(*sizes: int) -> nn.Sequential:
    """Fully-connected layers of the given sizes with ReLU between them.

    Input ``[batch, sizes[0]]``, output ``[batch, sizes[-1]]``; no ReLU after the last layer.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


ARCHITECTURES: dict[str, Callable[[], nn.Sequential]] = {
    "digits": digits,
    "iris": iris,
    "mnist-conv1": mnist_conv1,
    "mnist-conv2": mnist_conv2,
}
"""Builders by the name of the shipped model; the weights they return are random."""


def build(name: str) -> nn.Sequential:
    """A freshly initialised network of a shipped architecture.

    The initialisation draws from torch's global generator, so seed it first.

    Raises
    ------
    UnknownName
        There is no architecture of that name.
    """
    try:
        return ARCHITECTURES[name]()
    except KeyError:
        raise UnknownName(
            f"no architecture '{name}'; there are {', '.join(sorted(ARCHITECTURES))}"
        ) from None
