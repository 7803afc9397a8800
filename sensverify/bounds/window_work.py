"""The work of a backward pass through windows, beside that through whole images."""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import NamedTuple

from sensverify.bounds.convolutions import convolution_work, transposed_work
from sensverify.bounds.window_geometry import Bone, Sight, Skeleton
from sensverify.network.operators import Conv, ConvTranspose, Elementwise, Nonlinear, Select
from sensverify.network.shapes import Shape

_RELAXED, _FETCHED = 200.0, 900.0
"""What a pass costs for each number of a layer besides its products: its line for each neuron, and
fetching that for a window. In multiply-adds of a matrix product (measured on x86)."""

_PLACED, _COPIED = 60.0, 60.0
"""The same for putting a coefficient where its window lies, and for the line of a whole layer."""

_BEGUN = 1.5e8
"""What it costs to begin with windows of another kind."""


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
    begun : float
        For the layer besides, through windows.
    """

    window: float
    place: float
    whole: float
    begun: float


def mean_work(works: Collection[Work], places: Collection[int]) -> Work:
    """The work of a layer whose places are of several kinds, so many of each."""
    total = sum(places)

    def mean(name: str) -> float:
        pairs = zip(works, places, strict=True)
        return sum(float(getattr(work, name)) * n for work, n in pairs) / total

    return Work(mean("window"), mean("place"), mean("whole"), _BEGUN * (len(works) - 1))


def work_of(skeleton: Skeleton, sight: Sight, matrices: Collection[int]) -> Work:
    """The work of a pass from one position; floors and what is beneath them count where it differs.

    ``matrices`` are the convolutions of windows that are one matrix.
    """
    window = place = whole = 0.0
    target = len(skeleton) - 1
    axes = len(sight.windows[target].size)
    for position in sight.windows:
        bone = skeleton[position]
        area = prod(sight.images[position][1 : 1 + axes])
        numbers = prod(bone.shape) / area * prod(sight.windows[position].size)
        if position in sight.rows:
            (source,) = bone.inputs
            inputs = prod(skeleton[source].shape)
            whole += inputs * prod(bone.shape)
            window += inputs * numbers
            place += _COPIED * inputs * numbers
            continue
        if position in sight.floors:
            if sight.whole:
                window += _PLACED * (numbers + prod(bone.shape))
                continue
        elif bone.kind in (Conv, ConvTranspose):
            shapes = bone.shape[1:], skeleton[bone.inputs[0]].shape[1:]
            whole += _convolved(bone, *shapes)
            if position == target:
                continue  # The pass begins with rows of its kernel.
            work = matrix_work if position in matrices else convolved_work
            window += work(skeleton, position, sight)
            continue
        elif position == target or not (issubclass(bone.kind, Elementwise) or bone.kind is Select):
            continue
        whole += _RELAXED * prod(bone.shape)
        window += _RELAXED * numbers
        place += _FETCHED * numbers
    for position in sight.whole:
        if issubclass(skeleton[position].kind, Nonlinear):
            place += _COPIED * prod(skeleton[position].shape)
    return Work(window, place, whole, 0.0)


def is_matrix(skeleton: Skeleton, position: int, sight: Sight) -> bool:
    """True for a convolution of windows that a matrix with its zeros does in less time."""
    if skeleton[position].kind not in (Conv, ConvTranspose) or position in sight.floors:
        return False
    return matrix_work(skeleton, position, sight) <= convolved_work(skeleton, position, sight)


def matrix_work(skeleton: Skeleton, position: int, sight: Sight) -> float:
    """Multiply-adds of a convolution as one matrix between windows."""
    (source,) = skeleton[position].inputs
    out, into = (sight.images[p][0] * prod(sight.windows[p].size) for p in (position, source))
    return float(out * into)


def convolved_work(skeleton: Skeleton, position: int, sight: Sight) -> float:
    """The same, as a convolution of windows."""
    bone = skeleton[position]
    (source,) = bone.inputs
    return _convolved(bone, sight.windows[position].size, sight.windows[source].size)


def _convolved(bone: Bone, out: Shape, source: Shape) -> float:
    """The same, between so many places."""
    weight, stride, _, dilation, groups = bone.detail
    if bone.kind is ConvTranspose:
        return transposed_work(prod(source), weight, groups)
    return convolution_work(prod(out), weight, stride, dilation, groups)
