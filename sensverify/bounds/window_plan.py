"""Windows: the part of every earlier layer that one position of a convolutional layer sees.

A plan follows from the network's structure alone, so it is made once and outlives the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from sensverify.bounds.convolutions import convolution_work
from sensverify.bounds.window_geometry import (
    Bone,
    Skeleton,
    Window,
    picked,
    pool_at,
    skeleton_of,
    source_window,
)
from sensverify.network import Network
from sensverify.network.operators import (
    Conv,
    Elementwise,
    Input,
    Max,
    Pad,
    Permute,
    Reshape,
    Select,
)
from sensverify.network.shapes import Shape

_RELAXED, _FETCHED = 200.0, 900.0
"""What a pass costs for each number of a layer besides its products: its line for each neuron, and
fetching that for a window. In multiply-adds of a matrix product (measured on x86)."""

_SHARED = 0.3
"""The share of fetching that falls on a neuron where most of a layer are bounded."""


class Work(NamedTuple):
    """The cost of a pass, in multiply-adds of a matrix product.

    Attributes
    ----------
    window : float
        For a neuron, through its windows.
    place : float
        For a place of the layer besides: the lines of its windows.
    whole : float
        For a neuron, through whole images.
    """

    window: float
    place: float
    whole: float


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """The windows that a layer's backward pass splits into.

    Attributes
    ----------
    order : tuple of int
        Nodes of the network that the target depends on, the input view first, the target last.
    positions : int
        Number of positions in the target.
    sizes : dict from node to shape
        Of the node's windows, its channels first.
    index : dict from node to int64 array ``[positions, window]``
        Flat indices of every window in the node's image, the same in every channel; one past the
        end means outside.
    view : int64 array or None
        The input's entries in the order in which the first node has them; None where it is theirs.
    taps : dict from convolution to int64 array ``[window out, window in]``
        Of those that are one matrix: flat indices into the kernel; one past the end means no
        connection. The others are convolutions of windows.
    pools : dict from Select to int64 array ``[window out, numbers]``
        Of those that list what a pool reads: flat indices into the window of what they pick from.
    stand_ins : dict from Select to int64 array ``[places, numbers]``
        Of pools with padding: `Pool.stand_for`.
    outside : frozenset of nodes
        Affine nodes whose windows reach outside of the image and are read by a convolution.
    cuts : dict from (reader, source) to two shapes
        Where a node reads a source whose window is larger, because others read it too: how much
        larger, in front and behind, for each axis.
    work : Work
    """

    order: tuple[int, ...]
    positions: int
    sizes: dict[int, Shape]
    index: dict[int, np.ndarray]
    view: np.ndarray | None
    taps: dict[int, np.ndarray]
    pools: dict[int, np.ndarray]
    stand_ins: dict[int, np.ndarray]
    outside: frozenset[int]
    cuts: dict[tuple[int, int], tuple[Shape, Shape]]
    work: Work

    def few(self, chosen: int) -> bool:
        """True where so many neurons, spread over the layer, take less through whole images."""
        rows, places = self.work, min(chosen, self.positions)
        return chosen * rows.whole < chosen * rows.window + places * rows.place

    @property
    def largest_window(self) -> int:
        """Entries in the largest window."""
        return max(map(prod, self.sizes.values()))

    @property
    def entries(self) -> int:
        """Entries in the windows of one position, of all layers."""
        return sum(map(prod, self.sizes.values()))


def window_plan(network: Network, target: int) -> WindowPlan | None:
    """The plan for one layer, or None where windows would not pay or do not exist."""
    return _plan(skeleton_of(network, target), target)


@lru_cache(maxsize=128)
def _plan(skeleton: Skeleton, target: int) -> WindowPlan | None:
    shape = skeleton[target].shape
    if len(shape) < 2 or prod(shape[1:]) < 4:
        return None
    dimensions, views = len(shape) - 1, _input_views(skeleton)
    windows = _windows(skeleton, target, views)
    # Several views of the input would each have to become the one input of the small network.
    if windows is None or sum(position in views for position in windows) != 1:
        return None
    order = sorted(windows)
    matrices = frozenset(p for p in order[1:] if _is_matrix(skeleton, p, windows))
    work = _work(skeleton, order, windows, matrices)
    if not _pays(work):
        return None
    index = {
        p: _window_index(skeleton[p].shape, windows[p], shape[1:])
        for p in order
        if p == order[0] or skeleton[p].kind is not Select
    }
    outside = frozenset(
        p
        for p in index
        if p not in (order[0], target) and _needs_mask(skeleton, p, order, index[p])
    )
    pools, stand_ins = {}, {}
    for p in order[1:]:
        if skeleton[p].kind is Select and (pool := pool_at(skeleton, p)) is not None:
            pools[p] = picked(pool, skeleton, p, windows)
            if pool.stand_for is not None:
                stand_ins[p] = pool.stand_for
    taps = {
        p: _tap_index(skeleton[p], windows[p], windows[skeleton[p].inputs[0]], skeleton)
        for p in matrices
    }
    cuts = _cuts(skeleton, order, windows, matrices)
    sizes = {
        p: (skeleton[p].shape[0], *windows[p].size, *skeleton[p].shape[1 + dimensions :])
        for p in order
    }
    view = views[order[0]]
    return WindowPlan(
        tuple(order),
        prod(shape[1:]),
        sizes,
        index,
        view,
        taps,
        pools,
        stand_ins,
        outside,
        cuts,
        work,
    )


def _windows(
    skeleton: Skeleton, target: int, views: Mapping[int, np.ndarray | None]
) -> dict[int, Window] | None:
    """The window of every node that a position of the target sees, or None where one has none."""
    dimensions = len(skeleton[target].shape) - 1
    one = (1,) * dimensions
    windows = {target: Window(one, (0,) * dimensions, one)}
    for position in range(target, -1, -1):
        if position not in windows or position in views:
            continue
        needed = source_window(skeleton, position, windows[position])
        if needed is None:
            return None
        pooled = skeleton[position].kind is Max
        for source in skeleton[position].inputs:
            axes = len(skeleton[source].shape) - pooled
            if axes != dimensions + 1 or (pooled and source in views):
                return None
            union = windows[source].union(needed) if source in windows else needed
            if union is None:
                return None
            windows[source] = union
    return windows


def _input_views(skeleton: Skeleton) -> dict[int, np.ndarray | None]:
    """Nodes that only rearrange the input, with the flat index of each of their entries in it.

    None stands for the input's own order.
    """
    views: dict[int, np.ndarray | None] = {}
    for position, bone in enumerate(skeleton):
        if bone.kind is Input:
            views[position] = None
        elif bone.kind in (Reshape, Permute, Select) and bone.inputs[0] in views:
            source_shape = skeleton[bone.inputs[0]].shape
            source = views[bone.inputs[0]]
            flat = np.arange(prod(source_shape)) if source is None else source
            if bone.kind is Permute:
                flat = flat.reshape(source_shape).transpose(bone.detail[0]).ravel()
            elif bone.kind is Select:
                flat = flat[np.frombuffer(bone.detail[0], dtype=np.int64)]
            # A view must keep each input entry's place beyond the end unambiguous (one size), and
            # hold none twice: windows take their entries for independent.
            if flat.size == prod(skeleton[0].shape) == np.unique(flat).size:
                views[position] = flat
    return views


def _is_matrix(skeleton: Skeleton, position: int, windows: dict[int, Window]) -> bool:
    """True for a convolution of windows that a matrix with its zeros does in less time."""
    bone = skeleton[position]
    return bone.kind is Conv and _matrix(skeleton, position, windows) <= _convolved(
        bone, prod(windows[position].size)
    )


def _matrix(skeleton: Skeleton, position: int, windows: dict[int, Window]) -> float:
    """Multiply-adds of a convolution as one matrix between windows."""
    (source,) = skeleton[position].inputs
    out, into = (skeleton[p].shape[0] * prod(windows[p].size) for p in (position, source))
    return float(out * into)


def _convolved(bone: Bone, places: int) -> float:
    """The same, of so many places of its output, as a convolution."""
    weight, stride, _, dilation, groups = bone.detail
    return convolution_work(places, weight, stride, dilation, groups)


def _work(
    skeleton: Skeleton, order: list[int], windows: dict[int, Window], matrices: frozenset[int]
) -> Work:
    """The work of a pass through windows, and through whole images."""
    window = whole = numbers = 0.0
    axes = len(windows[order[-1]].size)
    for position in order[:-1]:
        bone = skeleton[position]
        if bone.kind is Conv:
            whole += _convolved(bone, prod(bone.shape[1:]))
            window += (
                _matrix(skeleton, position, windows)
                if position in matrices
                else _convolved(bone, prod(windows[position].size))
            )
        elif issubclass(bone.kind, Elementwise) or bone.kind is Select or position == order[0]:
            whole += _RELAXED * prod(bone.shape)
            numbers += prod(bone.shape) / prod(bone.shape[1:][:axes]) * prod(windows[position].size)
    return Work(window + _RELAXED * numbers, _FETCHED * numbers, whole)


def _pays(work: Work) -> bool:
    """True where windows cost less than whole images."""
    return work.window + _SHARED * work.place <= work.whole


def _window_index(shape: Shape, window: Window, target: Shape) -> np.ndarray:
    """Flat indices of every window in the image, ``[positions, window]``."""
    spatial = shape[1:]
    flat = np.zeros((prod(target), prod(window.size)), dtype=np.int64)
    valid = np.ones_like(flat, dtype=bool)
    places = np.indices(target).reshape(len(target), -1)
    within = np.indices(window.size).reshape(len(target), -1)
    for axis, n in enumerate(spatial):
        start = places[axis] * window.step[axis] + window.offset[axis]
        coordinate = start[:, None] + within[axis][None, :]
        valid &= (coordinate >= 0) & (coordinate < n)
        flat = flat * n + coordinate
    return np.where(valid, flat, prod(spatial))


def _cuts(
    skeleton: Skeleton, order: list[int], windows: dict[int, Window], matrices: frozenset[int]
) -> dict[tuple[int, int], tuple[Shape, Shape]]:
    cuts = {}
    for position in order[1:]:
        bone = skeleton[position]
        if position in matrices or bone.kind is Select:  # Their indices know both windows.
            continue
        needed = source_window(skeleton, position, windows[position])
        assert needed is not None
        for source in bone.inputs:
            whole = windows[source]
            before = tuple(n - w for n, w in zip(needed.offset, whole.offset, strict=True))
            more = (w - n for n, w in zip(needed.size, whole.size, strict=True))
            after = tuple(m - b for m, b in zip(more, before, strict=True))
            if any(before) or any(after):
                cuts[position, source] = (0, *before), (0, *after)
    return cuts


def _needs_mask(skeleton: Skeleton, position: int, order: list[int], index: np.ndarray) -> bool:
    if issubclass(skeleton[position].kind, Elementwise | Max):
        return False
    read_by = {skeleton[p].kind for p in order if position in skeleton[p].inputs}
    return bool(read_by & {Conv, Pad}) and bool((index == prod(skeleton[position].shape[1:])).any())


def _tap_index(bone: Bone, out: Window, source: Window, skeleton: Skeleton) -> np.ndarray:
    """For every pair of an output and an input entry of the windows, the kernel entry between."""
    weight, stride, padding, dilation, groups = bone.detail
    channels_out, per_group = weight[:2]
    channels_in = skeleton[bone.inputs[0]].shape[0]
    places_out = np.indices(out.size).reshape(len(stride), -1)
    places_in = np.indices(source.size).reshape(len(stride), -1)
    tap = np.zeros((places_out.shape[1], places_in.shape[1]), dtype=np.int64)
    valid = np.ones_like(tap, dtype=bool)
    for axis, k in enumerate(weight[2:]):
        first = (out.offset[axis] + places_out[axis]) * stride[axis] - padding[axis]
        distance = source.offset[axis] + places_in[axis][None, :] - first[:, None]
        step, rest = np.divmod(distance, dilation[axis])
        valid &= (rest == 0) & (step >= 0) & (step < k)
        tap = tap * k + step
    area = prod(weight[2:])
    filters = np.arange(channels_out)
    group_of_filter = filters // (channels_out // groups)
    channel = np.arange(channels_in)[None, :] - (group_of_filter * per_group)[:, None]
    connected = (channel >= 0) & (channel < per_group)
    base = (filters[:, None] * per_group + channel) * area
    full = base[:, None, :, None] + tap[None, :, None, :]
    usable = connected[:, None, :, None] & valid[None, :, None, :]
    full = np.where(usable, full, prod(weight))
    return full.reshape(channels_out * tap.shape[0], channels_in * tap.shape[1])
