"""The networks that ship, as torch modules.

The layers are those of Wang et al., "Towards Robust Deep Neural Networks": section 4 for Iris,
section 6 for MNIST, with the kernels of Wong and Kolter's MNIST network (4x4, stride 2, padding 1).
Importing this module imports torch; the registry in ``sensverify.models`` does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import nn

from sensverify.data.dataset import check_channels_first
from sensverify.errors import BadSetting, BadShape, UnknownName
from sensverify.models.mixer import Mixer
from sensverify.models.nas201 import PREFIX
from sensverify.models.nas201_network import nas201
from sensverify.models.power_flow import PowerFlow
from sensverify.models.resnet import resnet, resnet18, resnet34, resnet50
from sensverify.registry.calls import Call, parse_call
from sensverify.registry.catalog import Catalog
from sensverify.registry.names import summary_of

_SIZES = r"(?:-[1-9]\d{0,5})+"
_FAMILY = re.compile(
    rf"linear|(?:mlp(?P<wide>{_SIZES}))|conv(?P<channels>{_SIZES})(?:-fc(?P<hidden>{_SIZES}))?"
)
_CELL = re.compile(rf"{PREFIX}(?P<cell>[^()]+)(?:\((?P<settings>.*)\))?")


def iris() -> nn.Sequential:
    """Fully-connected layers 4-25-25-25-3: input ``[batch, 4]``, logits ``[batch, 3]``."""
    return mlp(4, 25, 25, 25, 3)


def digits() -> nn.Sequential:
    """A network 64-48-24-10: input ``[batch, 1, 8, 8]``, logits ``[batch, 10]``."""
    return nn.Sequential(nn.Flatten(), *mlp(64, 48, 24, 10))


def digits_mixer() -> nn.Module:
    """A mixer of 4x4 blocks with GELU: input ``[batch, 1, 8, 8]``, logits ``[batch, 10]``."""
    return Mixer((1, 8, 8), 10, patch=4, width=16, token_mlp=16, channel_mlp=32)


def power_flow() -> nn.Module:
    """Sums of sines, cosines and products: input ``[batch, 5]``, logits ``[batch, 4]``."""
    return PowerFlow(5, 4, terms=6, flows=12)


def mnist_conv1() -> nn.Sequential:
    """One convolution and one fully-connected layer.

    Input ``[batch, 1, 28, 28]``, logits ``[batch, 10]``.
    """
    return convolutional((1, 28, 28), (16,), (), 10)


def mnist_conv2() -> nn.Sequential:
    """Two convolutions and one fully-connected layer.

    Input ``[batch, 1, 28, 28]``, logits ``[batch, 10]``.
    """
    return convolutional((1, 28, 28), (16, 32), (), 10)


def mlp(*sizes: int) -> nn.Sequential:
    """Fully-connected layers of the given sizes with ReLU between them.

    Input ``[batch, sizes[0]]``, output ``[batch, sizes[-1]]``; no ReLU after the last layer.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def convolutional(
    input_shape: tuple[int, ...], channels: Sequence[int], hidden: Sequence[int], outputs: int
) -> nn.Sequential:
    """Convolutions 4x4 with stride 2 and padding 1, then fully-connected layers, with ReLU between.

    Input ``[batch, *input_shape]`` of channels, rows and columns; output ``[batch, outputs]``.

    Raises
    ------
    BadShape
        The input is no image, has its channels last, or is too small: every convolution halves its
        rows and columns.
    """
    name = "-".join(map(str, ("conv", *channels)))
    check_channels_first(input_shape, f"architecture '{name}'")
    if len(input_shape) != 3 or min(input_shape[1:]) < 2 ** len(channels):
        least = 2 ** len(channels)
        raise BadShape(
            f"architecture '{name}' takes images of shape [channels, rows, columns] with at least "
            f"{least} rows and columns; the inputs have shape {input_shape}"
        )
    layers: list[nn.Module] = []
    planes, rows, columns = input_shape
    for wanted in channels:
        layers += [nn.Conv2d(planes, wanted, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        planes, rows, columns = wanted, rows // 2, columns // 2
    return nn.Sequential(*layers, nn.Flatten(), *mlp(planes * rows * columns, *hidden, outputs))


@dataclass(frozen=True)
class Architecture:
    """A named architecture.

    Parameters
    ----------
    function : callable
        Takes the shape of an input sample and the number of outputs, and settings by keyword;
        returns a module with random weights.
    summary : str
        One sentence without a full stop.
    shape : tuple of int, optional
        Of an input sample, where no other one fits.
    outputs : int, optional
        The number of outputs, where it is not free.
    source : str
    """

    function: Callable[..., nn.Module]
    summary: str = ""
    shape: tuple[int, ...] | None = None
    outputs: int | None = None
    source: str = ""


def _shipped(make: Callable[[], nn.Module], shape: tuple[int, ...], outputs: int) -> Architecture:
    layers = summary_of(make).split(":")[0]
    return Architecture(lambda shape, outputs: make(), layers, shape, outputs)


def _residual(make: Callable[..., nn.Module], layers: str) -> Architecture:
    return Architecture(
        make, layers, source="He et al. 2016, Deep residual learning for image recognition"
    )


def _adapt(name: str, found: Any) -> Architecture | None:
    if isinstance(found, Architecture):
        return found
    return Architecture(found, summary_of(found)) if callable(found) else None


ARCHITECTURES: Catalog[Architecture] = Catalog(
    "architecture",
    {
        "digits": _shipped(digits, (1, 8, 8), 10),
        "digits-mixer": _shipped(digits_mixer, (1, 8, 8), 10),
        "iris": _shipped(iris, (4,), 3),
        "mnist-conv1": _shipped(mnist_conv1, (1, 28, 28), 10),
        "mnist-conv2": _shipped(mnist_conv2, (1, 28, 28), 10),
        "nas201": Architecture(
            nas201,
            "stages of a cell of NAS-Bench-201, for images",
            source="Dong & Yang 2020, NAS-Bench-201: Extending the scope of reproducible neural "
            "architecture search",
        ),
        "power-flow": _shipped(power_flow, (5,), 4),
        "resnet": _residual(resnet, "residual blocks in stages of halved images, for any image"),
        "resnet-18": _residual(resnet18, "resnet with stages of 2, 2, 2 and 2 blocks"),
        "resnet-34": _residual(resnet34, "resnet with stages of 3, 4, 6 and 3 blocks"),
        "resnet-50": _residual(resnet50, "resnet with stages of 3, 4, 6 and 3 bottlenecks"),
    },
    group="sensverify.architectures",
    adapt=_adapt,
    takes="a function of an input shape and a number of outputs, or an `Architecture`",
    arguments=2,
    columns={
        "inputs": lambda each: "x".join(map(str, each.shape)) if each.shape else "any",
        "outputs": lambda each: "any" if each.outputs is None else str(each.outputs),
    },
)
"""Architectures by name: those of the shipped models, and those of other packages."""

_FAMILIES = {
    "linear": Architecture(mlp, "one fully-connected layer, for any input"),
    "mlp-A-B-...": Architecture(
        mlp, "hidden layers of A, B, ... neurons and the output layer, for any input"
    ),
    "conv-A-B-...": Architecture(
        convolutional, "4x4 convolutions, stride 2, to A, B, ... channels, and the output layer"
    ),
    "conv-A-...-fc-B-...": Architecture(
        convolutional, "the same with hidden fully-connected layers of B, ... neurons"
    ),
    f"{PREFIX}A": Architecture(
        nas201, "nas201(cell=A), of an index or a string; settings may follow in parentheses"
    ),
}

FAMILIES: Catalog[Architecture] = Catalog("pattern", _FAMILIES, plain=True)
"""Patterns of names that `build_for` reads, and what they stand for; ReLU between all layers."""


def build(name: str) -> nn.Module:
    """A freshly initialised network of a shipped architecture.

    The initialisation draws from torch's global generator, so seed it first.

    Raises
    ------
    UnknownName
        There is no architecture of that name.
    BadShape
        It fits any images, so that nothing says which.
    """
    found = ARCHITECTURES[name]
    if found.shape is None:
        raise BadShape(
            f"architecture '{name}' fits any images, and nothing says which", "use `build_for`"
        )
    return found.function(found.shape, found.outputs)


def build_for(
    name: str, input_shape: tuple[int, ...], classes: int, *, seed: int | None = None
) -> nn.Module:
    """A freshly initialised network of that architecture for some data.

    Parameters
    ----------
    name : str
        A key of `ARCHITECTURES`, with settings where it has any; or a name after one of the
        patterns of `FAMILIES`: ``mlp-100-50``, ``conv-16-32``, ``conv-16-32-fc-100``,
        ``nas201:1462(channels=4)``.
    input_shape : tuple of int
        Shape of one sample.
    classes : int
        Number of outputs.
    seed : int, optional
        Decides the initial weights and leaves torch's global generator as it was; without it they
        are drawn from that generator.

    Returns
    -------
    torch.nn.Module
        Input ``[batch, *input_shape]``, output ``[batch, classes]``.

    Raises
    ------
    UnknownName
        The name is neither.
    BadSetting
        Its settings do not fit, or there is no such cell.
    BadShape
        The architecture does not fit the data.
    """
    make = _builder(name, input_shape, classes)
    if seed is None:
        return make()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def _builder(name: str, input_shape: tuple[int, ...], classes: int) -> Callable[[], nn.Module]:
    match = _FAMILY.fullmatch(name)
    if match is None:
        return _named(name, input_shape, classes)
    channels, hidden = _sizes(match["channels"]), _sizes(match["hidden"] or match["wide"])
    if channels:
        return partial(convolutional, input_shape, channels, hidden, classes)
    flat = [] if len(input_shape) == 1 else [nn.Flatten()]
    return lambda: nn.Sequential(*flat, *mlp(prod(input_shape), *hidden, classes))


def _sizes(text: str | None) -> tuple[int, ...]:
    return tuple(int(size) for size in (text or "").split("-") if size)


def _call(name: str) -> Call:
    """The name as a call: a cell stands before the settings that follow it."""
    match = _CELL.fullmatch(name)
    if match is None:
        return parse_call(name) if "(" in name else Call(name)
    settings = parse_call(f"nas201({match['settings'] or ''})").settings
    if "cell" in settings:
        raise BadSetting(f"'{name}': cell is given twice")
    return Call("nas201", {"cell": match["cell"], **settings})


def _named(name: str, input_shape: tuple[int, ...], classes: int) -> Callable[[], nn.Module]:
    call = _call(name)
    if call.name not in ARCHITECTURES:
        error = ARCHITECTURES.unknown(call.name, ("linear", "mlp-100", "conv-16"))
        raise UnknownName(
            error.problem,
            f"there are {', '.join(ARCHITECTURES)}, and for any data 'linear', 'mlp-100-50' with "
            "any sizes of hidden layers, 'conv-16-32' with any numbers of channels, "
            "'conv-16-32-fc-100' with both; 'nas201:7' for images",
        )
    found = ARCHITECTURES[call.name]
    fits = found.shape in (None, input_shape) and found.outputs in (None, classes)
    if not fits:
        other = "conv-16-32 or mlp-100" if len(input_shape) == 3 else "mlp-100-50"
        raise BadShape(
            f"architecture '{name}' takes inputs of shape {found.shape} and has {found.outputs} "
            f"outputs; the data has samples of shape {input_shape} in {classes} classes",
            f"take one that fits any data, such as {other}",
        )
    return partial(found.function, input_shape, classes, **ARCHITECTURES.fitted(call))
