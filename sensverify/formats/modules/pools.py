"""ATen operators of pooling layers, and sums, means and maxima over axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from sensverify.formats.modules.arithmetic import largest, maximum
from sensverify.formats.modules.emitting import Emitter, Shape, Variable, per_axis, rule
from sensverify.formats.modules.matrices import affine
from sensverify.formats.windows import Windows
from sensverify.network.operators import Affine, Conv, Max, Pad, Permute, Scale


@rule("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(
    emit: Emitter,
    self: Variable,
    kernel_size: Sequence[int] | int,
    stride: Sequence[int] | int = (),
    padding: Sequence[int] | int = 0,
    dilation: Sequence[int] | int = 1,
    ceil_mode: bool = False,
) -> Variable:
    windows = _windows(emit, self, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_of_windows(emit, self, windows)


@rule("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def _max_pool_with_indices(emit: Emitter, self: Variable, **settings: Any) -> list[Any]:
    return [_max_pool(emit, self, **settings), None]


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max_pool(
    emit: Emitter, self: Variable, output_size: Sequence[int] | int
) -> list[Any]:
    indices = _uneven_windows(self.shape, per_axis(output_size, len(self.shape) - 1))
    return [emit.add(Max(), emit.select(self, indices)), None]


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(
    emit: Emitter,
    self: Variable,
    kernel_size: Sequence[int] | int,
    stride: Sequence[int] | int = (),
    padding: Sequence[int] | int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Variable:
    windows = _windows(emit, self, kernel_size, stride, padding, 1, ceil_mode)
    counts = windows.counts(include_padding=count_include_pad)
    if divisor_override is not None:
        counts = np.full_like(counts, divisor_override)
    return _mean_of_windows(emit, self, windows, counts)


@rule(
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
)
def _adaptive_avg_pool(emit: Emitter, self: Variable, output_size: Sequence[int] | int) -> Variable:
    spatial = self.shape[1:]
    sizes = per_axis(output_size, len(spatial))
    outputs = tuple(n if size is None else size for n, size in zip(spatial, sizes, strict=True))
    if any(n % size for n, size in zip(spatial, outputs, strict=True)):
        return affine(emit, **emit.call.arguments)
    kernel = tuple(n // size for n, size in zip(spatial, outputs, strict=True))
    zeros, ones = (0,) * len(kernel), (1,) * len(kernel)
    windows = Windows(spatial, kernel, kernel, zeros, zeros, ones)
    return _mean_of_windows(emit, self, windows, windows.counts(include_padding=False))


def _windows(
    emit: Emitter,
    variable: Variable,
    kernel: Sequence[int] | int,
    stride: Sequence[int] | int,
    padding: Sequence[int] | int,
    dilation: Sequence[int] | int,
    ceil: bool,
) -> Windows:
    count = len(variable.shape) - 1
    if f"pool{count}d" not in emit.operator:
        emit.refuse("pools without a channel axis")
    kernel, pad = per_axis(kernel, count), per_axis(padding, count)
    # An empty stride means the kernel's size.
    stride = kernel if stride in ((), [], None) else per_axis(stride, count)
    spatial = variable.shape[1:]
    return Windows(spatial, kernel, stride, pad, pad, per_axis(dilation, count), ceil)


def _uneven_windows(shape: Shape, sizes: Sequence[int | None]) -> np.ndarray:
    """Flat indices of the windows of adaptive pooling, ``[channels, *outputs, entries]``.

    Windows differ in length where the sizes do not divide: an entry stands twice in the short ones.
    """
    flat = np.zeros((1, 1), dtype=np.int64)
    for n, size in zip(shape[1:], sizes, strict=True):
        count = n if size is None else size
        starts = np.arange(count) * n // count
        lengths = -(-(np.arange(count) + 1) * n // count) - starts
        steps = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1)
        joined = flat[:, None, :, None] * n + (starts[:, None] + steps)[None, :, None, :]
        flat = joined.reshape(len(flat) * count, -1)
    outputs = [n if size is None else size for n, size in zip(shape[1:], sizes, strict=True)]
    channels = np.arange(shape[0], dtype=np.int64)[:, None, None] * prod(shape[1:])
    return (channels + flat).reshape(shape[0], *outputs, flat.shape[1])


def _max_of_windows(emit: Emitter, variable: Variable, windows: Windows) -> Variable:
    try:
        indices = windows.indices(variable.shape[:1])
    except ValueError as error:
        emit.refuse(f"cannot be expressed: {error}")
    return emit.add(Max(), emit.select(variable, indices))


def _mean_of_windows(
    emit: Emitter, variable: Variable, windows: Windows, counts: np.ndarray
) -> Variable:
    """A convolution of every channel with itself alone, and a scale where windows differ."""
    channels = variable.shape[0]
    if windows.kernel == windows.spatial and not any(windows.before):
        return emit.reshape(
            _total(emit, variable, tuple(range(1, len(variable.shape))), 1 / int(counts.flat[0])),
            (channels, *windows.outputs),
        )
    uniform = len(np.unique(counts)) == 1
    each = 1 / int(counts.flat[0]) if uniform else 1.0
    weight = torch.full((channels, 1, *windows.kernel), each, dtype=torch.float64)
    if any(windows.overhang):
        variable = emit.add(Pad((0,) * len(variable.shape), (0, *windows.overhang)), variable)
    variable = emit.add(
        Conv(weight, None, windows.stride, windows.before, windows.dilation, channels), variable
    )
    if uniform:
        return variable
    return emit.add(Scale(torch.from_numpy(1 / counts).unsqueeze(0)), variable)


@rule("mean", "sum")
def _mean(
    emit: Emitter, self: Variable, dim: Any = None, keepdim: bool = False, **_: Any
) -> Variable:
    axes = emit.axes(dim, self.ndim)
    each = 1 / prod(self.shape[axis] for axis in axes) if emit.operator == "mean" else 1.0
    return _reduced(emit, self, axes, _total(emit, self, axes, each), keepdim=keepdim)


def _reduced(
    emit: Emitter, variable: Variable, axes: tuple[int, ...], outcome: Variable, *, keepdim: bool
) -> Variable:
    """The outcome of a reduction, with axes of length 1 for those it reduced where asked."""
    lengths = [1 if axis in axes else n for axis, n in enumerate(variable.shape)]
    return emit.reshape(outcome, lengths) if keepdim else outcome


def _total(emit: Emitter, variable: Variable, axes: tuple[int, ...], each: float) -> Variable:
    """The sum over axes times ``each``, without those axes."""
    variable = _last(emit, variable, axes)
    weight = torch.full((1, variable.shape[-1]), each, dtype=torch.float64)
    variable = emit.add(Affine(weight), variable)
    return emit.reshape(variable, variable.shape[:-1])


def _last(emit: Emitter, variable: Variable, axes: tuple[int, ...]) -> Variable:
    """The variable with some axes flattened into one behind the others."""
    rest = tuple(axis for axis in range(len(variable.shape)) if axis not in axes)
    shape = (*(variable.shape[axis] for axis in rest), prod(variable.shape[axis] for axis in axes))
    order = rest + axes
    if order != tuple(range(len(order))):
        variable = emit.add(Permute(order), variable)
    return emit.reshape(variable, shape)


@rule("amax", "amin")
def _amax(emit: Emitter, self: Variable, dim: Any = None, keepdim: bool = False) -> Variable:
    axes = emit.axes(dim, self.ndim)
    outcome = largest(emit, _last(emit, self, axes), smallest="min" in emit.operator)
    return _reduced(emit, self, axes, outcome, keepdim=keepdim)


@rule("max", "min")
def _max_along(
    emit: Emitter, self: Any, dim: Any = None, keepdim: bool = False, other: Any = None
) -> Any:
    if other is not None:
        return maximum(emit, self, other)
    return [_amax(emit, emit.variable(self), dim, keepdim), None]
