"""Hypothesis strategies: random networks of every operator, and boxes for them.

Structures are drawn by hypothesis, so that they shrink; numbers come from a generator with a drawn
seed. All numbers are those of float32, held in float64: a network and its box mean the same in
both precisions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from sensverify.core.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Elementwise,
    LeakyRelu,
    Max,
    Pad,
    Permute,
    Relu,
    Reshape,
    Scale,
    Select,
    Sigmoid,
    Tanh,
)

Draw = Callable[..., int]
INFINITY = float("inf")


@dataclass(frozen=True, eq=False)
class Case:
    """A network and a batch of boxes of inputs for it, in float64."""

    network: Network
    box: Box

    def __repr__(self) -> str:
        nodes = [f"{type(n.operator).__name__}{n.inputs}->{n.shape}" for n in self.network.nodes]
        return f"Case({' '.join(nodes)}; batch {self.box.batch})"

    def box_of(self, dtype: torch.dtype) -> Box:
        """The boxes as tensors of a dtype, without rounding."""
        return Box(*(torch.from_numpy(end).to(dtype) for end in (self.box.lower, self.box.upper)))

    @property
    def outputs(self) -> int:
        return prod(self.network.output_shape)


def numbers(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Normal numbers that float32 holds, in float64."""
    return (scale * rng.normal(size=shape)).astype(np.float32).astype(np.float64)


def random_generators() -> st.SearchStrategy[np.random.Generator]:
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def random_box(
    rng: np.random.Generator, shape: tuple[int, ...], batch: int, radius: float, share: float = 1.0
) -> Box:
    """Boxes with a radius for each feature, zero for all but a share of the features."""
    center = numbers(rng, batch, *shape)
    wide = rng.random((batch, *shape)) < share
    half = np.abs(numbers(rng, batch, *shape, scale=radius)) * wide
    ends = ((center + sign * half).astype(np.float32).astype(np.float64) for sign in (-1, 1))
    return Box(*ends)


@st.composite
def elementwise(draw: Draw, channels: int, axes: int, *, piecewise: bool = False) -> Elementwise:
    """Any nonlinear operator for arrays ``[channels, ...]`` of that many axes."""
    names = ["relu", "relu", "leaky", "prelu", "clip", "clip_low", "clip_high", "abs"]
    if not piecewise:
        names += ["sigmoid", "tanh"]
    name = draw(st.sampled_from(names))
    if name == "leaky":
        return LeakyRelu(np.array(draw(st.sampled_from([0.25, -0.5, 1.5, 1.0, 0.0]))))
    if name == "prelu":
        slopes = numbers(draw(random_generators()), channels)
        return LeakyRelu(slopes.reshape(channels, *(1,) * (axes - 1)))
    if name == "clip":
        low = draw(st.sampled_from([-1.0, -0.25, 0.0]))
        return Clip(low, low + draw(st.sampled_from([0.0, 0.5, 2.0])))
    return {
        "relu": Relu(),
        "clip_low": Clip(0.25, INFINITY),
        "clip_high": Clip(-INFINITY, 0.5),
        "abs": Abs(),
        "sigmoid": Sigmoid(),
        "tanh": Tanh(),
    }[name]


def dense(
    rng: np.random.Generator, out: int, inputs: int, *, bias: bool = True, gain: float = 1.5
) -> Affine:
    weight = numbers(rng, out, inputs, scale=gain / inputs**0.5)
    return Affine(weight, numbers(rng, out, scale=0.5) if bias else None)


@st.composite
def mlps(draw: Draw, *, relu_only: bool = False, inputs: int = 4, width: int = 6) -> Network:
    """Fully connected networks; sometimes linear, sometimes ending in a nonlinear node."""
    rng = draw(random_generators())
    builder = NetworkBuilder((draw(st.integers(1, inputs)),))
    node = builder.input
    gain = draw(st.sampled_from([1.0, 3.0]))
    for _ in range(draw(st.integers(0, 3)) if not relu_only else draw(st.integers(1, 2))):
        size = builder.shape(node)[0]
        layer = dense(rng, draw(st.integers(1, width)), size, bias=draw(st.booleans()), gain=gain)
        node = builder.add(layer, node)
        out = builder.shape(node)[0]
        node = builder.add(Relu() if relu_only else draw(elementwise(out, 1)), node)
    if relu_only or draw(st.booleans()):
        node = builder.add(dense(rng, draw(st.integers(1, 3)), builder.shape(node)[0]), node)
    return builder.build(node)


