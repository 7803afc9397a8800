"""A convolution's coefficients carried back to what enters it, each by the way that costs least.

All ways compute the transposed convolution. Which is fastest depends on the numbers of channels,
the kernel and the stride; `convolution_work` says what that one takes, in multiply-adds of a large
matrix product.
"""

from __future__ import annotations

from itertools import product
from math import inf, prod

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds.forward import CONV, CONV_TRANSPOSE
from sensverify.network.operators import Conv
from sensverify.network.shapes import Shape

_LANES = 16
"""Channels that torch's convolutions compute together: fewer take as long (measured on x86)."""

_MOVED, _FOLDED = 60.0, 2.5e4
"""Multiply-adds of a matrix product in the time of moving one number, and of beginning with the
fold of one image (measured on x86)."""


def carried_back(operator: Conv, images: Tensor, spatial: Shape) -> Tensor:
    """The transposed convolution of ``images [images, out, *]``: ``[images, in, *spatial]``."""
    ways = (_by_fold, _by_phases, _transposed)
    if images.device.type != "cpu":
        way = _by_phases if _is_one_phase(operator) else _transposed
    else:
        shape, places = operator.weight.shape, prod(images.shape[2:])
        costs = _costs(places, shape, operator.stride, operator.dilation, operator.groups)
        way = ways[costs.index(min(costs))]
    return way(operator, images, spatial)


def convolution_work(
    places: int, weight: Shape, stride: Shape, dilation: Shape, groups: int
) -> float:
    """Multiply-adds of a matrix product that an image costs.

    Parameters
    ----------
    places : int
        Of the convolution's output.
    weight : shape
        ``[out, in / groups, *kernel]``.
    stride, dilation : one number for each spatial axis
    groups : int
    """
    return min(_costs(places, weight, stride, dilation, groups))


def transposed_work(places: int, weight: Shape, groups: int) -> float:
    """The same for a transposed convolution, whose coefficients a convolution carries back.

    Parameters
    ----------
    places : int
        Of what enters it.
    weight : shape
        ``[in, out / groups, *kernel]``.
    groups : int
    """
    inputs, out, *kernel = weight
    lanes = groups * -(-inputs // groups // _LANES) * _LANES
    return 1.1 * places * prod(kernel) * out * lanes


def _costs(
    places: int, weight: Shape, stride: Shape, dilation: Shape, groups: int
) -> tuple[float, float, float]:
    """The costs of `_by_fold`, `_by_phases` and `_transposed` (measured on x86)."""
    out, inputs, *kernel = weight
    area, moved = prod(kernel), _MOVED * inputs * prod(stride)
    fold = phased = inf
    if groups == 1 and len(kernel) == 2:
        fold = places * area * inputs * (0.8 * out + 1.1 * _MOVED) + _FOLDED
    if groups == 1 and (prod(stride) == 1 or set(dilation) == {1}):
        phases = prod(min(k, s) for k, s in zip(kernel, stride, strict=True))
        taps = prod(-(-k // s) for k, s in zip(kernel, stride, strict=True))
        lanes = -(-inputs * phases // _LANES) * _LANES
        phased = places * (taps * out * lanes + (2.5 * moved if prod(stride) > 1 else 0.0))
    slowness = 1.3 if inputs >= _LANES else 3.3 * max(1.0, _LANES / 2 / inputs)
    return fold, phased, places * (slowness * area * out * inputs + moved)


def _by_fold(operator: Conv, images: Tensor, spatial: Shape) -> Tensor:
    """One product for each image and a fold: few channels."""
    # As one product for each image: torch makes one of them all, and copies it afterwards.
    weight = operator.weight.flatten(1).T.expand(len(images), -1, -1)
    columns = torch.bmm(weight, images.flatten(2))
    kernel = tuple(operator.weight.shape[2:])
    return functional.fold(
        columns, spatial, kernel, operator.dilation, operator.padding, operator.stride
    )


def _is_one_phase(operator: Conv) -> bool:
    return operator.groups == 1 and all(s == 1 for s in operator.stride)


def _by_phases(operator: Conv, images: Tensor, spatial: Shape) -> Tensor:
    """A convolution of stride 1 with the kernel turned around.

    Where the stride is larger, the places that are equal modulo the stride are channels of their
    own: each of these phases sees the part of the kernel that meets it.
    """
    if not _is_one_phase(operator):
        return _of_phases(operator, images, spatial)
    weight = operator.weight.flip(tuple(range(2, operator.weight.ndim))).transpose(0, 1)
    reach = [
        d * (k - 1) - p
        for k, p, d in zip(weight.shape[2:], operator.padding, operator.dilation, strict=True)
    ]
    padding = tuple(max(0, r) for r in reach)
    result = CONV[len(spatial)](images, weight, padding=padding, dilation=operator.dilation)
    for axis, r in enumerate(reach):
        if r < 0:  # What the kernel reaches of the padding alone.
            result = result.narrow(axis + 2, -r, spatial[axis])
    return result


def _of_phases(operator: Conv, images: Tensor, spatial: Shape) -> Tensor:
    weight, strides, padding = operator.weight, operator.stride, operator.padding
    axes, kernel = range(len(spatial)), tuple(weight.shape[2:])
    phases = [min(k, s) for k, s in zip(kernel, strides, strict=True)]
    taps = [-(-k // s) for k, s in zip(kernel, strides, strict=True)]
    # [out, in, tap, phase, ...], the taps turned around.
    more = [n for a in reversed(axes) for n in (0, taps[a] * strides[a] - kernel[a])]
    split = [n for a in axes for n in (taps[a], strides[a])]
    parts = functional.pad(weight, more).reshape(*weight.shape[:2], *split)
    parts = parts.flip([2 * a + 2 for a in axes])
    for a in axes:
        parts = parts.narrow(2 * a + 3, 0, phases[a])
    order = (1, *(2 * a + 3 for a in axes), 0, *(2 * a + 2 for a in axes))
    parts = parts.permute(order).flatten(0, len(axes))
    values = CONV[len(axes)](images, parts, padding=tuple(n - 1 for n in taps))
    values = values.reshape(len(images), weight.shape[1], *phases, *values.shape[2:])
    result = values.new_zeros(len(images), weight.shape[1], *spatial)
    for phase in product(*(range(n) for n in phases)):
        source: list[slice] = []
        target: list[slice] = []
        for a, s in zip(axes, strides, strict=True):
            first = max(0, -((phase[a] - padding[a]) // s))
            start = phase[a] + first * s - padding[a]
            count = min(values.shape[a - len(axes)] - first, len(range(start, spatial[a], s)))
            source.append(slice(first, first + max(0, count)))
            target.append(slice(start, start + max(0, count) * s, s))
        every: tuple[int | slice, ...] = (slice(None), slice(None), *phase, *source)
        result[(slice(None), slice(None), *target)] = values[every]
    return result


def _transposed(operator: Conv, images: Tensor, spatial: Shape) -> Tensor:
    """torch's transposed convolution."""
    kernel, stride, padding = operator.weight.shape[2:], operator.stride, operator.padding
    extra = [
        n - ((out - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, out, k, s, p, d in zip(
            spatial, images.shape[2:], kernel, stride, padding, operator.dilation, strict=True
        )
    ]
    return CONV_TRANSPOSE[len(spatial)](
        images,
        operator.weight,
        None,
        stride,
        padding,
        extra,
        operator.groups,
        operator.dilation,
    )
