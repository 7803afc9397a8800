"""Hidden layers bounded again, with slopes optimised for every unstable neuron.

Splitting neurons leaves the bounds on hidden layers as they were for the whole box, so it pays to
make these tight first: fewer neurons are unstable, and the relaxation of the rest is narrower.
Source: Xu et al. 2021, *Fast and complete*, where intermediate bounds have slopes of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.backward import backward_bounds
from sensverify.bounds.ibp import Interval
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope, relax
from sensverify.bounds.tensors import flattened
from sensverify.core.sets import InputSet
from sensverify.network.operators import PiecewiseLinear, Smooth
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.line_problem import LineProblem
from sensverify.solvers.branch_and_bound.optimising import (
    Behind,
    BestLines,
    Choices,
    best_lines,
)
from sensverify.solvers.branch_and_bound.split_rules import splittable

_STEPS = 10
_NUMBERS = 1 << 18
"""Neurons times rows that are optimised at a time."""


@dataclass(eq=False)
class OwnLines:
    """The lines behind refined bounds, as many as there is memory for.

    Parameters
    ----------
    entries : Entries
    budget : int
        Bytes; where they are spent, nothing more is refined.
    sample, entry, side : list of numpy arrays, shape ``[bounds]``
        The box, the entry and which end: -1 the lower, 1 the upper one.
    slopes : list of numpy arrays, shape ``[bounds, entries]``
    upper : list of numpy arrays of that shape
        Empty where the lines above are chords.
    """

    entries: Entries
    budget: int
    sample: list[np.ndarray] = field(default_factory=list)
    entry: list[np.ndarray] = field(default_factory=list)
    side: list[np.ndarray] = field(default_factory=list)
    slopes: list[np.ndarray] = field(default_factory=list)
    upper: list[np.ndarray] = field(default_factory=list)

    @property
    def room(self) -> int:
        """The number of bounds that there is memory for."""
        each = len(self.entries) * self.entries.dtype.itemsize * (2 - self.entries.only_relus)
        return int(max(0, self.budget // max(1, each) - sum(map(len, self.entry))))

    def add(self, sample: Tensor, entry: Tensor, side: Tensor, behind: Behind) -> None:
        """Bounds, and what proves them."""
        arrays = (sample, entry, side)
        for column, values in zip((self.sample, self.entry, self.side), arrays, strict=True):
            column.append(values.cpu().numpy().astype(np.int64))
        self.slopes.append(self.entries.joined(behind.lower, len(sample)))
        if not self.entries.only_relus:
            self.upper.append(self.entries.joined(behind.upper, len(sample)))


def refine(layers: LayerBounds, watch: Watch, own: OwnLines | None = None) -> LayerBounds:
    """Tighten the bounds on what enters functions of one number, layer by layer, in time.

    Parameters
    ----------
    layers : LayerBounds
    watch : Watch
    own : OwnLines, optional
        Collects what proves the bounds. All others are then those of CROWN's slopes behind the
        refined layers, with nothing of ``layers`` but the first ones.

    Returns
    -------
    LayerBounds
        SOUND; without ``own`` nowhere looser than what was given.
    """
    network, box = layers.network, layers.box
    refined = LayerBounds(network, box, Slope.ADAPTIVE)
    for position, (lower, upper) in layers.pre_activations.items():
        node = network.nodes[position]
        if own is not None and refined.relaxations:
            lower, upper = _by_the_rule(refined, position)
        one = isinstance(node.operator, PiecewiseLinear | Smooth)
        if one and refined.relaxations and not watch.over:
            lower, upper = _tightened(refined, position, (lower, upper), watch, own)
        refined.pre_activations[position] = (lower, upper)
        refined.relaxations[position] = relax(node.operator, lower, upper, Slope.ADAPTIVE)
    return refined


def _by_the_rule(layers: LayerBounds, position: int) -> Interval:
    """CROWN's bounds on what enters one node, behind the layers so far, ``[batch, *shape]``."""
    network, box = layers.network, layers.box
    source = network.nodes[position].inputs[0]
    shape = network.nodes[source].shape
    relaxations = {p: r for p, r in layers.relaxations.items() if p <= source}
    neurons = sum(prod(node.shape) for node in network.nodes[: position + 1])
    step = max(1, _NUMBERS // neurons)
    found: list[list[Tensor]] = [[], []]
    for sample in range(box.batch):
        part = slice(sample, sample + 1)
        own = {p: r.of(part) for p, r in relaxations.items()}
        for first in range(0, prod(shape), step):
            rows = slice(first, min(first + step, prod(shape)))
            ends = box[part]
            inside = ends if isinstance(ends, InputSet) else None
            low, high = backward_bounds(
                network, source, rows, own, ends.lower, ends.upper, inside=inside
            )
            assert high is not None
            # Rounding can cross the ends of a very thin interval.
            found[0].append(torch.minimum(low, high))
            found[1].append(torch.maximum(low, high))
    lower, upper = (torch.cat(end, dim=1).reshape(box.batch, *shape) for end in found)
    return lower, upper


def _tightened(
    layers: LayerBounds,
    position: int,
    known: Interval,
    watch: Watch,
    own: OwnLines | None,
) -> Interval:
    """Better bounds on what enters one node, ``[batch, *shape]``."""
    lower, upper = known
    shape = lower.shape
    open_ = flattened(splittable(layers.network.nodes[position].operator, lower, upper))
    lower, upper = flattened(lower).clone(), flattened(upper).clone()
    place, neuron = open_.nonzero(as_tuple=True)
    # Both ends of a neuron stand side by side: they take the same relaxations.
    place, neuron = place.repeat_interleave(2), neuron.repeat_interleave(2)
    sign = torch.ones_like(neuron)
    sign[1::2] = -1
    neurons = sum(prod(node.shape) for node in layers.network.nodes[: position + 1])
    step = max(2, _NUMBERS // neurons // 2 * 2)
    for first in range(0, len(place), step):
        part = slice(first, first + step)
        if watch.over or (own is not None and own.room < len(place[part])):
            break
        items = place[part], neuron[part], sign[part]
        best = _best_lines(layers, position, items, watch, keep=own is not None)
        better = _apply(lower, upper, *items, best.excess)
        if own is not None and best.behind is not None:
            entry = own.entries.places[position].start + items[1]
            chosen = better.nonzero().squeeze(1)
            side = (-items[2])[chosen]
            own.add(items[0][chosen], entry[chosen], side, best.behind.of(chosen))
    # Rounding can cross the ends of a very thin interval.
    lower, upper = torch.minimum(lower, upper), torch.maximum(lower, upper)
    return lower.reshape(shape), upper.reshape(shape)


def _best_lines(
    layers: LayerBounds,
    position: int,
    items: tuple[Tensor, Tensor, Tensor],
    watch: Watch,
    *,
    keep: bool,
) -> BestLines:
    """Lines below neurons, by box, neuron and sign; their excess is a lower bound, ``[items]``."""
    place, neuron, sign = items
    network, like = layers.network, layers.box.lower
    source = network.nodes[position].inputs[0]
    rows = like.new_zeros(len(place), 1, prod(network.nodes[source].shape))
    rows[torch.arange(len(place)), 0, neuron] = sign.to(like)
    relaxations = {p: r.of(place) for p, r in layers.relaxations.items() if p <= source}
    limits = like.new_zeros(len(place), 1)
    present = torch.ones_like(limits, dtype=torch.bool)
    every = layers.pre_activations
    ends = {p: (every[p][0][place], every[p][1][place]) for p in relaxations}
    parts = (network, layers.box[place], relaxations, rows, limits, present, ends)
    problem = LineProblem(*parts, target=source)
    return best_lines(problem, Choices(), _STEPS, keep=keep, watch=watch)


def _apply(
    lower: Tensor, upper: Tensor, place: Tensor, neuron: Tensor, sign: Tensor, found: Tensor
) -> Tensor:
    """Take over what is better; which of the bounds found were, ``[items]``."""
    low, high = lower[place, neuron], upper[place, neuron]
    below = sign > 0
    better = torch.where(below, found > low, -found < high)
    chosen = better & below
    lower[place[chosen], neuron[chosen]] = found[chosen]
    chosen = better & ~below
    upper[place[chosen], neuron[chosen]] = -found[chosen]
    return better
