"""ATen operators that only move numbers: shapes, slices, joins, reflected padding."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from sensverify.formats.modules.emitting import RULES, Emitter, Flow, rule
from sensverify.network.operators import Concat, Pad, Permute

MOVES = (
    "_reshape_alias",
    "_unsafe_view",
    "alias",
    "channel_shuffle",
    "chunk",
    "clone",
    "contiguous",
    "diagonal",
    "diagonal_copy",
    "expand",
    "expand_as",
    "flatten",
    "flip",
    "index",
    "index_select",
    "lift_fresh_copy",
    "narrow",
    "pixel_shuffle",
    "pixel_unshuffle",
    "ravel",
    "reflection_pad1d",
    "reflection_pad2d",
    "reflection_pad3d",
    "repeat",
    "repeat_interleave",
    "replication_pad1d",
    "replication_pad2d",
    "replication_pad3d",
    "reshape",
    "roll",
    "select",
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "take_along_dim",
    "tensor_split",
    "tile",
    "unbind",
    "unflatten",
    "unsafe_split",
    "unsqueeze",
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_nearest3d",
    "view",
    "view_as",
)
"""Operators whose every output entry is an input entry."""

IDENTITIES = (
    "_to_copy",
    "alpha_dropout",
    "dropout",
    "feature_alpha_dropout",
    "feature_dropout",
    "to",
    "type_as",
)
"""Operators that do nothing here; the dropouts only where they are not training."""


def moved(emit: Emitter, **arguments: Any) -> Any:
    """Let the operator itself move the flat indices of two samples, and select by the outcome.

    Two, so that an operator which mixes the samples of a batch is found out.
    """
    flow = emit.flow(next(iter(arguments.values())))
    size = prod(flow.shape)
    # Padding and resampling exist for floats only; these hold every index exactly.
    samples = torch.arange(2 * size, dtype=torch.float64).reshape(2, *flow.shape)
    try:
        outputs = emit.call(samples)
    except (RuntimeError, IndexError, ValueError, TypeError):
        emit.refuse("works across the samples of a batch, and bounds are per sample")
    if isinstance(outputs, torch.Tensor):
        return _selected(emit, flow, outputs, size)
    return [_selected(emit, flow, output, size) for output in outputs]


def _selected(emit: Emitter, flow: Flow, samples: torch.Tensor, size: int) -> Flow:
    indices = samples.numpy().astype(np.int64)
    if len(indices) != 2 or not (
        (indices[0] < size).all() and np.array_equal(indices[0] + size, indices[1])
    ):
        emit.refuse("works across the samples of a batch, and bounds are per sample")
    return emit.select(flow, indices[0])


RULES.update(dict.fromkeys(MOVES, moved))


@rule(*IDENTITIES)
def _identity(emit: Emitter, self: Any = None, input: Any = None, **settings: Any) -> Flow:
    if settings.get("train") and settings.get("p", 1.0) > 0:
        emit.refuse("drops out at random in evaluation too; pass training=self.training to it")
    dtype = emit.traced.dtype
    if not dtype.is_floating_point:
        emit.refuse(f"turns values into {dtype}, which has no bounds")
    return emit.flow(input if self is None else self)


@rule("native_dropout")
def _native_dropout(emit: Emitter, input: Any, p: float, train: bool | None) -> list[Any]:
    if train and p > 0:
        emit.refuse("drops out at random in evaluation too; pass training=self.training to it")
    return [emit.flow(input), None]


@rule("permute")
def _permute(emit: Emitter, self: Any, dims: Sequence[int]) -> Flow:
    flow = emit.flow(self)
    rank = len(flow.shape) + 1
    if dims[0] % rank != 0:
        emit.refuse("moves the batch axis, and bounds are per sample")
    return emit.add(Permute(tuple(emit.axis(dim, rank) for dim in dims[1:])), flow)


@rule("transpose", "swapaxes", "swapdims")
def _transpose(emit: Emitter, self: Any, **dims: int) -> Flow:
    flow = emit.flow(self)
    first, second = (emit.axis(dim, len(flow.shape) + 1) for dim in dims.values())
    axes = list(range(len(flow.shape)))
    axes[first], axes[second] = second, first
    return emit.add(Permute(tuple(axes)), flow)


@rule("mT")
def _matrix_transpose(emit: Emitter, self: Any) -> Flow:
    return _transpose(emit, self, dim0=-2, dim1=-1)


@rule("t", "numpy_T")
def _reverse(emit: Emitter, self: Any) -> Flow:
    emit.refuse("moves the batch axis, and bounds are per sample")


@rule("movedim", "moveaxis")
def _movedim(emit: Emitter, self: Any, source: Any, destination: Any) -> Flow:
    flow = emit.flow(self)
    rank = len(flow.shape) + 1
    sources = [source] if isinstance(source, int) else source
    destinations = [destination] if isinstance(destination, int) else destination
    moves = sorted(
        (emit.axis(to, rank), emit.axis(axis, rank))
        for axis, to in zip(sources, destinations, strict=True)
    )
    axes = [axis for axis in range(rank - 1) if axis not in {s for _, s in moves}]
    for place, axis in moves:
        axes.insert(place, axis)
    return emit.add(Permute(tuple(axes)), flow)


@rule("cat", "concat", "concatenate")
def _cat(emit: Emitter, tensors: Sequence[Any], dim: int = 0) -> Flow:
    flows = [emit.flow(tensor) for tensor in tensors]
    return emit.add(Concat(emit.axis(dim, len(flows[0].shape) + 1)), *flows)


@rule("stack")
def _stack(emit: Emitter, tensors: Sequence[Any], dim: int = 0) -> Flow:
    flows = [emit.flow(tensor) for tensor in tensors]
    shape = flows[0].shape
    axis = emit.axis(dim, len(shape) + 2)
    apart = (*shape[:axis], 1, *shape[axis:])
    return emit.add(Concat(axis), *(emit.reshape(flow, apart) for flow in flows))


@rule("pad")
def _pad(
    emit: Emitter, self: Any, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> Flow:
    if mode != "constant":
        return moved(emit, self=self)
    return _constant_pad(emit, self, pad, 0.0 if value is None else value)


@rule("constant_pad_nd")
def _constant_pad(emit: Emitter, self: Any, pad: Sequence[int], value: Any = 0) -> Flow:
    flow = emit.flow(self)
    rank = len(flow.shape)
    if len(pad) > 2 * rank and any(pad[2 * rank :]):
        emit.refuse("pads the batch axis, and bounds are per sample")
    counts = [*pad, *(0 for _ in range(2 * rank - len(pad)))][: 2 * rank]
    before, after = tuple(counts[-2::-2]), tuple(counts[-1::-2])
    # A negative count crops.
    window = tuple(
        slice(max(-b, 0), n - max(-a, 0)) for b, a, n in zip(before, after, flow.shape, strict=True)
    )
    flow = emit.select(flow, np.arange(prod(flow.shape)).reshape(flow.shape)[window])
    before, after = (tuple(max(n, 0) for n in side) for side in (before, after))
    return emit.add(Pad(before, after, float(value)), flow) if any(before + after) else flow
