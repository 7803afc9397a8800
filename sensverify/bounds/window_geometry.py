"""The part of a layer that a place of another one sees: the geometry behind windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sensverify.bounds.window_pools import Pool, picked_in_window, pool_of
from sensverify.network import Network
from sensverify.network.operators import (
    Add,
    Conv,
    Elementwise,
    Max,
    Operator,
    Pad,
    Permute,
    Scale,
    Select,
)
from sensverify.network.shapes import Shape


@dataclass(frozen=True)
class Window:
    """The part of a layer that a position sees: ``start = position * step + offset``."""

    step: Shape
    offset: Shape
    size: Shape

    def union(self, other: Window) -> Window | None:
        """The smallest window around both; None where they drift apart from place to place."""
        if self.step != other.step:
            return None
        offset = tuple(min(a, b) for a, b in zip(self.offset, other.offset, strict=True))
        end = [
            max(a + m, b + n)
            for a, m, b, n in zip(self.offset, self.size, other.offset, other.size, strict=True)
        ]
        return Window(self.step, offset, tuple(e - o for e, o in zip(end, offset, strict=True)))


@dataclass(frozen=True)
class Bone:
    """All of a node that a plan depends on; ``detail`` holds the operator's geometry."""

    kind: type[Operator]
    inputs: tuple[int, ...]
    shape: Shape
    detail: tuple[Any, ...]


Skeleton = tuple[Bone, ...]


def skeleton_of(network: Network, target: int) -> Skeleton:
    """The structure that a plan depends on, hashable."""

    def describe(operator: Operator) -> tuple[Any, ...]:
        if isinstance(operator, Conv):
            shape = tuple(operator.weight.shape)
            return (shape, operator.stride, operator.padding, operator.dilation, operator.groups)
        if isinstance(operator, Pad):
            return (operator.before, operator.after, operator.value)
        if isinstance(operator, Permute):
            return (operator.axes,)
        if isinstance(operator, Select):
            indices = np.asarray(operator.indices.cpu(), dtype=np.int64)
            return (indices.tobytes(),)
        if isinstance(operator, Scale):
            values = (operator.scale, operator.shift)
            return tuple(None if v is None else tuple(v.shape) for v in values)
        return ()

    return tuple(
        Bone(type(node.operator), node.inputs, node.shape, describe(node.operator))
        for node in network.nodes[: target + 1]
    )


def source_window(skeleton: Skeleton, position: int, window: Window) -> Window | None:
    """The window that an operator reads to fill a window of its output."""
    bone, dimensions = skeleton[position], len(window.size)
    kind, detail = bone.kind, bone.detail
    if kind is Select:
        pool = pool_at(skeleton, position)
        if pool is None:
            return None
        axes = range(dimensions)
        return Window(
            tuple(window.step[a] * pool.stride[a] for a in axes),
            tuple(window.offset[a] * pool.stride[a] + pool.first[a] for a in axes),
            tuple((window.size[a] - 1) * pool.stride[a] + pool.extent[a] for a in axes),
        )
    if kind is Conv:
        weight, stride, padding, dilation, _ = detail
        zipped = list(
            zip(
                window.step,
                window.offset,
                window.size,
                weight[2:],
                stride,
                padding,
                dilation,
                strict=True,
            )
        )
        return Window(
            tuple(step * s for step, _, _, _, s, _, _ in zipped),
            tuple(offset * s - p for _, offset, _, _, s, p, _ in zipped),
            tuple((size - 1) * s + (k - 1) * d + 1 for _, _, size, k, s, _, d in zipped),
        )
    if kind is Pad:
        before, after, value = detail
        if value != 0.0 or before[0] or after[0]:
            return None
        offset = tuple(o - b for o, b in zip(window.offset, before[1:], strict=True))
        return Window(window.step, offset, window.size)
    if kind is Scale:
        flat_in_space = all(s is None or _per_channel(s, dimensions) for s in detail)
        return window if flat_in_space else None
    if kind in (Add, Max) or issubclass(kind, Elementwise):
        return window
    return None


def pool_at(skeleton: Skeleton, position: int) -> Pool | None:
    """The pool whose windows a Select lists, for a maximum and nothing else."""
    bone = skeleton[position]
    read_by = [b.kind for b in skeleton if position in b.inputs]
    if read_by != [Max]:
        return None
    indices = np.frombuffer(bone.detail[0], dtype=np.int64).reshape(bone.shape)
    return pool_of(indices, skeleton[bone.inputs[0]].shape)


def picked(pool: Pool, skeleton: Skeleton, position: int, windows: dict[int, Window]) -> np.ndarray:
    """Flat indices ``[window out, numbers]`` of what a pool reads in the window of its source."""
    (source,) = skeleton[position].inputs
    out, within = ((windows[p].offset, windows[p].size) for p in (position, source))
    return picked_in_window(pool, skeleton[source].shape[0], out, within)


def _per_channel(shape: Shape, dimensions: int) -> bool:
    # Fewer axes than the image's stand for its last ones: (w,) is one number for each column.
    return all(n == 1 for n in (shape[1:] if len(shape) > dimensions else shape))
