"""Sub-problems in which some ReLUs have a fixed sign."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from sensverify.bounds.backward import backward_lines
from sensverify.bounds.ibp import Interval
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Relaxation, Slope, relax
from sensverify.bounds.signs import within_signs
from sensverify.bounds.tensors import flattened
from sensverify.network.operators import Relu
from sensverify.solvers.branch_and_bound.optimising import Choices
from sensverify.solvers.branch_and_bound.records import Records

_NUMBERS = 1 << 24
"""Rows times neurons beyond which it is not asked which depends on which."""

Arrays = dict[int, Tensor]
"""For ReLU nodes, an array with one entry for each neuron, ``[items, *shape]``."""


@dataclass(frozen=True, eq=False)
class ReluNodes(Records):
    """Some sub-problems, with what is known about each.

    Parameters
    ----------
    target : Tensor, shape ``[items]``, int64
        Which of the search's targets each belongs to.
    bounds : Tensor, shape ``[items]``
        Proven below the target's weighted distance to its limits.
    signs : dict from ReLU node to Tensor ``[items, *shape]``, int8
        1 where the neuron is fixed as active, -1 as inactive, 0 where it is free.
    slopes, multipliers : dict from ReLU node to Tensor ``[items, *shape]``, float32
        Where the optimisation left them: a child starts there.
    scores : Tensor, shape ``[items, rows]``
        The same of the rows' weights.
    turns : Tensor, shape ``[items, rows + 1]``, int16
        How many of the splits that led to it were made for each row, and for their weighted sum.
    decision : Tensor, shape ``[items]``, int64
        The neuron to split next, counted over all ReLU nodes; -1 where none is free.
    node : Tensor, shape ``[items]``, int64
        Its cell in the record of the search.
    """

    target: Tensor
    bounds: Tensor
    signs: Arrays
    slopes: Arrays
    multipliers: Arrays
    scores: Tensor
    turns: Tensor
    decision: Tensor
    node: Tensor

    def bounded(self, bounds: Tensor, choices: Choices) -> ReluNodes:
        """The same after an optimisation; slopes that it had no use for stay."""
        slopes = {**self.slopes, **{p: v.float() for p, v in choices.slopes.items()}}
        multipliers = {**self.multipliers, **{p: v.float() for p, v in choices.multipliers.items()}}
        scores = self.scores if choices.scores is None else choices.scores
        return replace(self, bounds=bounds, slopes=slopes, multipliers=multipliers, scores=scores)

    def choices(self) -> Choices:
        """The start of these sub-problems' optimisation."""
        return Choices(self.slopes, self.multipliers, self.scores)

    def children(self, neuron: Tensor) -> ReluNodes:
        """Each with one neuron fixed: first all as active, then all as inactive.

        Parameters
        ----------
        neuron : Tensor, shape ``[items]``
            Counted over all ReLU nodes.
        """
        doubled = self[torch.arange(len(self), device=self.target.device).repeat(2)]
        sign = torch.ones(2 * len(self), dtype=torch.int8, device=self.target.device)
        sign[len(self) :] = -1
        return doubled.with_sign(neuron.repeat(2), sign)

    def with_sign(self, neuron: Tensor, sign: Tensor) -> ReluNodes:
        """The same with one more neuron of each fixed; neuron -1 fixes none."""
        signs, start = {}, 0
        for position, values in self.signs.items():
            flat = values.reshape(len(values), -1).clone()
            count = flat.shape[1]
            hit = ((neuron >= start) & (neuron < start + count)).nonzero().squeeze(1)
            flat[hit, neuron[hit] - start] = sign[hit]
            signs[position] = flat.reshape(values.shape)
            start += count
        return replace(self, signs=signs)


def split_relaxations(
    layers: LayerBounds, place: Tensor, signs: Arrays
) -> tuple[dict[int, Relaxation], dict[int, Interval]]:
    """Relaxations and bounds of sub-problems, from their roots' bounds and their signs.

    Parameters
    ----------
    layers : LayerBounds
        Of the roots.
    place : Tensor, shape ``[items]``
        Each item's root.
    signs : dict from ReLU node to Tensor ``[items, *shape]``
    """
    relaxations, intervals = {}, {}
    for position, (lower, upper) in layers.pre_activations.items():
        low, high = lower[place], upper[place]
        if position in signs:
            # A fixed sign may contradict the bounds: then nothing is left, and any line is valid.
            low, high = within_signs(low, high, signs[position])
        intervals[position] = (low, high)
        operator = layers.network.nodes[position].operator
        relaxations[position] = relax(operator, low, high, Slope.ADAPTIVE)
    return relaxations, intervals


def free_neurons(intervals: dict[int, Interval], signs: Arrays) -> Tensor:
    """Mask of the neurons that are unstable and not fixed, ``[items, neurons]``."""
    free = []
    for position, sign in signs.items():
        lower, upper = (flattened(end) for end in intervals[position])
        free.append((lower < 0) & (upper > 0) & (flattened(sign) == 0))
    return torch.cat(free, dim=1)


def neuron_scores(seen: Arrays, intervals: dict[int, Interval], relus: Iterable[int]) -> Tensor:
    """The looseness that each unstable neuron adds to its bound, ``[items, neurons]``.

    The loss at the upper line of a neuron that the objective weighs negatively is at most its
    intercept; at the lower line of one weighed positively, the smaller of its two ends. Source:
    Bunel et al. 2020, *Branch and bound for piecewise linear neural network verification*, Section
    4.2 (BaBSR), without its bias term.

    Parameters
    ----------
    seen : dict from ReLU node to Tensor ``[items, *shape]``
        Coefficients on its output.
    intervals : dict from ReLU node to pairs of such Tensors
        Of what enters it.
    relus : iterable of int
        The nodes, in the order in which their neurons are counted.
    """
    scores = []
    for position in relus:
        lower, upper = (flattened(end) for end in intervals[position])
        weight = flattened(seen[position])
        height = -lower * upper / (upper - lower).clamp(min=1e-300)
        above = (-weight).clamp(min=0) * height
        below = weight.clamp(min=0) * torch.minimum(-lower, upper) / 2
        scores.append(above + 1e-3 * below)
    return torch.cat(scores, dim=1)


def reached_neurons(layers: LayerBounds, rows: Tensor) -> Tensor | None:
    """Mask of the ReLUs that each row depends on, ``[rows, neurons]``.

    None where all depend on all, where there are none, or where that would be too much to keep.
    """
    nodes, count = layers.network.nodes, rows.shape[1]
    relus = [p for p in layers.relaxations if isinstance(nodes[p].operator, Relu)]
    neurons = sum(prod(nodes[p].shape) for p in relus)
    if len(relus) < len(layers.relaxations) or not 0 < count * neurons <= _NUMBERS:
        return None
    if len(rows) > 1:
        return None
    # Coefficients behind slopes drawn at random vanish where no path leads, and nowhere else.
    generator = torch.Generator().manual_seed(0)
    lines = {}
    for position, relaxation in layers.relaxations.items():
        shape = relaxation.lower_slope[:1].shape
        slope = (0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)).to(rows)
        lines[position] = Relaxation(slope, slope, None, None)
    objectives = rows.reshape(1, count, *layers.network.output_shape)
    _, _, seen = backward_lines(layers.network, objectives, lines)
    reached = torch.cat([flattened((seen[p] != 0)[0]) for p in relus], dim=1)
    return None if bool(reached.all()) else reached
