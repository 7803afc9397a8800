"""Bounds on every layer in turn, each by the backward pass over the layers before it.

A layer is bounded as a whole; or neuron by neuron, where intervals decide the signs of many; or not
at all, where its bounds follow from those at hand. `sensverify.bounds.tiles` does the passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from sensverify.bounds.domains import defined, remedy_of_overflow, require_defined
from sensverify.bounds.ibp import Interval, interval_at, interval_bounds, nonlinear_nodes
from sensverify.bounds.mirrors import has_mirror, mirrored
from sensverify.bounds.needed import (
    crosses,
    interval_is_exact,
    kinks_that_matter,
    only_relus_read,
    only_signs_matter,
    range_follows,
    ranges_matter,
)
from sensverify.bounds.neurons import Neurons
from sensverify.bounds.relaxation import Relaxation, Slope, relax
from sensverify.bounds.signs import (
    Signs,
    said_by,
    signs_at,
    signs_of,
    skips_known,
    stand_ins,
    within_signs,
)
from sensverify.bounds.tensors import flattened
from sensverify.bounds.tiles import Tiles
from sensverify.bounds.window_plan import WindowPlan, window_plan
from sensverify.core.box import Box
from sensverify.core.proof import OwnLines
from sensverify.core.sets import InputSet
from sensverify.errors import Unbounded
from sensverify.network import Network
from sensverify.runs.watch import TimeUp, Watch

_WORTH = 256
"""Neurons of a layer from which it pays to ask intervals which of them are open."""


@dataclass(eq=False)
class LayerBounds:
    """Bounds and relaxations of the layers of one network over one batch of boxes.

    Parameters
    ----------
    network : Network
        With tensors as parameters.
    box : Box of tensors, shape ``[batch, *input_shape]``
    slope : Slope
        The lines that nonlinear operators are given.
    watch : Watch
        Asked before every tile. Once it is over, interval arithmetic goes on from the layers that
        are bounded by then: sound, and about as fast as two evaluations of the network.
    pre_activations : dict from node to ``(lower, upper)``
        Bounds on the input of each nonlinear node, as they become known.
    own : OwnLines or None
        What proves those that the lines of a pass do not prove, where it is kept.
    """

    network: Network
    box: Box
    slope: Slope
    watch: Watch = field(default_factory=Watch)
    pre_activations: dict[int, Interval] = field(default_factory=dict)
    relaxations: dict[int, Relaxation] = field(default_factory=dict)
    own: OwnLines | None = None
    _rest: dict[int, Interval] | None = None
    _tiles: Tiles = field(init=False)

    def __post_init__(self) -> None:
        self._tiles = Tiles(self.network, self.box, self.relaxations, self.watch)

    @property
    def _set(self) -> bool:
        """True where the inputs are no box: no interval is exact, no window has a set alone."""
        return isinstance(self.box, InputSet)

    def _plan(self, target: int) -> WindowPlan | None:
        return None if self._set else window_plan(self.network, target, self.box.batch)

    @property
    def cut_short(self) -> bool:
        """True where the watch was over before all was bounded by the pass."""
        return self._rest is not None

    def fill(
        self, known: dict[int, Interval] | None = None, *, signs: Signs | None = None
    ) -> LayerBounds:
        """Bound the input of every nonlinear node: as ``known`` says, else by the pass itself.

        Parameters
        ----------
        known : dict from nonlinear node to bounds ``[batch, *shape]``, optional
            Taken as they are.
        signs : Signs, optional
            ReLUs known to be stable on these boxes. Bounds say at least as much. Where a layer
            allows it, they are not computed: they then say no more, with one infinite end.

        Raises
        ------
        Unbounded
            A bound overflowed, or leaves where a function is defined; the message names the
            layer.
        """
        by_source: dict[int, Interval] = {}
        layers = nonlinear_nodes(self.network)
        for number, position in enumerate(layers):
            self._tiles.layer = f"layer {number + 1} of {len(layers) + 1}"
            node = self.network.nodes[position]
            source = node.inputs[0]
            if known is not None:
                by_source[source] = known[position]
            elif source not in by_source:
                by_source[source] = self._source_bounds(position, signs)
            lower, upper = by_source[source]
            bounded = torch.isfinite(lower) & torch.isfinite(upper)
            if signs is not None and position in signs:
                lower, upper = within_signs(lower, upper, signs[position])
                bounded |= (signs[position] != 0) & ~(lower.isnan() | upper.isnan())
            if not bool(bounded.all()):
                raise Unbounded(
                    f"the bounds on what enters node '{node.name}' overflow {lower.dtype}: "
                    "unbounded",
                    remedy_of_overflow(lower.dtype),
                )
            lower, upper = self._within_domain(position, lower, upper)
            self.pre_activations[position] = (lower, upper)
            if signs is not None:
                lower, upper = stand_ins(lower, upper)
            relaxation = relax(node.operator, lower, upper, self.slope)
            if self._finds_signs and not torch.is_grad_enabled():
                relaxation = mirrored(node.operator, relaxation, lower, upper)
            self.relaxations[position] = relaxation
        return self

    def _within_domain(self, position: int, lower: Tensor, upper: Tensor) -> Interval:
        """Bounds on what enters a function, with intervals' help where they leave its domain."""
        node = self.network.nodes[position]
        inside = defined(node.operator, lower, upper)
        if inside is None or bool(inside.all()):
            return lower, upper
        ends = (self.box.lower, self.box.upper)
        low, high = interval_at(self.network, node.inputs[0], ends, self.pre_activations)
        # Where intervals are not defined either, they are NaN, which says nothing.
        lower = torch.where(low > lower, low, lower)
        upper = torch.where(high < upper, high, upper)
        require_defined(node.operator, lower, upper, node.name)
        return lower, upper

    def signs(self) -> Signs:
        """Signs of the ReLUs that are stable on the boxes, by the bounds at hand."""
        return signs_of(self.network, self.pre_activations)

    def _source_bounds(self, position: int, signs: Signs | None) -> Interval:
        """Bounds on the input of a nonlinear node, ``[batch, *shape]``."""
        network, source = self.network, self.network.nodes[position].inputs[0]
        if self._rest is not None:
            return self._rest[source]
        ends = (self.box.lower, self.box.upper)
        exact = not self._set and interval_is_exact(network, source)
        if exact or range_follows(network, source):
            return interval_at(network, source, ends, self.pre_activations)
        try:
            if signs is not None and skips_known(network, position, signs):
                known = said_by(signs[position], self.box.lower)
                return self._open_bounds(source, known, signs[position] == 0)
            kinks = kinks_that_matter(network, source)
            if prod(network.nodes[source].shape) >= _WORTH and kinks is not None:
                # Of neurons that are decided nothing is differentiated: their lines are constant.
                with torch.no_grad():
                    known = interval_at(network, source, ends, self.pre_activations)
                if not ranges_matter(network, source):
                    return self._open_bounds(source, known, crosses(*known, kinks))
                if only_relus_read(network, source):
                    # Where a ReLU is inactive its range is 0, whatever the bounds.
                    return self._open_bounds(source, known, ~(known[1] <= 0))
            return self._node_bounds(source)
        except TimeUp:
            return self._intervals(source)

    def _node_bounds(self, target: int) -> Interval:
        """Bounds on a node's output by the pass, ``[batch, *shape]``."""
        plan = self._plan(target)
        if plan is not None:
            lower, upper = self._tiles.windows(target, plan)
        else:
            lower, upper = self._tiles.rows(target, None)
        shape = (self.box.batch, *self.network.nodes[target].shape)
        # Rounding can cross the ends of a very thin interval.
        lower, upper = torch.minimum(lower, upper), torch.maximum(lower, upper)
        return lower.reshape(shape), upper.reshape(shape)

    def _open_bounds(self, target: int, known: Interval, is_open: Tensor) -> Interval:
        """Bounds ``[batch, *shape]`` of a node by the pass where they are open, else as known.

        Each box has open neurons of its own.
        """
        neurons = Neurons(self._tiles, target, self._plan(target))
        is_open, others = flattened(is_open), (flattened(known[0]), flattened(known[1]))
        if self._one_end_first(target):
            signs = flattened(self._signs_inside[target])
            bounded, (low, high) = neurons.by_signs(is_open, signs, others)
        else:
            bounded, (low, high) = neurons.bounds(is_open)
        # Rounding can cross the ends of a very thin interval; NaN stays, for the caller to refuse.
        lower = torch.where(bounded, torch.minimum(low, high), others[0])
        upper = torch.where(bounded, torch.maximum(low, high), others[1])
        return lower.reshape(known[0].shape), upper.reshape(known[0].shape)

    @cached_property
    def _finds_signs(self) -> bool:
        """True where a layer is large enough for one end to be looked at before the other."""
        nodes = self.network.nodes
        return any(
            prod(nodes[nodes[p].inputs[0]].shape) >= _WORTH for p in nonlinear_nodes(self.network)
        )

    def _one_end_first(self, target: int) -> bool:
        """True where one set of coefficients bounds both ends, and two bound them better.

        With gradients both are computed at once: what is decided is not known beforehand.
        """
        lines = self.relaxations.values()
        return (
            not torch.is_grad_enabled()
            and prod(self.network.nodes[target].shape) >= _WORTH
            and only_signs_matter(self.network, target)
            and all(has_mirror(r) for r in lines)
            and not all(r.parallel for r in lines)
        )

    @cached_property
    def _signs_inside(self) -> dict[int, Tensor]:
        centre = self.box.lower / 2 + self.box.upper / 2
        # A point of the set: the centre of the box around it may lie outside.
        at = self.box.point.to(centre) if isinstance(self.box, InputSet) else centre
        return signs_at(self.network, at)

    def objective_bounds(self, objectives: Tensor) -> Interval:
        """Bounds ``[batch, rows]`` on objectives ``[batch or 1, rows, outputs]`` of the output."""
        last = len(self.network.nodes) - 1
        self._tiles.layer = "the outputs"
        try:
            return self._tiles.rows(last, objectives)
        except TimeUp:
            lower, upper = (flattened(end).unsqueeze(-1) for end in self._intervals(last))
            rising, falling = objectives.clamp(min=0), objectives.clamp(max=0)
            ends = rising @ lower + falling @ upper, rising @ upper + falling @ lower
            return ends[0].squeeze(-1), ends[1].squeeze(-1)

    def _intervals(self, target: int) -> Interval:
        """Interval bounds that follow from the layers that the pass has bounded."""
        if self._rest is None:
            ends = (self.box.lower, self.box.upper)
            self._rest = interval_bounds(self.network, ends, known=self.pre_activations)
        return self._rest[target]
