"""The small network through which a position of a convolutional layer sees the ones before it.

`window_network` fills it with the layer's parameters, differentiably. Windows are flat in it;
entries outside of the image are zero there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import prod
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds.adjoint import adjoint, offset
from sensverify.bounds.window_plan import Phase
from sensverify.network import Network, NetworkBuilder, Node
from sensverify.network.operators import (
    Affine,
    Conv,
    ConvTranspose,
    Elementwise,
    Linear,
    Max,
    Nonlinear,
    Operator,
    Pad,
    Reshape,
    Scale,
    Select,
)
from sensverify.network.shapes import Shape, output_shape


@dataclass(frozen=True, eq=False)
class _Placed(Linear):
    """An operator that differs from place to place: each of its tensors has one for each item."""

    def at(self, places: Tensor) -> Self:
        """Of some places."""
        changes = {item.name: getattr(self, item.name) for item in fields(self)}
        tensors = {name: v[places] for name, v in changes.items() if isinstance(v, Tensor)}
        return replace(self, **tensors)


@dataclass(frozen=True, eq=False)
class _Cut(_Placed):
    """Windows of an image, flat: one of each item of a batch.

    ``index [items, window]`` holds its places, the same in every channel; one past the end means
    outside of the image.
    """

    channels: int
    index: Tensor


@output_shape.register
def _(operator: _Cut, x: Shape) -> Shape:
    return (operator.channels * int(operator.index.shape[1]),)


@adjoint.register
def _(operator: _Cut, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    items, rows, channels = len(operator.index), coefficient.shape[1], operator.channels
    windows = coefficient.expand(items, -1, -1).unflatten(2, (channels, -1))
    places = operator.index[:, None, None, :].expand_as(windows)
    # One more place in each channel: what lies outside of the image.
    images = windows.new_zeros(items, rows, channels, prod(inputs[0]) // channels + 1)
    images = images.scatter(3, places, windows)[..., :-1]
    return [images.reshape(items, rows, *inputs[0])]


@dataclass(frozen=True, eq=False)
class _Rows(_Placed):
    """Rows of an affine map: ``weight [items, out, in]`` and ``bias [items, out]``, or None."""

    weight: Tensor
    bias: Tensor | None


@output_shape.register
def _(operator: _Rows, x: Shape) -> Shape:
    return (int(operator.weight.shape[1]),)


@adjoint.register
def _(operator: _Rows, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    return [coefficient @ operator.weight]


@offset.register
def _(operator: _Rows, coefficient: Tensor) -> Tensor | None:
    if operator.bias is None:
        return None
    return (coefficient @ operator.bias.unsqueeze(2)).squeeze(2)


def window_network(
    network: Network, phase: Phase, index: dict[int, Tensor]
) -> tuple[Network, dict[int, int]]:
    """The small network that the positions of a phase share.

    Parameters
    ----------
    network : Network
    phase : Phase
    index : dict from node to integer Tensor ``[positions, window]``
        The phase's, on the network's device.

    Returns
    -------
    network : Network
        Its parameters are cut from the large network's, differentiably. Where windows end at
        whole layers, some differ from place to place, and are those of all: `at_places`.
    places : dict from the large network's nodes to the small one's
        Of nonlinear nodes, and of nodes in ``phase.outside``, whose relaxation is the mask of what
        lies inside.
    """
    first = phase.order[0]
    builder = NetworkBuilder(network.input_shape if phase.whole else (prod(phase.sizes[first]),))
    places: dict[int, int] = {}
    whole = {0: builder.input}
    for position in phase.whole:
        node = network.nodes[position]
        if position:
            whole[position] = builder.add(node.operator, *(whole[i] for i in node.inputs))
        if isinstance(node.operator, Nonlinear):
            places[position] = whole[position]
    made = {} if phase.whole else {first: builder.input}
    for position in phase.order:
        if position in phase.rows:
            operator = _rows(network.nodes[position].operator, phase, position, index[position])
            made[position] = builder.add(operator, whole[network.nodes[position].inputs[0]])
        elif position in phase.whole:
            cut = _Cut(phase.images[position][0], index[position])
            made[position] = builder.add(cut, whole[position])
        if position in made:
            continue
        node = network.nodes[position]
        made[position] = _in_window(builder, node, position, phase, [made[i] for i in node.inputs])
        if isinstance(node.operator, Elementwise | Max):
            places[position] = made[position]
        elif position in phase.outside:
            made[position] = builder.add(Scale(), made[position])
            places[position] = made[position]
    return builder.build(made[phase.order[-1]]), places


def at_places(network: Network, places: Tensor) -> Network:
    """The small network of some places, one for each item of a batch."""
    return Network(
        tuple(
            replace(node, operator=node.operator.at(places))
            if isinstance(node.operator, _Placed)
            else node
            for node in network.nodes
        )
    )


def _rows(operator: Operator, phase: Phase, position: int, index: Tensor) -> _Rows:
    """Rows of an affine map whose outputs are an image; zero outside of it."""
    assert isinstance(operator, Affine)
    channels = phase.images[position][0]

    def at(values: Tensor) -> Tensor:
        """``[out, *]`` to ``[positions, window out, *]``."""
        image = values.unflatten(0, (channels, -1))
        padded = torch.cat([image, image.new_zeros(channels, 1, *image.shape[2:])], dim=1)
        return padded[:, index].transpose(0, 1).flatten(1, 2)

    bias = None if operator.bias is None else at(operator.bias)
    return _Rows(at(operator.weight), bias)


def _in_window(
    builder: NetworkBuilder, node: Node, position: int, phase: Phase, sources: list[int]
) -> int:
    """One of a network's nodes in the small one; windows are flat there."""
    operator = node.operator
    if position in phase.taps:
        assert isinstance(operator, Conv | ConvTranspose)
        return builder.add(_window_matrix(operator, phase.taps[position]), *sources)
    if isinstance(operator, Select):
        indices = torch.from_numpy(phase.pools[position])
        return builder.add(Select(indices), *sources)
    convolves = isinstance(operator, Conv | ConvTranspose)
    for k, i in enumerate(node.inputs):
        cut = phase.cuts.get((position, i))
        if cut is not None or convolves:
            sources[k] = builder.add(Reshape(phase.sizes[i]), sources[k])
        if cut is not None:
            sources[k] = builder.add(_Crop(*cut), sources[k])
        if cut is not None and not convolves:
            sources[k] = _flat(builder, sources[k])
    if isinstance(operator, Conv | ConvTranspose):
        return _flat(builder, _convolution(builder, operator, phase.ends.get(position), *sources))
    if isinstance(operator, Scale):
        repeat = prod(phase.sizes[position][1:])
        return builder.add(_window_scale(operator, repeat, node.shape), *sources)
    moves = isinstance(operator, Pad | Reshape)  # Which place is which, the windows know.
    return sources[0] if moves else builder.add(operator, *sources)


