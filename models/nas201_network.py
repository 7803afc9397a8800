"""Networks of the cells of NAS-Bench-201, as torch modules.

Source: Dong & Yang 2020, *NAS-Bench-201: Extending the scope of reproducible neural architecture
search*.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import nn

from sensverify.data.dataset import check_channels_first
from sensverify.errors import BadShape
from sensverify.models.nas201 import EDGES, Cell, read_cell
from sensverify.registry.ranges import Range


def nas201(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    cell: int | str = 1462,
    channels: Annotated[int, Range(1, 4096)] = 16,
    repeats: Annotated[int, Range(1, 100)] = 5,
    stages: Annotated[int, Range(1, 6)] = 3,
) -> nn.Module:
    """A stem, cells of NAS-Bench-201 in stages, and a linear layer over the means of channels.

    Between two stages, a residual block halves rows and columns and doubles the channels.

    Parameters
    ----------
    input_shape : tuple of int
        Of images: channels, rows, columns.
    outputs : int
    cell : int or str
        An index or a string of the bench. Default: a 3x3 convolution on every edge.
    channels : int
        Of the first stage.
    repeats : int
        Cells of a stage.
    stages : int

    Raises
    ------
    BadSetting
        There is no such cell.
    BadShape
        The input is no image, has its channels last, or is too small for the stages.
    """
    found, least = read_cell(cell), 2 ** (stages - 1)
    check_channels_first(input_shape, f"architecture '{found.name}'")
    if len(input_shape) != 3 or min(input_shape[1:]) < least:
        raise BadShape(
            f"architecture '{found.name}' with {stages} stages takes images of shape [channels, "
            f"rows, columns] with at least {least} rows and columns; the inputs have shape "
            f"{input_shape}"
        )
    planes, layers = channels, [*_convolution(input_shape[0], channels, 3)]
    for stage in range(stages):
        if stage:
            layers.append(_Reduction(planes))
            planes *= 2
        layers += [CellModule(found, planes) for _ in range(repeats)]
    ending = (nn.BatchNorm2d(planes), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers, *ending, nn.Linear(planes, outputs))


class CellModule(nn.Module):
    """A cell: every node is the sum of what its edges give; images keep their shape.

    Parameters
    ----------
    cell : Cell
    channels : int
    """

    def __init__(self, cell: Cell, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict()
        for (begin, end), operation in zip(EDGES, cell.operations, strict=True):
            if operation != "none":
                self.edges[f"{begin}-{end}"] = _operation(operation, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The last node."""
        nodes = [x]
        for end in range(1, EDGES[-1][1] + 1):
            given = [
                self.edges[key](node)
                for begin, node in enumerate(nodes)
                if (key := f"{begin}-{end}") in self.edges
            ]
            # A node without edges is zero.
            total = given[0] if given else x * 0.0
            for each in given[1:]:
                total = total + each
            nodes.append(total)
        return nodes[-1]


class _Reduction(nn.Module):
    """Two convolutions, and the mean of 2x2 pixels through a third beside them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.convolutions = nn.Sequential(
            nn.ReLU(),
            *_convolution(channels, wide, 3, stride=2),
            nn.ReLU(),
            *_convolution(wide, wide, 3),
        )
        # The other path rounds an odd number of rows up.
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, stride=2, ceil_mode=True),
            nn.Conv2d(channels, wide, 1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Twice the channels, half of the rows and columns."""
        shortcut: torch.Tensor = self.shortcut(x)
        return shortcut + self.convolutions(x)


def _operation(name: str, channels: int) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    size = 1 if name == "nor_conv_1x1" else 3
    return nn.Sequential(nn.ReLU(), *_convolution(channels, channels, size))


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
    padding = size // 2
    convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=padding, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]
