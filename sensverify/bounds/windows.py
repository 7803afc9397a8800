"""Convolutional layers seen through windows: many small networks.

A neuron of a convolutional layer depends on a window of every earlier layer only, and all
positions of the layer share the weights between their windows. So the backward pass from a whole
layer is the pass from one position of a small network, batched over positions as over samples. It
replaces convolutions of thousands of nearly empty images; where windows are small or hardly
overlap, they are matrices that stay in the processor's cache.

`window_network` fills the small network with the layer's parameters, differentiably. `Windows`
and `RelaxationWindows` cut bounds and relaxations to the windows of a plan; entries outside of
the image are zero there, which removes their coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds.adjoint import adjoint
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.window_plan import WindowPlan
from sensverify.network import Network, NetworkBuilder, Node
from sensverify.network.operators import (
    Affine,
    Conv,
    Elementwise,
    Linear,
    Max,
    Pad,
    Reshape,
    Scale,
    Select,
)
from sensverify.network.shapes import Shape, output_shape


def window_network(
    network: Network, plan: WindowPlan, device: torch.device
) -> tuple[Network, dict[int, int]]:
    """The small network that every position shares.

    Returns
    -------
    network : Network
        Its parameters are cut from the large network's, differentiably.
    places : dict from the large network's nodes to the small one's
        Of the nodes whose relaxations must be gathered, and of nodes in ``plan.outside``, whose
        relaxation is the mask of what lies inside.
    """
    builder = NetworkBuilder((prod(plan.sizes[plan.order[0]]),))
    made = {plan.order[0]: builder.input}
    places: dict[int, int] = {}
    for position in plan.order[1:]:
        node = network.nodes[position]
        made[position] = _in_window(builder, node, position, plan, [made[i] for i in node.inputs])
        if isinstance(node.operator, Elementwise | Max):
            places[position] = made[position]
        elif position in plan.outside:
            made[position] = builder.add(Scale(), made[position])
            places[position] = made[position]
    return builder.build(made[plan.order[-1]]), places


def _in_window(
    builder: NetworkBuilder, node: Node, position: int, plan: WindowPlan, sources: list[int]
) -> int:
    """One of a network's nodes in the small one; windows are flat there."""
    operator = node.operator
    if isinstance(operator, Conv) and position in plan.taps:
        return builder.add(_window_matrix(operator, plan.taps[position]), *sources)
    if isinstance(operator, Select):
        indices = torch.from_numpy(plan.pools[position])
        return builder.add(Select(indices), *sources)
    for k, i in enumerate(node.inputs):
        cut = plan.cuts.get((position, i))
        if cut is not None or isinstance(operator, Conv):
            sources[k] = builder.add(Reshape(plan.sizes[i]), sources[k])
        if cut is not None:
            sources[k] = builder.add(_Crop(*cut), sources[k])
        if cut is not None and not isinstance(operator, Conv):
            sources[k] = _flat(builder, sources[k])
    if isinstance(operator, Conv):
        within = replace(operator, padding=(0,) * len(operator.padding))
        return _flat(builder, builder.add(within, *sources))
    if isinstance(operator, Scale):
        repeat = prod(plan.sizes[position][1:])
        return builder.add(_window_scale(operator, repeat, node.shape), *sources)
    return sources[0] if isinstance(operator, Pad) else builder.add(operator, *sources)


def _flat(builder: NetworkBuilder, image: int) -> int:
    return builder.add(Reshape((prod(builder.shape(image)),)), image)


@dataclass(frozen=True, eq=False)
class _Crop(Linear):
    """An image without some of its edges: how much of each axis, in front and behind."""

    before: Shape
    after: Shape


@output_shape.register
def _(operator: _Crop, x: Shape) -> Shape:
    return tuple(n - b - a for n, b, a in zip(x, operator.before, operator.after, strict=True))


@adjoint.register
def _(operator: _Crop, coefficient: Tensor, inputs: tuple[Shape, ...]) -> list[Tensor]:
    ends = zip(reversed(operator.before), reversed(operator.after), strict=True)
    return [functional.pad(coefficient, [n for pair in ends for n in pair])]


