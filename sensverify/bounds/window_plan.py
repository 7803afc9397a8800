"""Windows: the part of every earlier layer that one position of a convolutional layer sees.

A plan follows from the network's structure alone, so it is made once and outlives the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from sensverify.bounds.convolutions import work
from sensverify.network import Network
from sensverify.network.operators import (
    Add,
    Conv,
    Elementwise,
    Input,
    Operator,
    Pad,
    Permute,
    Reshape,
    Scale,
    Select,
)

Shape = tuple[int, ...]
_RELAXED, _FETCHED = 200.0, 900.0
"""What a pass costs for each number of a layer besides its products: its line for each neuron, and
fetching that for a window. In multiply-adds of a matrix product (measured on x86)."""

_SHARED = 0.3
"""The share of fetching that falls on a neuron where most of a layer are bounded."""


@dataclass(frozen=True)
class _Window:
    """The part of a layer that a position sees: ``start = position * step + offset``."""

    step: Shape
    offset: Shape
    size: Shape

    def union(self, other: _Window) -> _Window | None:
        """The smallest window around both; None where they drift apart from place to place."""
        if self.step != other.step:
            return None
        offset = tuple(min(a, b) for a, b in zip(self.offset, other.offset, strict=True))
        end = [
            max(a + m, b + n)
            for a, m, b, n in zip(self.offset, self.size, other.offset, other.size, strict=True)
        ]
        return _Window(self.step, offset, tuple(e - o for e, o in zip(end, offset, strict=True)))


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
    return _plan(_skeleton(network, target), target)


@dataclass(frozen=True)
class _Bone:
    """All of a node that a plan depends on; ``detail`` holds the operator's geometry."""

    kind: type[Operator]
    inputs: tuple[int, ...]
    shape: Shape
    detail: tuple[Any, ...]


_Skeleton = tuple[_Bone, ...]


def _skeleton(network: Network, target: int) -> _Skeleton:
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
            return (tuple(operator.indices.flatten().tolist()),)
        if isinstance(operator, Scale):
            values = (operator.scale, operator.shift)
            return tuple(None if v is None else tuple(v.shape) for v in values)
        return ()

    return tuple(
        _Bone(type(node.operator), node.inputs, node.shape, describe(node.operator))
        for node in network.nodes[: target + 1]
    )


@lru_cache(maxsize=128)
def _plan(skeleton: _Skeleton, target: int) -> WindowPlan | None:
    shape = skeleton[target].shape
    if len(shape) < 2 or prod(shape[1:]) < 4:
        return None
    dimensions = len(shape) - 1
    one = (1,) * dimensions
    windows: dict[int, _Window] = {target: _Window(one, (0,) * dimensions, one)}
    views = _input_views(skeleton)
    order: list[int] = []
    for position in range(target, -1, -1):
        if position not in windows:
            continue
        order.append(position)
        if position in views:
            continue
        needed = _source_window(skeleton[position], windows[position], dimensions)
        if needed is None:
            return None
        for source in skeleton[position].inputs:
            if len(skeleton[source].shape) != dimensions + 1:
                return None
            union = windows[source].union(needed) if source in windows else needed
            if union is None:
                return None
            windows[source] = union
    # Several views of the input would each have to become the one input of the small network.
    if sum(position in views for position in order) != 1:
        return None
    order.reverse()
    matrices = frozenset(p for p in order[1:] if _is_matrix(skeleton, p, windows))
    work = _work(skeleton, order, windows, matrices)
    if not _pays(work):
        return None
    index = {p: _window_index(skeleton[p].shape, windows[p], shape[1:]) for p in order}
    outside = frozenset(
        p for p in order[1:] if p != target and _needs_mask(skeleton, p, order, index[p])
    )
    taps = {
        p: _tap_index(skeleton[p], windows[p], windows[skeleton[p].inputs[0]], skeleton)
        for p in matrices
    }
    cuts = _cuts(skeleton, order, windows, matrices)
    sizes = {p: (skeleton[p].shape[0], *windows[p].size) for p in order}
    view = views[order[0]]
    return WindowPlan(tuple(order), prod(shape[1:]), sizes, index, view, taps, outside, cuts, work)


def _input_views(skeleton: _Skeleton) -> dict[int, np.ndarray | None]:
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
                flat = flat[np.asarray(bone.detail[0], dtype=np.int64)]
            # A view must keep each input entry's place beyond the end unambiguous (one size), and
            # hold none twice: windows take their entries for independent.
            if flat.size == prod(skeleton[0].shape) == np.unique(flat).size:
                views[position] = flat
    return views


