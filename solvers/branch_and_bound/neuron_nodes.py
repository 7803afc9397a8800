"""Sub-problems in which numbers that enter nonlinear operators are cut: their neurons are split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from sensverify.bounds.backward import backward_lines
from sensverify.bounds.free_lines import chosen_lines, crown_choice, has_choice
from sensverify.bounds.ibp import Interval
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Relaxation, Slope, relax
from sensverify.bounds.tensors import flattened
from sensverify.network.operators import PiecewiseLinear, Relu, Steps, Windowed
from sensverify.solvers.branch_and_bound.cuts import (
    Arrays,
    Cuts,
    entries_of_neurons,
    no_cuts,
    within_cuts,
)
from sensverify.solvers.branch_and_bound.entries import split_shapes
from sensverify.solvers.branch_and_bound.optimising import Choices
from sensverify.solvers.branch_and_bound.pruning import Pruned
from sensverify.solvers.branch_and_bound.records import Records
from sensverify.solvers.branch_and_bound.split_rules import of_entries
from sensverify.solvers.branch_and_bound.step_intervals import carried, has_steps, within

_NUMBERS = 1 << 24
"""Rows times neurons beyond which it is not asked which depends on which."""


@dataclass(frozen=True, eq=False)
class NeuronNodes(Records):
    """Some sub-problems, with what is known about each.

    Neurons are what enters the nodes that can be split, counted over all of them in their order.

    Parameters
    ----------
    target : Tensor, shape ``[items]``, int64
        Which of the search's targets each belongs to.
    bounds : Tensor, shape ``[items]``
        Proven below the target's weighted distance to its limits.
    low, high : dict from node to Tensor ``[items, *shape]``, float32
        The cuts.
    slopes, above, multipliers : dict from node to Tensor ``[items, *shape]``, float32
        Where the optimisation left them: a part starts there.
    scores : Tensor, shape ``[items, rows]``
        The same of the rows' weights.
    turns : Tensor, shape ``[items, rows + 1]``, int16
        How many of the splits that led to it were made for each row, and for their weighted sum.
    decision : Tensor, shape ``[items]``, int64
        The neuron to split next, -1 where none is free; of a part that is not bounded yet, the one
        that was split.
    at : Tensor, shape ``[items]``, float32
        Where that is.
    node : Tensor, shape ``[items]``, int64
        Its cell in the record of the search.
    """

    target: Tensor
    bounds: Tensor
    low: Arrays
    high: Arrays
    slopes: Arrays
    above: Arrays
    multipliers: Arrays
    scores: Tensor
    turns: Tensor
    decision: Tensor
    at: Tensor
    node: Tensor

    @classmethod
    def roots(cls, layers: LayerBounds, place: Tensor, bounds: Tensor, rows: int) -> NeuronNodes:
        """One for each target, on the boxes ``place``, with nothing cut."""
        count, device = len(place), place.device
        low, high = no_cuts(split_shapes(layers.network), count, device)
        slopes: Arrays = {}
        above: Arrays = {}
        for position, lines in layers.relaxations.items():
            operator = layers.network.nodes[position].operator
            if not has_choice(operator):
                continue
            ends = (end.unsqueeze(1) for end in layers.pre_activations[position])
            for kept, values in zip(
                (slopes, above), crown_choice(operator, lines, *ends), strict=True
            ):
                if values is not None:
                    kept[position] = values[place, 0].float()
        places = torch.arange(count, device=device)
        return cls(
            target=places,
            bounds=bounds,
            low=low,
            high=high,
            slopes=slopes,
            above=above,
            multipliers={p: torch.zeros_like(values) for p, values in low.items()},
            scores=bounds.new_zeros(count, rows),
            turns=torch.zeros(count, rows + 1, dtype=torch.int16, device=device),
            decision=places * 0 - 1,
            at=torch.zeros(count, device=device),
            node=places,
        )

    def rooted(self, old: Pruned, new: Pruned) -> NeuronNodes:
        """Roots of the one network as those of the other: without cuts, to start where they are."""
        low, high = no_cuts(split_shapes(new.layers.network), len(self), self.target.device)
        slopes, above, multipliers = (
            new.taken(old.spread(values)) for values in (self.slopes, self.above, self.multipliers)
        )
        return replace(
            self,
            low=low,
            high=high,
            slopes=slopes,
            above=above,
            multipliers=multipliers,
            decision=self.decision * 0 - 1,
        )

    @property
    def cuts(self) -> Cuts:
        """The intervals that the splits leave."""
        return self.low, self.high

    def bounded(self, bounds: Tensor, choices: Choices) -> NeuronNodes:
        """The same after an optimisation; what it had no use for stays."""
        return replace(
            self,
            bounds=bounds,
            slopes=_updated(self.slopes, choices.slopes),
            above=_updated(self.above, choices.above),
            multipliers=_updated(self.multipliers, choices.multipliers),
            scores=self.scores if choices.scores is None else choices.scores.to(self.scores),
        )

    def choices(self) -> Choices:
        """The start of these sub-problems' optimisation."""
        return Choices(self.slopes, self.above, self.multipliers, self.scores)

    def children(self, neuron: Tensor, at: Tensor) -> NeuronNodes:
        """Each with one neuron cut: first all parts from ``at`` on, then all those up to it.

        Parameters
        ----------
        neuron : Tensor, shape ``[items]``
            With -1, both parts are as the whole.
        at : Tensor, shape ``[items]``, float32
        """
        count = len(self)
        doubled = self[torch.arange(count, device=self.target.device).repeat(2)]
        for position, (item,), entry in entries_of_neurons(doubled.low, neuron):
            # The arrays are this copy's own.
            flattened(doubled.low[position])[item, entry] = at[item]
            flattened(doubled.high[position])[item + count, entry] = at[item]
        return replace(doubled, decision=neuron.repeat(2), at=at.repeat(2))

    def relined(self, layers: LayerBounds, place: Tensor) -> NeuronNodes:
        """The same with CROWN's lines for the neuron of each that was split last.

        Those that the whole was left with hold on a part, too, but are far from its values.

        Parameters
        ----------
        layers : LayerBounds
            Of the roots.
        place : Tensor, shape ``[items]``
            Each item's root.
        """
        slopes, above = dict(self.slopes), dict(self.above)
        for position, (item,), entry in entries_of_neurons(self.low, self.decision):
            node = layers.network.nodes[position]
            operator = node.operator
            if isinstance(operator, Relu) or not has_choice(operator) or not len(item):
                continue
            low, high = layers.pre_activations[position]
            known = low[place[item]], high[place[item]]
            low, high = within(operator, known, self.low[position][item], self.high[position][item])
            if isinstance(operator, Windowed):
                entry = entry // low.shape[-1]
            low, high = (at_outputs(end, entry, node.shape) for end in (low, high))
            part = of_entries(operator, node.shape, entry)
            lines = relax(part, low, high, Slope.ADAPTIVE)
            choice = crown_choice(part, lines, low.unsqueeze(1), high.unsqueeze(1))
            for kept, values in zip((slopes, above), choice, strict=True):
                if values is not None:
                    changed = kept[position].clone(memory_format=torch.contiguous_format)
                    # One number for each output, or one for each number of its window.
                    more = changed.shape[1 + len(node.shape) :]
                    places = changed.view(len(changed), -1, *more)
                    places[item, entry] = values.reshape(-1, *more).to(changed)
                    kept[position] = changed
        return replace(self, slopes=slopes, above=above)


