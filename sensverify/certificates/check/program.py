"""The network as the certificate is about it: vectors, and maps between them.

Every value is one flat vector. A linear step is a sum of maps of earlier values plus a constant;
a nonlinear step applies one function to what enters it. No number is computed here: weights are
taken from the file as they are, and where a division or a square root belongs to the network, its
two sides are kept apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from sensverify.certificates.check.arithmetic import widened
from sensverify.certificates.check.enclosure import Enclosure
from sensverify.certificates.check.functions import ENCLOSURES
from sensverify.errors import BadShape, MissingRule
from sensverify.network import Network
from sensverify.network.graph import Node
from sensverify.network.operators import (
    Add,
    Affine,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Divide,
    Input,
    Pad,
    Permute,
    Reshape,
    Scale,
    Select,
)


@dataclass(frozen=True, eq=False)
class Block:
    """``y[rows] += weight @ x[columns]``; rows and columns are distinct."""

    rows: np.ndarray
    columns: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class Blocks:
    """A sum of blocks: fully connected layers have one, convolutions one for every position."""

    size: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, eq=False)
class Gather:
    """``y[i] = factor[i] * x[index[i]] / divisor[i]``, or 0 where the index is -1; None is one.

    ``under_root``: two numbers for every i, the divisor being the square root of their sum.
    """

    index: np.ndarray
    factor: np.ndarray | None = None
    divisor: np.ndarray | None = None
    under_root: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def size(self) -> int:
        return len(self.index)


Map = Blocks | Gather


@dataclass(frozen=True, eq=False)
class Linear:
    """``y = sum of map(x[source]) + constant``."""

    terms: tuple[tuple[int, Map], ...]
    constant: np.ndarray | None
    size: int


@dataclass(frozen=True, eq=False)
class Nonlinear:
    """``y = f(x[source])``; its entries are ``first`` and those that follow.

    ``window`` entries make one of y: 1, but for `Windowed` operators.
    """

    function: Enclosure
    source: int
    first: int
    window: int
    size: int

    @property
    def entries(self) -> slice:
        return slice(self.first, self.first + self.size * self.window)

    def own(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Entries of the whole network counted from this step's first, and which are its own."""
        places = entries - self.first
        return places, (places >= 0) & (places < self.size * self.window)


Step = Linear | Nonlinear | None
"""The step that computes a value; None for the input."""


@dataclass(frozen=True, eq=False)
class Program:
    """The steps in order, the input first; the last one makes the output."""

    steps: tuple[Step, ...]
    sizes: tuple[int, ...]
    entries: int

    @property
    def features(self) -> int:
        return self.sizes[0]

    @property
    def outputs(self) -> int:
        return self.sizes[-1]

    @property
    def nonlinear(self) -> tuple[tuple[int, Nonlinear], ...]:
        """Position and step of every nonlinear function, in order."""
        return tuple((p, s) for p, s in enumerate(self.steps) if isinstance(s, Nonlinear))