def _source_window(bone: _Bone, window: _Window, dimensions: int) -> _Window | None:
    """The window that an operator reads to fill a window of its output."""
    kind, detail = bone.kind, bone.detail
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
        return _Window(
            tuple(step * s for step, _, _, _, s, _, _ in zipped),
            tuple(offset * s - p for _, offset, _, _, s, p, _ in zipped),
            tuple((size - 1) * s + (k - 1) * d + 1 for _, _, size, k, s, _, d in zipped),
        )
    if kind is Pad:
        before, after, value = detail
        if value != 0.0 or before[0] or after[0]:
            return None
        offset = tuple(o - b for o, b in zip(window.offset, before[1:], strict=True))
        return _Window(window.step, offset, window.size)
    if kind is Scale:
        flat_in_space = all(s is None or _per_channel(s, dimensions) for s in detail)
        return window if flat_in_space else None
    if kind is Add or issubclass(kind, Elementwise):
        return window
    return None


def _per_channel(shape: Shape, dimensions: int) -> bool:
    # Fewer axes than the image's stand for its last ones: (w,) is one number for each column.
    return all(n == 1 for n in (shape[1:] if len(shape) > dimensions else shape))


def _is_matrix(skeleton: _Skeleton, position: int, windows: dict[int, _Window]) -> bool:
    """True for a convolution of windows that a matrix with its zeros does in less time."""
    bone = skeleton[position]
    return bone.kind is Conv and _matrix(skeleton, position, windows) <= _convolved(
        bone, prod(windows[position].size)
    )


def _matrix(skeleton: _Skeleton, position: int, windows: dict[int, _Window]) -> float:
    """Multiply-adds of a convolution as one matrix between windows."""
    (source,) = skeleton[position].inputs
    out, into = (skeleton[p].shape[0] * prod(windows[p].size) for p in (position, source))
    return float(out * into)


def _convolved(bone: _Bone, places: int) -> float:
    """The same, of so many places of its output, as a convolution."""
    weight, stride, _, dilation, groups = bone.detail
    return work(places, weight, stride, dilation, groups)


def _work(
    skeleton: _Skeleton, order: list[int], windows: dict[int, _Window], matrices: frozenset[int]
) -> Work:
    """The work of a pass through windows, and through whole images."""
    window = whole = numbers = 0.0
    for position in order[:-1]:
        bone = skeleton[position]
        if bone.kind is Conv:
            whole += _convolved(bone, prod(bone.shape[1:]))
            window += (
                _matrix(skeleton, position, windows)
                if position in matrices
                else _convolved(bone, prod(windows[position].size))
            )
        elif issubclass(bone.kind, Elementwise) or position == order[0]:
            whole += _RELAXED * prod(bone.shape)
            numbers += bone.shape[0] * prod(windows[position].size)
    return Work(window + _RELAXED * numbers, _FETCHED * numbers, whole)


def _pays(work: Work) -> bool:
    """True where windows cost less than whole images."""
    return work.window + _SHARED * work.place <= work.whole


def _window_index(shape: Shape, window: _Window, target: Shape) -> np.ndarray:
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
    skeleton: _Skeleton, order: list[int], windows: dict[int, _Window], matrices: frozenset[int]
) -> dict[tuple[int, int], tuple[Shape, Shape]]:
    cuts = {}
    for position in order[1:]:
        if position in matrices:  # Their taps know both windows.
            continue
        bone = skeleton[position]
        needed = _source_window(bone, windows[position], len(windows[position].size))
        assert needed is not None
        for source in bone.inputs:
            whole = windows[source]
            before = tuple(n - w for n, w in zip(needed.offset, whole.offset, strict=True))
            more = (w - n for n, w in zip(needed.size, whole.size, strict=True))
            after = tuple(m - b for m, b in zip(more, before, strict=True))
            if any(before) or any(after):
                cuts[position, source] = (0, *before), (0, *after)
    return cuts


def _needs_mask(skeleton: _Skeleton, position: int, order: list[int], index: np.ndarray) -> bool:
    if issubclass(skeleton[position].kind, Elementwise):
        return False
    read_by = {skeleton[p].kind for p in order if position in skeleton[p].inputs}
    return bool(read_by & {Conv, Pad}) and bool((index == prod(skeleton[position].shape[1:])).any())


def _tap_index(bone: _Bone, out: _Window, source: _Window, skeleton: _Skeleton) -> np.ndarray:
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
