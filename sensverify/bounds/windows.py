"""Convolutional layers seen through windows: many small networks.

A neuron of a convolutional layer depends on a window of every earlier layer only, and all
positions of the layer share the weights between their windows. So the backward pass from a whole
layer is the pass from one position of a small network, batched over positions as over samples. It
replaces convolutions of thousands of nearly empty images; where windows are small or hardly
overlap, they are matrices that stay in the processor's cache.

`Windows` and `RelaxationWindows` cut bounds and relaxations to the windows of a plan; entries
outside of the image are zero there, which removes their coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.window_network import at_places, window_network
from sensverify.bounds.window_plan import Phase
from sensverify.core.box import Box
from sensverify.network import Network
from sensverify.network.shapes import Shape


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


class Small(NamedTuple):
    """Small networks, one for each item of a batch.

    Attributes
    ----------
    network : Network
        What they share.
    relaxations : dict from its nodes to Relaxation
    lower, upper : Tensor, shape ``[items, *input_shape]``
        Ends of the boxes of their inputs.
    """

    network: Network
    relaxations: dict[int, Relaxation]
    lower: Tensor
    upper: Tensor


class SmallNetworks:
    """The small networks of a phase's positions, for each of some samples.

    Parameters
    ----------
    network : Network
        The large one.
    box : Box of tensors, shape ``[batch, *input_shape]``
    relaxations : mapping from its nodes to Relaxation
    phase : Phase
    samples : slice
        Of the batch; it is these that are counted below.

    Attributes
    ----------
    places : dict from the large network's nodes to the small one's
        Those of `window_network`.
    index : dict from node to integer Tensor ``[positions, window]``
        The phase's, on the network's device.
    """

    def __init__(
        self,
        network: Network,
        box: Box,
        relaxations: Mapping[int, Relaxation],
        phase: Phase,
        samples: slice = slice(None),
    ) -> None:
        device, first = box.lower.device, phase.order[0]
        self.index = {p: torch.from_numpy(index).to(device) for p, index in phase.index.items()}
        self._network, self.places = window_network(network, phase, self.index)
        self._first = self.index[first]
        self._ends = [end[samples] for end in (box.lower, box.upper)]
        self._windows = None
        if not phase.whole:
            self._windows = Windows(phase.images[first], *_viewed(self._ends, phase.view))
        self._whole: dict[int, Relaxation] = {}
        self._cut: dict[int, RelaxationWindows] = {}
        for position, place in self.places.items():
            if position in phase.whole:
                self._whole[place] = relaxations[position].of(samples)
                continue
            image = phase.images[position]
            if position in relaxations:
                relaxation = relaxations[position].of(samples)
                stand_for = phase.stand_ins.get(network.nodes[position].inputs[0])
                if stand_for is not None:
                    relaxation = without_repeats(relaxation, stand_for)
            else:
                # The mask of what lies inside.
                inside = self._ends[0].new_ones(len(self._ends[0]), *image)
                relaxation = Relaxation(inside, inside, None, None)
            self._cut[position] = RelaxationWindows(image, relaxation)

    def everywhere(self, positions: slice) -> Small:
        """The networks of some positions for every sample, ``[samples * positions]``."""
        relaxations = {
            self.places[p]: layer.cut(self.index[p][positions]) for p, layer in self._cut.items()
        }
        if self._windows is not None:
            lower, upper = self._windows.cut(self._first[positions])
            return Small(self._network, relaxations, lower, upper)
        chosen = torch.arange(len(self._first), device=self._first.device)[positions]
        samples = torch.arange(len(self._ends[0]), device=chosen.device)
        return self._over_whole(
            samples.repeat_interleave(len(chosen)), chosen.repeat(len(samples)), relaxations
        )

    def at(self, samples: Tensor, positions: Tensor) -> Small:
        """The network of one position of each of some samples, ``[items]`` both."""
        relaxations = {
            self.places[p]: layer.at(samples, self.index[p][positions])
            for p, layer in self._cut.items()
        }
        if self._windows is not None:
            lower, upper = self._windows.at(samples, self._first[positions])
            return Small(self._network, relaxations, lower, upper)
        return self._over_whole(samples, positions, relaxations)

    def _over_whole(
        self, samples: Tensor, positions: Tensor, relaxations: dict[int, Relaxation]
    ) -> Small:
        """Where windows end at whole layers, which all positions of a sample share."""
        relaxations |= {place: layer.of(samples) for place, layer in self._whole.items()}
        lower, upper = (end[samples] for end in self._ends)
        return Small(at_places(self._network, positions), relaxations, lower, upper)


def _viewed(ends: list[Tensor], view: np.ndarray | None) -> list[Tensor]:
    """Inputs in the order of a view of them."""
    if view is None:
        return ends
    order = torch.from_numpy(view).to(ends[0].device)
    return [end.flatten(1)[:, order] for end in ends]
