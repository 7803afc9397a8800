"""Windows: the part of every earlier layer that one position of a convolutional layer sees.

A plan follows from the network's structure alone, so it is made once and outlives the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from math import prod

import numpy as np

from sensverify.bounds.window_geometry import (
    Sight,
    Skeleton,
    Window,
    period_of,
    picked,
    pool_at,
    sight_of,
    skeleton_of,
    source_window,
    spread_window,
    taps_between,
    window_index,
)
from sensverify.bounds.window_work import Work, is_matrix, mean_work, work_of
from sensverify.network import Network
from sensverify.network.operators import (
    Conv,
    ConvTranspose,
    Elementwise,
    Input,
    Max,
    Pad,
    Permute,
    Reshape,
    Select,
)
from sensverify.network.shapes import Shape

_SHARED = 0.3
"""The share of fetching that falls on a neuron where most of a layer are bounded."""

_MOST_PHASES = 64
"""Places of one period from which a layer has no plan."""


@dataclass(frozen=True, eq=False)
class Phase:
    """The windows of some of a layer's positions, which are alike.

    Attributes
    ----------
    places : int64 array ``[positions]``
        Flat places of the positions in the target.
    order : tuple of int
        Nodes of the network that the positions see windows of, the target last.
    images : dict from node to shape
        Of the images that the windows are parts of.
    rows : frozenset of nodes
        Affine maps of which a window picks rows: `Sight.rows`.
    whole : dict from node to shape
        What windows end at, and all that this depends on: layers that a pass goes through as they
        are. Empty where windows end at a view of the input, the first of ``order``.
    sizes : dict from node to shape
        Of the node's windows, its channels first.
    index : dict from node to int64 array ``[positions, window]``
        Flat indices of every window in the node's image, the same in every channel; one past the
        end means outside.
    view : int64 array or None
        The input's entries in the order in which the first node has them; None where it is theirs.
    taps : dict from convolution to int64 array ``[window out, window in]``
        Of those that are one matrix: places in the kernel; one past the end means no connection.
        The others are convolutions of windows.
    pools : dict from Select to int64 array ``[window out, numbers]``
        Of those that list what a pool reads: flat indices into the window of what they pick from.
    stand_ins : dict from Select to int64 array ``[places, numbers]``
        Of pools with padding: `Pool.stand_for`.
    outside : frozenset of nodes
        Affine nodes whose windows reach outside of the image and are read by a convolution.
    cuts : dict from (reader, source) to two shapes
        Where a node reads a source whose window is larger, because others read it too: how much
        larger, in front and behind, for each axis.
    ends : dict from transposed convolution to two shapes
        Of those that are convolutions of windows: the same of all that they write to.
    """

    places: np.ndarray
    order: tuple[int, ...]
    images: Mapping[int, Shape]
    rows: frozenset[int]
    whole: dict[int, Shape]
    sizes: dict[int, Shape]
    index: dict[int, np.ndarray]
    view: np.ndarray | None
    taps: dict[int, np.ndarray]
    pools: dict[int, np.ndarray]
    stand_ins: dict[int, np.ndarray]
    outside: frozenset[int]
    cuts: dict[tuple[int, int], tuple[Shape, Shape]]
    ends: dict[int, tuple[Shape, Shape]]

    @property
    def largest(self) -> int:
        """Entries of the largest layer, of one position."""
        return max(map(prod, (*self.sizes.values(), *self.whole.values())))

    @property
    def entries(self) -> int:
        """Entries of all layers, of one position."""
        return sum(map(prod, (*self.sizes.values(), *self.whole.values())))


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """The windows that a layer's backward pass splits into.

    Attributes
    ----------
    skeleton : tuple of Bone
        Of the network, to the target.
    views : dict from node to int64 array or None
        Nodes that only rearrange the input: `Phase.view` of each.
    sights : tuple of Sight
        What positions see that are alike. One; behind transposed convolutions, one for each place
        of a period: what is read of the kernel depends on where it is between two inputs.
    """

    skeleton: Skeleton
    views: Mapping[int, np.ndarray | None]
    sights: tuple[Sight, ...]

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """The windows of every sight; an index of each, so they are found when they are used."""
        return tuple(_phase(self.skeleton, sight, self.views) for sight in self.sights)

    @cached_property
    def work(self) -> Work:
        """The work of a pass, on average over the positions."""
        works = [work_of(self.skeleton, s, _matrices(self.skeleton, s)) for s in self.sights]
        target = len(self.skeleton) - 1
        shape = self.skeleton[target].shape
        return mean_work(works, [prod(_counts(shape, s.windows[target])) for s in self.sights])

    @property
    def positions(self) -> int:
        """The number of positions of the layer."""
        return prod(self.skeleton[-1].shape[1:])

    @cached_property
    def order(self) -> np.ndarray:
        """Where each of the layer's positions is among those of all phases."""
        return np.argsort(np.concatenate([phase.places for phase in self.phases]))

    def few(self, chosen: int, samples: int) -> bool:
        """True where so many neurons, spread over a layer, take less through whole images."""
        rows, places = self.work, min(chosen, samples * self.positions)
        windows = chosen * rows.window + places * rows.place + rows.begun
        return chosen * rows.whole < windows