def _window_matrix(operator: Conv, taps: np.ndarray) -> Affine:
    weight = operator.weight
    padded = torch.cat([weight.flatten(), weight.new_zeros(1)])
    matrix = padded[torch.from_numpy(taps).to(weight.device)]
    if operator.bias is None:
        return Affine(matrix)
    return Affine(matrix, operator.bias.repeat_interleave(len(taps) // len(operator.bias)))


def _window_scale(operator: Scale, repeat: int, shape: Shape) -> Scale:
    def spread(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        ones = (1,) * (len(shape) - 1)
        column = values.expand(shape[0], *ones) if values.ndim == len(shape) else values.flatten()
        return column.flatten().expand(shape[0]).repeat_interleave(repeat)

    return Scale(spread(operator.scale), spread(operator.shift))


class Windows:
    """Arrays of one layer arranged so that windows of them are cheap to cut.

    Parameters
    ----------
    image : shape
        The layer's, its channels first.
    *values : Tensor, shape ``[batch, *image]`` or ``[batch, *image, numbers]``
        Bounds, slopes or intercepts, with any axes of length one.
    """

    def __init__(self, image: Shape, *values: Tensor) -> None:
        self._channels, self._places = image[0], prod(image[1:])
        self._values = []
        for v in values:
            by_place = v.reshape(len(v), *image[:1], self._places, -1)
            # One more place in each channel: what lies outside of the image.
            self._values.append(functional.pad(by_place, (0, 0, 0, 1)).flatten(1, 2))

    def cut(self, index: Tensor) -> list[Tensor]:
        """Windows for ``[positions, window]``.

        Returns
        -------
        list of Tensor, shape ``[batch * positions, channels * window]``, and numbers if any
        """
        places = self._in_channels(index)
        found = []
        for v in self._values:
            entries = _of_numbers(places, v.shape[2]).flatten()
            cut = v.flatten(1).index_select(1, entries)
            found.append(_without_one(cut.reshape(len(v) * len(index), -1, v.shape[2])))
        return found

    def at(self, samples: Tensor, index: Tensor) -> list[Tensor]:
        """One window of each of some samples, ``[items]`` and ``[items, window]``: as `cut`."""
        size = self._channels * (self._places + 1)
        # Chosen by one index, which is faster than by two.
        places = self._in_channels(index) + (samples * size).unsqueeze(1)
        found = []
        for v in self._values:
            entries = _of_numbers(places, v.shape[2])
            cut = v.flatten().index_select(0, entries.flatten())
            found.append(_without_one(cut.view(len(index), -1, v.shape[2])))
        return found

    def _in_channels(self, index: Tensor) -> Tensor:
        """Windows of all channels: ``[positions, channels * window]``."""
        first = torch.arange(self._channels, device=index.device) * (self._places + 1)
        return (index.unsqueeze(1) + first.unsqueeze(1)).flatten(1)


def _of_numbers(places: Tensor, numbers: int) -> Tensor:
    """Entries ``[positions, entries]`` of places that hold so many numbers."""
    if numbers == 1:
        return places
    within = torch.arange(numbers, device=places.device)
    return (places.unsqueeze(2) * numbers + within).flatten(1)


def _without_one(values: Tensor) -> Tensor:
    return values.squeeze(2) if values.shape[2] == 1 else values


def without_repeats(relaxation: Relaxation, stand_for: np.ndarray) -> Relaxation:
    """The lines around a pool's maxima, over numbers of which none repeats another.

    ``stand_for [places, numbers]`` are those of `Pool`: slopes of repeated numbers go to the number
    that they repeat, and leave zero behind.
    """

    def gathered(slope: Tensor) -> Tensor:
        shape = slope.shape
        flat = slope.reshape(shape[0], -1, *stand_for.shape)
        onto = torch.from_numpy(stand_for).to(slope.device).expand_as(flat)
        return torch.zeros_like(flat).scatter_add(3, onto, flat).reshape(shape)

    lower = gathered(relaxation.lower_slope)
    upper = lower if relaxation.parallel else gathered(relaxation.upper_slope)
    return replace(relaxation, lower_slope=lower, upper_slope=upper)


class RelaxationWindows:
    """A layer's relaxation, cut to windows on demand; ``image`` as of `Windows`."""

    def __init__(self, image: Shape, relaxation: Relaxation) -> None:
        self._parallel = relaxation.parallel
        mirror = relaxation.mirror
        slopes = (relaxation.lower_slope, None if self._parallel else relaxation.upper_slope)
        intercepts = (relaxation.lower_intercept, relaxation.upper_intercept)
        arrays = (*slopes, *intercepts, *(mirror or ()))
        self._given = [a is not None for a in arrays]
        self._windows = Windows(image, *(a for a in arrays if a is not None))

    def cut(self, index: Tensor) -> Relaxation:
        """The relaxation of ``batch * positions`` small layers; zero outside of the image."""
        return self._of(self._windows.cut(index))

    def at(self, samples: Tensor, index: Tensor) -> Relaxation:
        """The relaxation of one small layer of each of some samples, as `Windows.at`."""
        return self._of(self._windows.at(samples, index))

    def _of(self, cut: list[Tensor]) -> Relaxation:
        rest = iter(cut)
        lower, upper, low, high, *mirror = (
            next(rest).unsqueeze(1) if given else None for given in self._given
        )
        assert lower is not None
        upper = lower if self._parallel else upper
        assert upper is not None
        return Relaxation(lower, upper, low, high, (mirror[0], mirror[1]) if mirror else None)