@st.composite
def convolutions(
    draw: Draw, channels: int, dimensions: int, *, keeps_size: bool = False, groups: bool = True
) -> Conv:
    """Kernels, strides, paddings (also larger than half the kernel), dilations and groups."""
    rng = draw(random_generators())
    group = draw(st.sampled_from([g for g in (1, channels) if groups or g == 1]))
    out = channels if keeps_size else group * draw(st.integers(1, 2))
    kernel = [draw(st.sampled_from([1, 3] if keeps_size else [1, 2, 3])) for _ in range(dimensions)]
    dilation = [draw(st.sampled_from([1, 1, 2])) for _ in range(dimensions)]
    if keeps_size:
        stride = [1] * dimensions
        padding = [d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True)]
    else:
        stride = [draw(st.integers(1, 2)) for _ in range(dimensions)]
        padding = [draw(st.integers(0, 2)) for _ in range(dimensions)]
    scale = 1.5 / (channels // group * prod(kernel)) ** 0.5
    return Conv(
        numbers(rng, out, channels // group, *kernel, scale=scale),
        numbers(rng, out, scale=0.5) if draw(st.booleans()) else None,
        tuple(stride),
        tuple(padding),
        tuple(dilation),
        group,
    )


@st.composite
def pads(draw: Draw, axes: int, *, zero: bool = False) -> Pad:
    """Asymmetric paddings of the spatial axes, sometimes with another constant than zero."""
    before, after = ([draw(st.integers(0, 2)) for _ in range(axes - 1)] for _ in range(2))
    value = 0.0 if zero else draw(st.sampled_from([0.0, 0.75]))
    return Pad((0, *before), (0, *after), value)


def channel_scale(rng: np.random.Generator, channels: int, axes: int) -> Scale:
    shape = (channels, *(1,) * (axes - 1))
    return Scale(numbers(rng, *shape), numbers(rng, *shape))


@st.composite
def conv_nets(
    draw: Draw, *, zero_pads: bool = False, head: bool = True, dimensions: int | None = None
) -> Network:
    """Chains of convolutions with and without nonlinear operators, pads and scales between."""
    rng = draw(random_generators())
    dimensions = dimensions or draw(st.sampled_from([1, 2, 2, 3]))
    size = {1: 9, 2: 6, 3: 4}[dimensions]
    spatial = [draw(st.integers(size - 2, size)) for _ in range(dimensions)]
    builder = NetworkBuilder((draw(st.integers(1, 2)), *spatial))
    node = builder.input
    for _ in range(draw(st.integers(1, 3))):
        shape = builder.shape(node)
        if draw(st.integers(0, 2)) == 0:
            node = builder.add(draw(pads(len(shape), zero=zero_pads)), node)
        if draw(st.integers(0, 2)) == 0:
            node = builder.add(channel_scale(rng, shape[0], len(shape)), node)
        conv = draw(convolutions(shape[0], dimensions))
        if min(conv_size(builder.shape(node), conv)) < 1:
            break
        node = builder.add(conv, node)
        if draw(st.integers(0, 3)):
            shape = builder.shape(node)
            node = builder.add(draw(elementwise(shape[0], len(shape))), node)
    return builder.build(_head(draw, rng, builder, node) if head else node)


@st.composite
def residual_nets(draw: Draw, *, pooling: bool = True, head: bool = True) -> Network:
    """A stem, residual blocks, then pooling, a transposed convolution, a join or a permutation."""
    rng = draw(random_generators())
    size = draw(st.integers(4, 6))
    builder = NetworkBuilder((2, size, size))
    node = builder.add(draw(convolutions(2, 2, keeps_size=True)), builder.input)
    channels = builder.shape(node)[0]
    if draw(st.booleans()):
        node = builder.add(draw(elementwise(channels, 3)), node)
    for _ in range(draw(st.integers(1, 2))):
        branch = builder.add(draw(convolutions(channels, 2, keeps_size=True)), node)
        branch = builder.add(draw(elementwise(channels, 3)), branch)
        if draw(st.booleans()):
            branch = builder.add(draw(convolutions(channels, 2, keeps_size=True)), branch)
        node = builder.add(Add(), branch, node)
        if draw(st.booleans()):
            node = builder.add(draw(elementwise(channels, 3)), node)
    if pooling:
        node = _pool(draw, rng, builder, node)
    return builder.build(_head(draw, rng, builder, node) if head else node)


def _pool(draw: Draw, rng: np.random.Generator, builder: NetworkBuilder, node: int) -> int:
    shape = builder.shape(node)
    channels, height, width = shape
    kind = draw(st.sampled_from(["max", "max", "average", "transpose", "concat", "permute"]))
    if kind == "max":
        return max_pool(builder, node, 2, draw(st.integers(1, 2)))
    if kind == "average":
        weight = np.full((channels, 1, 2, 2), 0.25)
        return builder.add(Conv(weight, None, (2, 2), (0, 0), (1, 1), channels), node)
    if kind == "transpose":
        weight = numbers(rng, channels, 2, 3, 2, scale=0.5)
        operator = ConvTranspose(weight, numbers(rng, 2), (2, 1), (1, 0), (1, 0), (1, 1))
        return builder.add(Relu(), builder.add(operator, node))
    if kind == "concat":
        other = builder.add(draw(elementwise(channels, 3)), node)
        return builder.add(Concat(draw(st.integers(0, 2))), node, other)
    node = builder.add(Permute((2, 0, 1)), node)
    return builder.add(
        dense(rng, 3, height), builder.add(Reshape((channels * width, height)), node)
    )


def max_pool(builder: NetworkBuilder, node: int, size: int, stride: int) -> int:
    """Max pooling as importers write it: a `Select` that lists the windows, then a `Max`."""
    shape = builder.shape(node)
    flat = np.arange(prod(shape)).reshape(shape)
    windows = np.lib.stride_tricks.sliding_window_view(flat, (size, size), axis=(1, 2))
    indices = windows[:, ::stride, ::stride].reshape(shape[0], -1, size * size)
    return builder.add(Max(), builder.add(Select(np.ascontiguousarray(indices)), node))


def _head(draw: Draw, rng: np.random.Generator, builder: NetworkBuilder, node: int) -> int:
    features = prod(builder.shape(node))
    node = builder.add(Reshape((features,)), node)
    return builder.add(dense(rng, draw(st.integers(1, 3)), features), node)


def conv_size(shape: tuple[int, ...], conv: Conv) -> list[int]:
    return [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(
            shape[1:], conv.weight.shape[2:], conv.stride, conv.padding, conv.dilation, strict=True
        )
    ]


NETWORKS = {"mlp": mlps(), "conv": conv_nets(), "residual": residual_nets()}
"""The three families that the laws are checked on."""


@st.composite
def cases(draw: Draw, networks: st.SearchStrategy[Network]) -> Case:
    """A network of the family, and one to three boxes of any kind."""
    network = draw(networks)
    radius = draw(st.sampled_from([1e-3, 0.1, 1.0]))
    share = draw(st.sampled_from([1.0, 1.0, 0.5]))
    batch = draw(st.integers(1, 3))
    rng = draw(random_generators())
    return Case(network, random_box(rng, network.input_shape, batch, radius, share))


def node_values(network: Network, x: Tensor) -> list[Tensor]:
    """Every node's output, for magnitudes."""
    from sensverify.bounds.forward import apply
    from sensverify.bounds.tensors import tensor_network

    network = tensor_network(network, dtype=x.dtype, device=x.device)
    values = [x]
    for node in network.nodes[1:]:
        values.append(apply(node.operator, *(values[i] for i in node.inputs)))
    return values
