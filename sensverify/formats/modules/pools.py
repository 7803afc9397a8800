"""ATen operators of pooling layers, and sums, means and maxima over axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from sensverify.formats.modules.emitting import Emitter, Flow, pairs, rule
from sensverify.formats.pooling import PoolWindows
from sensverify.network.operators import Affine, Concat, Conv, Max, Pad, Permute, Scale


@rule("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(
    emit: Emitter,
    self: Any,
    kernel_size: Sequence[int] | int,
    stride: Sequence[int] | int = (),
    padding: Sequence[int] | int = 0,
    dilation: Sequence[int] | int = 1,
    ceil_mode: bool = False,
) -> Flow:
    flow = emit.flow(self)
    windows = _windows(emit, flow, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_of_windows(emit, flow, windows)


@rule("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def _max_pool_with_indices(emit: Emitter, self: Any, **settings: Any) -> list[Any]:
    return [_max_pool(emit, self, **settings), None]


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max_pool(emit: Emitter, self: Any, output_size: Sequence[int] | int) -> list[Any]:
    flow = emit.flow(self)
    count = len(emit.traced[0].shape) - 2
    windows = _adaptive_windows(emit, flow, pairs(output_size, count))
    return [_max_of_windows(emit, flow, windows), None]


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(
    emit: Emitter,
    self: Any,
    kernel_size: Sequence[int] | int,
    stride: Sequence[int] | int = (),
    padding: Sequence[int] | int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Flow:
    flow = emit.flow(self)
    windows = _windows(emit, flow, kernel_size, stride, padding, 1, ceil_mode)
    counts = windows.counts(include_padding=count_include_pad)
    if divisor_override is not None:
        counts = np.full_like(counts, divisor_override)
    return _mean_of_windows(emit, flow, windows, counts)


@rule(
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
)
def _adaptive_avg_pool(emit: Emitter, self: Any, output_size: Sequence[int] | int) -> Flow:
    flow = emit.flow(self)
    count = len(emit.traced.shape) - 2
    windows = _adaptive_windows(emit, flow, pairs(output_size, count))
    return _mean_of_windows(emit, flow, windows, windows.counts(include_padding=False))


def _windows(
    emit: Emitter,
    flow: Flow,
    kernel: Sequence[int] | int,
    stride: Sequence[int] | int,
    padding: Sequence[int] | int,
    dilation: Sequence[int] | int,
    ceil: bool,
) -> PoolWindows:
    traced = emit.traced[0] if isinstance(emit.traced, list | tuple) else emit.traced
    count = len(traced.shape) - 2
    if len(flow.shape) != count + 1:
        emit.refuse("pools without a channel axis")
    kernel, pad = pairs(kernel, count), pairs(padding, count)
    # An empty stride means the kernel's size.
    stride = kernel if stride in ((), [], None) else pairs(stride, count)
    spatial = flow.shape[1:]
    return PoolWindows(spatial, kernel, stride, pad, pad, pairs(dilation, count), ceil)


def _adaptive_windows(emit: Emitter, flow: Flow, sizes: Sequence[int | None]) -> PoolWindows:
    spatial = flow.shape[1:]
    outputs = [n if size is None else size for n, size in zip(spatial, sizes, strict=True)]
    if any(size < 1 or n % size for n, size in zip(spatial, outputs, strict=True)):
        emit.refuse(
            f"pools {spatial} to {tuple(outputs)}, which does not divide into equal windows; only "
            "sizes that divide the input's are supported"
        )
    kernel = tuple(n // size for n, size in zip(spatial, outputs, strict=True))
    zeros, ones = (0,) * len(kernel), (1,) * len(kernel)
    return PoolWindows(spatial, kernel, kernel, zeros, zeros, ones)


def _max_of_windows(emit: Emitter, flow: Flow, windows: PoolWindows) -> Flow:
    try:
        indices = windows.indices(flow.shape[:1])
    except ValueError as error:
        emit.refuse(f"cannot be expressed: {error}")
    return emit.add(Max(), emit.select(flow, indices))


def _mean_of_windows(emit: Emitter, flow: Flow, windows: PoolWindows, counts: np.ndarray) -> Flow:
    """A convolution of every channel with itself alone, and a scale where windows differ."""
    channels = flow.shape[0]
    if windows.kernel == windows.spatial and not any(windows.before):
        return emit.reshape(
            _total(emit, flow, tuple(range(1, len(flow.shape))), 1 / int(counts.flat[0])),
            (channels, *windows.outputs),
        )
    uniform = len(np.unique(counts)) == 1
    each = 1 / int(counts.flat[0]) if uniform else 1.0
    weight = torch.full((channels, 1, *windows.kernel), each, dtype=torch.float64)
    if any(windows.overhang):
        flow = emit.add(Pad((0,) * len(flow.shape), (0, *windows.overhang)), flow)
    flow = emit.add(
        Conv(weight, None, windows.stride, windows.before, windows.dilation, channels), flow
    )
    if uniform:
        return flow
    return emit.add(Scale(torch.from_numpy(1 / counts).unsqueeze(0)), flow)


@rule("mean")
def _mean(emit: Emitter, self: Any, dim: Any = None, **_: Any) -> Flow:
    flow = emit.flow(self)
    axes = emit.axes(dim, len(flow.shape) + 1)
    size = prod(flow.shape[axis] for axis in axes)
    return emit.reshape(_total(emit, flow, axes, 1 / size), emit.traced.shape[1:])


@rule("sum")
def _sum(emit: Emitter, self: Any, dim: Any = None, **_: Any) -> Flow:
    flow = emit.flow(self)
    axes = emit.axes(dim, len(flow.shape) + 1)
    return emit.reshape(_total(emit, flow, axes, 1.0), emit.traced.shape[1:])


def _total(emit: Emitter, flow: Flow, axes: tuple[int, ...], each: float) -> Flow:
    """The sum over axes times ``each``, without those axes."""
    flow = _last(emit, flow, axes)
    weight = torch.full((1, flow.shape[-1]), each, dtype=torch.float64)
    flow = emit.add(Affine(weight), flow)
    return emit.reshape(flow, flow.shape[:-1])


def _last(emit: Emitter, flow: Flow, axes: tuple[int, ...]) -> Flow:
    """The flow with some axes flattened into one behind the others."""
    rest = tuple(axis for axis in range(len(flow.shape)) if axis not in axes)
    shape = (*(flow.shape[axis] for axis in rest), prod(flow.shape[axis] for axis in axes))
    order = rest + axes
    if order != tuple(range(len(order))):
        flow = emit.add(Permute(order), flow)
    return emit.reshape(flow, shape)


@rule("amax", "amin")
def _amax(emit: Emitter, self: Any, dim: Any = None, keepdim: bool = False) -> Flow:
    flow = emit.flow(self)
    axes = emit.axes(dim, len(flow.shape) + 1)
    flow = _max(emit, _last(emit, flow, axes))
    return emit.reshape(flow, emit.traced.shape[1:])


def _max(emit: Emitter, flow: Flow) -> Flow:
    """The maximum along the last axis, or the minimum where the operator is one."""
    if not emit.operator.startswith(("amin", "min")):
        return emit.add(Max(), flow)
    minus = Scale(torch.tensor(-1.0, dtype=torch.float64))
    return emit.add(minus, emit.add(Max(), emit.add(minus, flow)))


@rule("max", "min")
def _max_along(
    emit: Emitter, self: Any, dim: Any = None, keepdim: bool = False, other: Any = None
) -> Any:
    if other is not None:
        return _maximum(emit, self, other)
    flow = emit.flow(self)
    axes = emit.axes(dim, len(flow.shape) + 1)
    flow = _max(emit, _last(emit, flow, axes))
    return [emit.reshape(flow, emit.traced[0].shape[1:]), None]


@rule("maximum", "minimum")
def _maximum(emit: Emitter, self: Any, other: Any) -> Flow:
    shape = tuple(emit.traced.shape[1:])
    flows = [emit.expand(emit.flow(value), shape) for value in (self, other)]
    apart = [emit.reshape(flow, (*shape, 1)) for flow in flows]
    return _max(emit, emit.add(Concat(len(shape)), *apart))
