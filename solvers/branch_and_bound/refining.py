"""Hidden layers bounded again, with slopes optimised for every unstable neuron.

Splitting ReLUs leaves the bounds on hidden layers as they were for the whole box, so it pays to
make these tight first: fewer neurons are unstable, and the relaxation of the rest is narrower.
Source: Xu et al. 2021, *Fast and complete*, where intermediate bounds have slopes of their own.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope, relax
from sensverify.network.operators import Relu
from sensverify.solvers.branch_and_bound.optimising import Choices, LineProblem, best_lines
from sensverify.watch import Watch

_STEPS = 10
_NUMBERS = 1 << 18
"""Neurons times rows that are optimised at a time."""


def refine(layers: LayerBounds, watch: Watch) -> LayerBounds:
    """Tighten the bounds on what enters unstable ReLUs, layer by layer, until the watch is over.

    Parameters
    ----------
    layers : LayerBounds
    watch : Watch

    Returns
    -------
    LayerBounds
        SOUND; nowhere looser than what was given.
    """
    network, box = layers.network, layers.box
    refined = LayerBounds(network, box, Slope.ADAPTIVE)
    for position, (lower, upper) in layers.pre_activations.items():
        node = network.nodes[position]
        if isinstance(node.operator, Relu) and refined.relaxations and not watch.over:
            lower, upper = _tightened(refined, position, lower, upper, watch)
        refined.pre_activations[position] = (lower, upper)
        refined.relaxations[position] = relax(node.operator, lower, upper, Slope.ADAPTIVE)
    return refined


def _tightened(
    layers: LayerBounds, position: int, lower: Tensor, upper: Tensor, watch: Watch
) -> tuple[Tensor, Tensor]:
    """Better bounds on what enters one ReLU node, ``[batch, *shape]``."""
    shape = lower.shape
    lower, upper = lower.flatten(1).clone(), upper.flatten(1).clone()
    place, neuron = ((lower < 0) & (upper > 0)).nonzero(as_tuple=True)
    # Both ends of a neuron stand side by side: they take the same relaxations.
    place, neuron = place.repeat_interleave(2), neuron.repeat_interleave(2)
    sign = torch.ones_like(neuron)
    sign[1::2] = -1
    neurons = sum(prod(node.shape) for node in layers.network.nodes[: position + 1])
    step = max(2, _NUMBERS // neurons // 2 * 2)
    for first in range(0, len(place), step):
        if watch.over:
            break
        part = slice(first, first + step)
        excess = _excess(layers, position, place[part], neuron[part], sign[part])
        _raise(lower, place[part][::2], neuron[part][::2], excess[::2])
        _lower(upper, place[part][1::2], neuron[part][1::2], -excess[1::2])
    # Rounding can cross the ends of a very thin interval.
    lower, upper = torch.minimum(lower, upper), torch.maximum(lower, upper)
    return lower.reshape(shape), upper.reshape(shape)


def _excess(
    layers: LayerBounds, position: int, place: Tensor, neuron: Tensor, sign: Tensor
) -> Tensor:
    """Lower bounds of signed neurons, ``[items]``."""
    network, like = layers.network, layers.box.lower
    source = network.nodes[position].inputs[0]
    rows = like.new_zeros(len(place), 1, prod(network.nodes[source].shape))
    rows[torch.arange(len(place)), 0, neuron] = sign.to(like)
    box = layers.box[place]
    low, high = box.lower.flatten(1), box.upper.flatten(1)
    relaxations = {p: r.of(place) for p, r in layers.relaxations.items() if p <= source}
    limits = like.new_zeros(len(place), 1)
    present = torch.ones_like(limits, dtype=torch.bool)
    problem = LineProblem(network, low, high, relaxations, rows, limits, present, target=source)
    return best_lines(problem, Choices(), _STEPS).excess


def _raise(values: Tensor, place: Tensor, neuron: Tensor, found: Tensor) -> None:
    old = values[place, neuron]
    values[place, neuron] = torch.where(found > old, found, old)


def _lower(values: Tensor, place: Tensor, neuron: Tensor, found: Tensor) -> None:
    old = values[place, neuron]
    values[place, neuron] = torch.where(found < old, found, old)
