"""The part of a layer that a place of another one sees: the geometry behind windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import gcd, prod
from typing import Any

import numpy as np

from sensverify.bounds.window_pools import Pool, picked_in_window, pool_of
from sensverify.network import Network
from sensverify.network.operators import (
    Add,
    Affine,
    Concat,
    Conv,
    ConvTranspose,
    Elementwise,
    Max,
    Operator,
    Pad,
    Permute,
    Reshape,
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

    def beyond(self, part: Window) -> tuple[Shape, Shape]:
        """Its reach beyond a part of it, in front and behind; less is negative."""
        before = tuple(n - w for n, w in zip(part.offset, self.offset, strict=True))
        more = (w - n for n, w in zip(part.size, self.size, strict=True))
        return before, tuple(m - b for m, b in zip(more, before, strict=True))


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
        if isinstance(operator, Conv | ConvTranspose):
            shape = tuple(operator.weight.shape)
            return (shape, operator.stride, operator.padding, operator.dilation, operator.groups)
        if isinstance(operator, Pad):
            return (operator.before, operator.after, operator.value)
        if isinstance(operator, Permute):
            return (operator.axes,)
        if isinstance(operator, Concat):
            return (operator.axis,)
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


@dataclass(frozen=True)
class Sight:
    """The windows that a position of a layer sees, and where they end.

    Attributes
    ----------
    windows : dict from node to Window
    images : dict from node to shape
        Of the images that windows are parts of: the node's, or the one that it is reshaped to.
    floors : frozenset of nodes
        Where windows end: views of the input, nodes that read no windows, and whatever another
        floor depends on.
    rows : frozenset of nodes
        The floors that are affine maps of which rows are picked.
    whole : frozenset of nodes
        What the floors depend on, with all floors but ``rows``; empty where a view of the input is
        the only floor.
    """

    windows: Mapping[int, Window]
    images: Mapping[int, Shape]
    floors: frozenset[int]
    rows: frozenset[int]
    whole: frozenset[int]


def sight_of(skeleton: Skeleton, views: Mapping[int, Any], window: Window) -> Sight | None:
    """The sight through a window of the last node, or None where windows drift apart."""
    target = len(skeleton) - 1
    windows, images = {target: window}, {target: skeleton[target].shape}
    floors: set[int] = set()
    rows: set[int] = set()
    whole: set[int] = set()
    for position in range(target, -1, -1):
        bone = skeleton[position]
        if position in whole:
            whole.update(bone.inputs)
        if position not in windows:
            continue
        window, image = windows[position], images[position]
        needed = None
        if position not in views and position not in whole:
            needed = _sources_window(skeleton, position, window, image, views)
        if needed is None:
            floors.add(position)
            if position not in whole and _picks_rows(skeleton, position, window, image):
                rows.add(position)
            else:
                whole.add(position)
            whole.update(bone.inputs)
            continue
        for source in bone.inputs:
            seen = image if _is_reshaped(bone, image) else skeleton[source].shape
            union = windows[source].union(needed) if source in windows else needed
            if union is None or images.setdefault(source, seen) != seen:
                return None
            windows[source] = union
    # The boxes of one view of the input are cut to windows themselves.
    alone = len(floors) == 1 and floors <= views.keys()
    beneath = frozenset() if alone else frozenset(whole)
    return Sight(windows, images, frozenset(floors), frozenset(rows), beneath)


def _is_reshaped(bone: Bone, image: Shape) -> bool:
    """True where a node's numbers are an image of another shape than its own, or are made one."""
    return bone.kind is Reshape or bone.shape != image


def _picks_rows(skeleton: Skeleton, position: int, window: Window, image: Shape) -> bool:
    """True where the rows of a matrix that a window sees cost less than its whole layer."""
    bone = skeleton[position]
    if bone.kind is not Affine or len(bone.shape) != 1:
        return False
    inputs = prod(skeleton[bone.inputs[0]].shape)
    # Rows are fetched for a place; a layer has coefficients for each of its channels.
    return inputs * image[0] * prod(window.size) <= 2 * prod(image) * skeleton[-1].shape[0]