class _Builder:
    """Collects steps while the network is walked."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.sizes: list[int] = []
        self.entries = 0

    def put(self, step: Step, size: int) -> int:
        self.steps.append(step)
        self.sizes.append(size)
        return len(self.steps) - 1

    def linear(self, *terms: tuple[int, Map], constant: np.ndarray | None = None) -> int:
        size = terms[0][1].size
        return self.put(Linear(terms, constant, size), size)


def program_of(network: Network) -> Program:
    """The steps of a network.

    Parameters
    ----------
    network : Network
        With numpy parameters, as the file stores it: not simplified.

    Raises
    ------
    MissingRule
        An operator has no counterpart here.
    BadShape
        There are steps that the output does not need.
    """
    builder = _Builder()
    places: list[int] = []
    for node in network.nodes:
        shapes = [network.nodes[i].shape for i in node.inputs]
        places.append(_lower(builder, node, [places[i] for i in node.inputs], shapes))
    if places[-1] != len(builder.steps) - 1:
        raise BadShape("the network holds steps that its output does not need")
    return Program(tuple(builder.steps), tuple(builder.sizes), builder.entries)


def _lower(builder: _Builder, node: Node, sources: list[int], shapes: list[tuple[int, ...]]) -> int:
    operator, size = node.operator, prod(node.shape)
    if isinstance(operator, Input):
        return builder.put(None, size)
    if type(operator) in ENCLOSURES:
        function, entries = ENCLOSURES[type(operator)](operator, shapes[0]), prod(shapes[0])
        step = Nonlinear(function, sources[0], builder.entries, entries // size, size)
        builder.entries += entries
        return builder.put(step, size)
    if isinstance(operator, Reshape):
        return sources[0]
    if isinstance(operator, Add):
        one = Gather(np.arange(size))
        counts = {source: float(sources.count(source)) for source in sources}
        return builder.linear(
            *(
                (s, one if n == 1 else Gather(one.index, np.full(size, n)))
                for s, n in counts.items()
            )
        )
    if isinstance(operator, Concat):
        return builder.linear(*_concatenation(operator, node.shape, sources, shapes))
    if isinstance(operator, BatchNorm):
        return _batch_norm(builder, operator, sources[0], shapes[0])
    rule = _RULES.get(type(operator))
    if rule is None:
        raise MissingRule(
            f"certificates know no operator {type(operator).__name__} (node '{node.name}')",
            "do without a certificate, or add its enclosure to ENCLOSURES in "
            "`sensverify.certificates.check.functions`",
        )
    term, constant = rule(operator, shapes[0], node.shape)
    return builder.linear((sources[0], term), constant=constant)


def _concatenation(
    operator: Concat, shape: tuple[int, ...], sources: list[int], shapes: list[tuple[int, ...]]
) -> list[tuple[int, Map]]:
    terms: list[tuple[int, Map]] = []
    start = 0
    for source, part in zip(sources, shapes, strict=True):
        index = np.full(shape, -1)
        stop = start + part[operator.axis]
        place = (slice(None),) * operator.axis + (slice(start, stop),)
        index[place] = np.arange(prod(part)).reshape(part)
        terms.append((source, Gather(index.reshape(-1))))
        start = stop
    return terms


def _batch_norm(builder: _Builder, operator: BatchNorm, source: int, shape: tuple[int, ...]) -> int:
    """``(x - mean) * weight / sqrt(variance + epsilon) + bias``: two steps, nothing folded."""
    channels = (shape[0], *(1 for _ in shape[1:]))

    def spread(values: Any) -> np.ndarray:
        return widened(np.asarray(values).reshape(channels), shape)

    every = np.arange(prod(shape))
    centred = builder.linear((source, Gather(every)), constant=-spread(operator.mean))
    factor = None if operator.weight is None else spread(operator.weight)
    under = (spread(operator.variance), np.full(len(every), float(operator.epsilon)))
    bias = None if operator.bias is None else spread(operator.bias)
    return builder.linear((centred, Gather(every, factor, under_root=under)), constant=bias)


Rule = Callable[[Any, tuple[int, ...], tuple[int, ...]], tuple[Map, np.ndarray | None]]


def _affine(operator: Affine, before: tuple[int, ...], after: tuple[int, ...]) -> Any:
    weight = np.asarray(operator.weight).astype(np.float64)
    outputs, inputs = weight.shape
    blocks = tuple(
        Block(i * outputs + np.arange(outputs), i * inputs + np.arange(inputs), weight)
        for i in range(prod(before[:-1]))
    )
    constant = None if operator.bias is None else widened(operator.bias, after)
    return Blocks(prod(after), blocks), constant


def _scale(operator: Scale, before: tuple[int, ...], after: tuple[int, ...]) -> Any:
    factor = None if operator.scale is None else widened(operator.scale, after)
    constant = None if operator.shift is None else widened(operator.shift, after)
    return Gather(np.arange(prod(after)), factor), constant


def _divide(operator: Divide, before: tuple[int, ...], after: tuple[int, ...]) -> Any:
    return Gather(np.arange(prod(after)), None, widened(operator.divisor, after)), None


def _pad(operator: Pad, before: tuple[int, ...], after: tuple[int, ...]) -> Any:
    index = np.arange(prod(before)).reshape(before)
    ends = tuple(zip(operator.before, operator.after, strict=True))
    index = np.pad(index, ends, constant_values=-1).reshape(-1)
    return Gather(index), np.where(index < 0, operator.value, 0.0) if operator.value else None


def _select(operator: Select, before: tuple[int, ...], after: tuple[int, ...]) -> Any:
    return Gather(np.asarray(operator.indices).reshape(-1).astype(np.int64)), None


def _permute(operator: Permute, before: tuple[int, ...], after: tuple[int, ...]) -> Any:
    index = np.arange(prod(before)).reshape(before)
    return Gather(index.transpose(operator.axes).reshape(-1)), None


def _conv(operator: Conv, before: tuple[int, ...], after: tuple[int, ...]) -> Any:
    weight = np.asarray(operator.weight).astype(np.float64)
    outputs, inputs = weight.shape[0] // operator.groups, weight.shape[1]
    blocks = []
    for position, offsets, cells in _windows(operator, after[1:], before[1:], weight.shape[2:]):
        for group in range(operator.groups):
            rows = (group * outputs + np.arange(outputs)) * prod(after[1:]) + position
            channels = (group * inputs + np.arange(inputs)) * prod(before[1:])
            columns = (channels[:, None] + cells).reshape(-1)
            kernels = weight[group * outputs : (group + 1) * outputs].reshape(outputs, inputs, -1)
            blocks.append(Block(rows, columns, kernels[:, :, offsets].reshape(outputs, -1)))
    constant = None
    if operator.bias is not None:
        constant = np.repeat(np.asarray(operator.bias).astype(np.float64), prod(after[1:]))
    return Blocks(prod(after), tuple(blocks)), constant


def _conv_transpose(
    operator: ConvTranspose, before: tuple[int, ...], after: tuple[int, ...]
) -> Any:
    weight = np.asarray(operator.weight).astype(np.float64)
    inputs, outputs = weight.shape[0] // operator.groups, weight.shape[1]
    blocks = []
    for position, offsets, cells in _windows(operator, before[1:], after[1:], weight.shape[2:]):
        for group in range(operator.groups):
            columns = (group * inputs + np.arange(inputs)) * prod(before[1:]) + position
            channels = (group * outputs + np.arange(outputs)) * prod(after[1:])
            rows = (channels[:, None] + cells).reshape(-1)
            kernels = weight[group * inputs : (group + 1) * inputs].reshape(inputs, outputs, -1)
            blocks.append(Block(rows, columns, kernels[:, :, offsets].reshape(inputs, -1).T))
    constant = None
    if operator.bias is not None:
        constant = np.repeat(np.asarray(operator.bias).astype(np.float64), prod(after[1:]))
    return Blocks(prod(after), tuple(blocks)), constant


def _windows(
    operator: Conv | ConvTranspose,
    positions: tuple[int, ...],
    image: tuple[int, ...],
    kernel: tuple[int, ...],
) -> Any:
    """Positions of a kernel, each with its entries inside of the image and their places."""
    offsets = np.array(list(product(*(range(k) for k in kernel))))
    for position, at in enumerate(product(*(range(n) for n in positions))):
        places = (
            np.array(at) * operator.stride
            - np.array(operator.padding)
            + offsets * np.array(operator.dilation)
        )
        inside = ((places >= 0) & (places < np.array(image))).all(axis=1)
        if inside.any():
            cells = np.ravel_multi_index(tuple(places[inside].T), image)
            yield position, np.flatnonzero(inside), cells


_RULES: dict[type, Rule] = {
    Affine: _affine,
    Conv: _conv,
    ConvTranspose: _conv_transpose,
    Divide: _divide,
    Pad: _pad,
    Permute: _permute,
    Scale: _scale,
    Select: _select,
}