def _updated(old: Arrays, new: Arrays) -> Arrays:
    return {**old, **{position: values.float() for position, values in new.items()}}


def at_outputs(values: Tensor, places: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The numbers that enter one output of each item, ``[1, items]``; a last axis for windows.

    Parameters
    ----------
    values : Tensor, shape ``[items, *shape]`` or ``[items, *shape, numbers]``
    places : Tensor, shape ``[items]``
        Among the outputs.
    shape : tuple of int
        Of the outputs.
    """
    each = values.reshape(len(values), prod(shape), *values.shape[1 + len(shape) :])
    return each[torch.arange(len(values), device=values.device), places].unsqueeze(0)


def split_lines(
    layers: LayerBounds, place: Tensor, nodes: NeuronNodes
) -> tuple[dict[int, Relaxation], dict[int, Interval], Tensor | None]:
    """Lines and bounds of sub-problems, from their roots' bounds, their cuts and their choices.

    Third, a mask of those in which no input lies, ``[items]``; None where that is not known.

    Parameters
    ----------
    layers : LayerBounds
        Of the roots.
    place : Tensor, shape ``[items]``
        Each item's root.
    nodes : NeuronNodes
    """
    relaxations = {}
    intervals, empty = _intervals(layers, place, nodes)
    for position, (low, high) in intervals.items():
        operator = layers.network.nodes[position].operator
        if isinstance(operator, Relu) or position not in nodes.slopes:
            relaxations[position] = relax(operator, low, high, Slope.ADAPTIVE)
            continue
        below, over = (kept[position].to(low).unsqueeze(1) for kept in (nodes.slopes, nodes.above))
        known = layers.relaxations[position].of(place)
        if isinstance(operator, PiecewiseLinear | Steps):
            known = relax(operator, low, high, Slope.ADAPTIVE)
        inside = low.unsqueeze(1), high.unsqueeze(1)
        relaxations[position] = chosen_lines(operator, (below, over), known, *inside)
    return relaxations, intervals, empty


def _intervals(
    layers: LayerBounds, place: Tensor, nodes: NeuronNodes
) -> tuple[dict[int, Interval], Tensor | None]:
    """Bounds on what enters every nonlinear node, and where they leave no input."""
    known = {p: (low[place], high[place]) for p, (low, high) in layers.pre_activations.items()}
    if has_steps(layers.network):
        box = layers.box[place]
        return carried(layers.network, (box.lower, box.upper), known, nodes.cuts)
    for position in nodes.low:
        known[position] = within_cuts(known[position], nodes.low[position], nodes.high[position])
    return known, None


def reached_neurons(layers: LayerBounds, rows: Tensor) -> Tensor | None:
    """Mask of the ReLUs that each row depends on, ``[rows, neurons]``.

    None where all depend on all, where there are others, or where that would be too much to keep.
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