def _convolution(
    builder: NetworkBuilder,
    operator: Conv | ConvTranspose,
    ends: tuple[Shape, Shape] | None,
    source: int,
) -> int:
    """A convolution of windows: what it pads with is in them."""
    none = (0,) * len(operator.padding)
    if isinstance(operator, Conv):
        return builder.add(replace(operator, padding=none), source)
    # The bias is added behind: what is cut off may be less than nothing.
    assert ends is not None
    extra = tuple(stride - 1 for stride in operator.stride)
    within = replace(operator, padding=none, output_padding=extra, bias=None)
    image = builder.add(_Crop(*ends), builder.add(within, source))
    if operator.bias is None:
        return image
    shift = operator.bias.reshape(-1, *(1 for _ in none))
    return builder.add(Scale(None, shift), image)


def _flat(builder: NetworkBuilder, image: int) -> int:
    return builder.add(Reshape((prod(builder.shape(image)),)), image)


@dataclass(frozen=True, eq=False)
class _Crop(Linear):
    """An image without some of its edges: how much of each axis, in front and behind."""

    before: Shape
    after: Shape


@output_shape.register
def _(operator: _Crop, x: Shape) -> Shape:
    return tuple(n - b - a for n, b, a in zip(x, operator.before, operator.after, strict=True))


@adjoint.register
def _(operator: _Crop, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    ends = zip(reversed(operator.before), reversed(operator.after), strict=True)
    return [functional.pad(coefficient, [n for pair in ends for n in pair])]


def _window_matrix(operator: Conv | ConvTranspose, taps: np.ndarray) -> Affine:
    kernel = functional.pad(_ungrouped(operator), (0, 1))  # No connection is zero.
    index = torch.from_numpy(taps).to(kernel.device)
    # [out, in, window out, window in]
    entries = kernel.index_select(2, index.flatten()).unflatten(2, index.shape)
    matrix = entries.transpose(1, 2).flatten(2, 3).flatten(0, 1)
    if operator.bias is None:
        return Affine(matrix)
    return Affine(matrix, operator.bias.repeat_interleave(len(taps)))


def _ungrouped(operator: Conv | ConvTranspose) -> Tensor:
    """The kernel from every channel to every other, ``[out, in, places]``: zero between groups."""
    kernel, groups = operator.weight.flatten(2), operator.groups
    transposed = isinstance(operator, ConvTranspose)
    if groups == 1:
        return kernel.transpose(0, 1) if transposed else kernel
    by_group = kernel.unflatten(0, (groups, -1))
    out_first = by_group.transpose(1, 2) if transposed else by_group
    # [groups, out, groups, in, places]
    every = torch.diag_embed(out_first.permute(1, 2, 3, 0), dim1=0, dim2=2)
    return every.flatten(2, 3).flatten(0, 1)


def _window_scale(operator: Scale, repeat: int, shape: Shape) -> Scale:
    def spread(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        ones = (1,) * (len(shape) - 1)
        column = values.expand(shape[0], *ones) if values.ndim == len(shape) else values.flatten()
        return column.flatten().expand(shape[0]).repeat_interleave(repeat)

    return Scale(spread(operator.scale), spread(operator.shift))