def period_of(skeleton: Skeleton, views: Mapping[int, Any]) -> Shape | None:
    """The distance, along each axis, of places that see the same window; None where none do.

    It is 1 but for transposed convolutions, whose outputs read different parts of the kernel.
    """
    axes = len(skeleton[-1].shape) - 1
    strides = [bone.detail[1] for bone in skeleton if bone.kind is ConvTranspose]
    long = tuple(prod(s[a] for s in strides if len(s) == axes) for a in range(axes))
    sight = sight_of(skeleton, views, Window(long, (0,) * axes, (1,) * axes))
    if sight is None:
        return None
    steps = [window.step for window in sight.windows.values()]
    return tuple(long[a] // gcd(*(step[a] for step in steps)) for a in range(axes))


def _sources_window(
    skeleton: Skeleton, position: int, window: Window, image: Shape, views: Mapping[int, Any]
) -> Window | None:
    """`source_window`, where the sources are images that have one."""
    bone, axes = skeleton[position], len(window.size) + 1
    if bone.kind is Reshape:
        (source,) = bone.inputs
        passes = issubclass(skeleton[source].kind, Elementwise | Affine | Reshape)
        return window if passes and source not in views else None
    if _is_reshaped(bone, image):
        return window if issubclass(bone.kind, Elementwise) else None
    if bone.kind is Max:
        (source,) = bone.inputs
        listed = source not in views and skeleton[source].kind is Select
        return window if listed and pool_at(skeleton, source) is not None else None
    if not bone.inputs or any(len(skeleton[source].shape) != axes for source in bone.inputs):
        return None
    return source_window(skeleton, position, window)


def source_window(skeleton: Skeleton, position: int, window: Window) -> Window | None:
    """The window that an operator reads to fill a window of its output."""
    bone, dimensions = skeleton[position], len(window.size)
    kind, detail = bone.kind, bone.detail
    if kind is Select:
        pool = pool_at(skeleton, position)
        return None if pool is None else _of_pool(window, pool)
    if kind is Conv:
        return _of_convolution(window, detail)
    if kind is ConvTranspose:
        return _of_transposed(window, detail)
    if kind is Pad:
        before, after, value = detail
        if value != 0.0 or before[0] or after[0]:
            return None
        offset = tuple(o - b for o, b in zip(window.offset, before[1:], strict=True))
        return Window(window.step, offset, window.size)
    if kind is Scale:
        flat_in_space = all(s is None or _per_channel(s, dimensions) for s in detail)
        return window if flat_in_space else None
    if kind is Concat:
        return window if detail[0] == 0 else None
    if kind in (Add, Max, Reshape) or issubclass(kind, Elementwise):
        return window
    return None


def _of_pool(window: Window, pool: Pool) -> Window:
    axes = range(len(window.size))
    return Window(
        tuple(window.step[a] * pool.stride[a] for a in axes),
        tuple(window.offset[a] * pool.stride[a] + pool.first[a] for a in axes),
        tuple((window.size[a] - 1) * pool.stride[a] + pool.extent[a] for a in axes),
    )


def _of_convolution(window: Window, detail: tuple[Any, ...]) -> Window:
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


def _of_transposed(window: Window, detail: tuple[Any, ...]) -> Window | None:
    weight, stride, padding, dilation, _ = detail
    offset, size = [], []
    for axis, (k, s, p, d) in enumerate(zip(weight[2:], stride, padding, dilation, strict=True)):
        if window.step[axis] % s:
            return None
        first = window.offset[axis]
        meets = (
            first + place + p - d * tap for place in range(window.size[axis]) for tap in range(k)
        )
        # Where no tap meets an input, as with strides beyond the kernel, any place in reach does.
        read = [n // s for n in meets if n % s == 0] or [(first + p) // s]
        offset.append(min(read))
        size.append(max(read) - min(read) + 1)
    step = tuple(n // s for n, s in zip(window.step, stride, strict=True))
    return Window(step, tuple(offset), tuple(size))


def spread_window(bone: Bone, source: Window) -> Window:
    """All places of a transposed convolution of a window, with the largest output padding.

    Steps are those of its source.
    """
    weight, stride, padding, dilation, _ = bone.detail
    axes = range(len(stride))
    return Window(
        source.step,
        tuple(source.offset[a] * stride[a] - padding[a] for a in axes),
        tuple(source.size[a] * stride[a] + dilation[a] * (weight[2 + a] - 1) for a in axes),
    )


def taps_between(bone: Bone, out: Window, source: Window) -> np.ndarray:
    """The kernel's entry between every two places of a convolution's windows.

    Returns
    -------
    int64 array ``[window out, window in]``
        Flat in the kernel; one past its end means none.
    """
    weight, stride, padding, dilation, _ = bone.detail
    places_out, places_in = (
        np.indices(window.size).reshape(len(stride), -1) for window in (out, source)
    )
    tap = np.zeros((places_out.shape[1], places_in.shape[1]), dtype=np.int64)
    valid = np.ones_like(tap, dtype=bool)
    for axis, k in enumerate(weight[2:]):
        at_out = (out.offset[axis] + places_out[axis])[:, None]
        at_in = (source.offset[axis] + places_in[axis])[None, :]
        if bone.kind is Conv:
            distance = at_in - (at_out * stride[axis] - padding[axis])
        else:
            distance = at_out - (at_in * stride[axis] - padding[axis])
        step, rest = np.divmod(distance, dilation[axis])
        valid &= (rest == 0) & (step >= 0) & (step < k)
        tap = tap * k + step
    return np.where(valid, tap, prod(weight[2:]))


def window_index(spatial: Shape, window: Window, places: np.ndarray) -> np.ndarray:
    """Flat indices of every window in an image, ``[positions, window]``.

    ``places [axes, positions]`` are the positions; one past the end means outside of the image.
    """
    flat = np.zeros((places.shape[1], prod(window.size)), dtype=np.int64)
    valid = np.ones_like(flat, dtype=bool)
    within = np.indices(window.size).reshape(len(spatial), -1)
    for axis, n in enumerate(spatial):
        start = places[axis] * window.step[axis] + window.offset[axis]
        coordinate = start[:, None] + within[axis][None, :]
        valid &= (coordinate >= 0) & (coordinate < n)
        flat = flat * n + coordinate
    return np.where(valid, flat, prod(spatial))


def pool_at(skeleton: Skeleton, position: int) -> Pool | None:
    """The pool whose windows a Select lists, for a maximum and nothing else."""
    bone = skeleton[position]
    read_by = [b.kind for b in skeleton if position in b.inputs]
    if read_by != [Max]:
        return None
    return _pool_of(bone.detail[0], bone.shape, skeleton[bone.inputs[0]].shape)


@lru_cache(maxsize=32)
def _pool_of(indices: bytes, shape: Shape, source: Shape) -> Pool | None:
    return pool_of(np.frombuffer(indices, dtype=np.int64).reshape(shape), source)


def picked(
    pool: Pool, skeleton: Skeleton, position: int, windows: Mapping[int, Window]
) -> np.ndarray:
    """Flat indices ``[window out, numbers]`` of what a pool reads in the window of its source."""
    (source,) = skeleton[position].inputs
    out, within = ((windows[p].offset, windows[p].size) for p in (position, source))
    return picked_in_window(pool, skeleton[source].shape[0], out, within)


def _per_channel(shape: Shape, dimensions: int) -> bool:
    # Fewer axes than the image's stand for its last ones: (w,) is one number for each column.
    return all(n == 1 for n in (shape[1:] if len(shape) > dimensions else shape))
