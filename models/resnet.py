"""Residual networks of He et al. 2016, "Deep residual learning for image recognition"."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor, nn

from sensverify.data.dataset import check_channels_first
from sensverify.errors import BadSetting, BadShape
from sensverify.registry.ranges import Count, Range

Share = Annotated[float, Range(0, 1, below=True)]
Kind = Literal["basic", "bottleneck"]

LARGE = 64
"""Rows or columns from which on images begin with a 7x7 convolution and a pooling."""

_EXPANSION: dict[Kind, int] = {"basic": 1, "bottleneck": 4}


class Residual(nn.Module):
    """A block that adds its input: two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1.

    Batch normalisation after every convolution; where the shape changes, the input goes through a
    1x1 convolution. The stride is that of a 3x3 convolution.
    """

    def __init__(self, planes: int, width: int, stride: int, kind: Kind) -> None:
        super().__init__()
        wanted = width * _EXPANSION[kind]
        if kind == "basic":
            layers = [*_conv(planes, width, 3, stride), nn.ReLU(), *_conv(width, width, 3)]
        else:
            layers = [*_conv(planes, width, 1), nn.ReLU(), *_conv(width, width, 3, stride)]
            layers += [nn.ReLU(), *_conv(width, wanted, 1)]
        self.layers = nn.Sequential(*layers)
        same = stride == 1 and planes == wanted
        self.shortcut = nn.Sequential(*([] if same else _conv(planes, wanted, 1, stride)))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.layers(x) + self.shortcut(x))
        return y


def resnet(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    blocks: tuple[Count, ...] = (2, 2, 2, 2),
    width: Count = 64,
    dropout: Share = 0.0,
    kind: Kind = "basic",
) -> nn.Sequential:
    """Residual blocks in stages, of which each halves rows and columns and doubles the channels.

    Images of 64 or more rows and columns first go through a 7x7 convolution of stride 2 and a
    pooling, as those of ImageNet; smaller ones through a 3x3 convolution, as those of CIFAR.

    Parameters
    ----------
    input_shape : tuple of int
        Channels, rows, columns.
    outputs : int
    blocks : tuple of int
        Of every stage.
    width : int
        Channels of the first stage.
    dropout : float
        Share of the features that is dropped before the last layer, in training.
    kind : str
        ``basic``, or ``bottleneck`` as from 50 layers on.

    Raises
    ------
    BadShape
        The input is no image, or has its channels last.
    BadSetting
        There is no stage.
    """
    check_channels_first(input_shape, "architecture 'resnet'")
    if len(input_shape) != 3:
        raise BadShape(
            "architecture 'resnet' takes images of shape [channels, rows, columns]; the inputs "
            f"have shape {input_shape}"
        )
    if not blocks:
        raise BadSetting("`blocks` needs the number of blocks of at least one stage", "as (2, 2)")
    layers: list[nn.Module]
    if min(input_shape[1:]) >= LARGE:
        layers = [*_conv(input_shape[0], width, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    else:
        layers = [*_conv(input_shape[0], width, 3), nn.ReLU()]
    planes = width
    for stage, count in enumerate(blocks):
        inner = width * 2**stage
        for number in range(count):
            stride = 2 if stage and not number else 1
            layers.append(Residual(planes, inner, stride, kind))
            planes = inner * _EXPANSION[kind]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *([nn.Dropout(dropout)] if dropout else [])]
    module = nn.Sequential(*layers, nn.Linear(planes, outputs))
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    return module


def resnet18(
    input_shape: tuple[int, ...], outputs: int, *, width: Count = 64, dropout: Share = 0.0
) -> nn.Sequential:
    """A `resnet` of 18 layers."""
    return resnet(input_shape, outputs, blocks=(2, 2, 2, 2), width=width, dropout=dropout)


def resnet34(
    input_shape: tuple[int, ...], outputs: int, *, width: Count = 64, dropout: Share = 0.0
) -> nn.Sequential:
    """A `resnet` of 34 layers."""
    return resnet(input_shape, outputs, blocks=(3, 4, 6, 3), width=width, dropout=dropout)


def resnet50(
    input_shape: tuple[int, ...], outputs: int, *, width: Count = 64, dropout: Share = 0.0
) -> nn.Sequential:
    """A `resnet` of 50 layers, in bottlenecks."""
    return resnet(
        input_shape, outputs, blocks=(3, 4, 6, 3), width=width, dropout=dropout, kind="bottleneck"
    )


def _conv(planes: int, wanted: int, size: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(planes, wanted, size, stride, size // 2, bias=False)
    return [conv, nn.BatchNorm2d(wanted)]