def window_plan(network: Network, target: int, samples: int = 1) -> WindowPlan | None:
    """The plan for one layer, or None where windows would not pay or do not exist.

    Of so many samples that are bounded together: some work is done once for all of them.
    """
    plan = _plan(skeleton_of(network, target))
    if plan is None or not _pays(plan.work, samples * prod(network.nodes[target].shape)):
        return None
    return plan


@lru_cache(maxsize=128)
def _plan(skeleton: Skeleton) -> WindowPlan | None:
    target = len(skeleton) - 1
    shape = skeleton[target].shape
    if len(shape) < 2 or prod(shape[1:]) < 4:
        return None
    views = _input_views(skeleton)
    period = period_of(skeleton, views)
    if period is None or prod(period) > _MOST_PHASES:
        return None
    one = (1,) * len(period)
    sights = []
    for start in product(*(range(min(s, n)) for s, n in zip(period, shape[1:], strict=True))):
        sight = sight_of(skeleton, views, Window(period, start, one))
        if sight is None or target in sight.floors:
            return None
        sights.append(sight)
    return WindowPlan(skeleton, views, tuple(sights))


def _pays(work: Work, neurons: int) -> bool:
    """True where windows of so many neurons cost less than whole images."""
    return work.window + _SHARED * work.place + work.begun / neurons <= work.whole


def _matrices(skeleton: Skeleton, sight: Sight) -> frozenset[int]:
    """The convolutions of windows that are one matrix."""
    return frozenset(p for p in sight.windows if is_matrix(skeleton, p, sight))


def _phase(skeleton: Skeleton, sight: Sight, views: Mapping[int, np.ndarray | None]) -> Phase:
    windows, order, target = sight.windows, sorted(sight.windows), len(skeleton) - 1
    matrices, counts = _matrices(skeleton, sight), _counts(skeleton[target].shape, windows[target])
    grid = np.indices(counts).reshape(len(counts), -1)
    index = {
        p: window_index(sight.images[p][1 : 1 + len(counts)], windows[p], grid)
        for p in order
        if p in sight.floors or skeleton[p].kind is not Select
    }
    outside = frozenset(
        p
        for p in index
        if p not in sight.floors
        and p != target
        and _needs_mask(skeleton, p, order, bool((index[p] == prod(sight.images[p][1:])).any()))
    )
    pools, stand_ins = {}, {}
    for p in order:
        if skeleton[p].kind is Select and p not in sight.floors:
            pool = pool_at(skeleton, p)
            assert pool is not None
            pools[p] = picked(pool, skeleton, p, windows)
            if pool.stand_for is not None:
                stand_ins[p] = pool.stand_for
    taps = {
        p: taps_between(skeleton[p], windows[p], windows[skeleton[p].inputs[0]]) for p in matrices
    }
    axes = len(counts)
    return Phase(
        places=index[target][:, 0],
        order=tuple(order),
        images=sight.images,
        rows=sight.rows,
        whole={p: skeleton[p].shape for p in sorted(sight.whole)},
        sizes={
            p: (sight.images[p][0], *windows[p].size, *sight.images[p][1 + axes :]) for p in order
        },
        index=index,
        view=None if sight.whole else views[order[0]],
        taps=taps,
        pools=pools,
        stand_ins=stand_ins,
        outside=outside,
        cuts=_cuts(skeleton, sight, matrices),
        ends=_ends(skeleton, sight, matrices),
    )


def _counts(shape: Shape, window: Window) -> Shape:
    """The number of positions along each axis of the target's image."""
    axes = zip(shape[1:], window.offset, window.step, strict=True)
    return tuple(len(range(first, n, step)) for n, first, step in axes)


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


def _cuts(
    skeleton: Skeleton, sight: Sight, matrices: frozenset[int]
) -> dict[tuple[int, int], tuple[Shape, Shape]]:
    cuts = {}
    for position, window in sight.windows.items():
        bone = skeleton[position]
        # The indices of matrices and pools know both windows.
        if position in sight.floors or position in matrices or bone.kind is Select:
            continue
        needed = source_window(skeleton, position, window)
        assert needed is not None
        for source in bone.inputs:
            before, after = sight.windows[source].beyond(needed)
            if any(before) or any(after):
                cuts[position, source] = (0, *before), (0, *after)
    return cuts


def _ends(
    skeleton: Skeleton, sight: Sight, matrices: frozenset[int]
) -> dict[int, tuple[Shape, Shape]]:
    ends = {}
    for position, window in sight.windows.items():
        bone = skeleton[position]
        if bone.kind is ConvTranspose and position not in matrices | sight.floors:
            needed = source_window(skeleton, position, window)
            assert needed is not None
            before, after = spread_window(bone, needed).beyond(window)
            ends[position] = (0, *before), (0, *after)
    return ends


def _needs_mask(skeleton: Skeleton, position: int, order: list[int], reaches_out: bool) -> bool:
    # What is reshaped is zero outside by itself.
    if not reaches_out or issubclass(skeleton[position].kind, Elementwise | Max | Reshape):
        return False
    read_by = {skeleton[p].kind for p in order if position in skeleton[p].inputs}
    return bool(read_by & {Conv, ConvTranspose, Pad})
