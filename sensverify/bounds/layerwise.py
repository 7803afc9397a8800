"""Bounds on every layer in turn, each by the backward pass over the layers before it.

This is where the pass meets memory: objectives and samples are taken in tiles that fit the
processor's cache (or a share of the GPU's memory). When gradients are wanted, tiles are kept for
the backward sweep up to a fixed amount of memory, and computed again beyond it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import prod

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sensverify.bounds.backward import backward_bounds
from sensverify.bounds.ibp import Interval, interval_bounds, nonlinear_nodes
from sensverify.bounds.relaxation import Relaxation, Slope, relax
from sensverify.bounds.signs import (
    Signs,
    open_neuron_bounds,
    signs_of,
    skips_known,
    stand_ins,
    within_signs,
)
from sensverify.bounds.tensors import flattened
from sensverify.bounds.window_plan import WindowPlan, window_plan
from sensverify.bounds.windows import RelaxationWindows, Windows, window_network
from sensverify.bounds.workspace import Workspace
from sensverify.core.box import Box
from sensverify.errors import Unbounded
from sensverify.network import Network
from sensverify.network.operators import (
    Affine,
    Conv,
    ConvTranspose,
    Pad,
    Permute,
    Reshape,
    Scale,
    Select,
)
from sensverify.runs.watch import TimeUp, Watch

_TILE = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Entries of the largest coefficient tensor of one tile, by device type."""

_KEPT = {"cpu": 1 << 28, "cuda": 1 << 31}
"""Entries that the tiles of one call may keep for the gradient, by device type; the tiles after
that are computed again in the backward sweep."""


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
    """

    network: Network
    box: Box
    slope: Slope
    watch: Watch = field(default_factory=Watch)
    pre_activations: dict[int, Interval] = field(default_factory=dict)
    relaxations: dict[int, Relaxation] = field(default_factory=dict)
    _workspace: Workspace = field(default_factory=Workspace)
    _kept: int = 0
    _rest: dict[int, Interval] | None = None
    _layer: str = ""

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
            A bound overflowed; the message names the layer.
        """
        by_source: dict[int, Interval] = {}
        layers = nonlinear_nodes(self.network)
        for number, position in enumerate(layers):
            self._layer = f"layer {number + 1} of {len(layers) + 1}"
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
                    "use a smaller box or `dtype=float64`",
                )
            self.pre_activations[position] = (lower, upper)
            if signs is not None:
                lower, upper = stand_ins(lower, upper)
            self.relaxations[position] = relax(node.operator, lower, upper, self.slope)
        return self

    def signs(self) -> Signs:
        """Signs of the ReLUs that are stable on the boxes, by the bounds at hand."""
        return signs_of(self.network, self.pre_activations)

    def _source_bounds(self, position: int, signs: Signs | None) -> Interval:
        """Bounds on the input of a nonlinear node."""
        source = self.network.nodes[position].inputs[0]
        if signs is None or self.cut_short:
            return self._node_bounds(source)
        exact = _interval_is_exact(self.network, source)
        if exact or not skips_known(self.network, position, signs):
            return self._node_bounds(source)
        return open_neuron_bounds(
            self.network, self.box, self.relaxations, position, signs[position]
        )

    def _node_bounds(self, target: int) -> Interval:
        """Bounds on a node's output, ``[batch, *shape]``."""
        if self._rest is not None:
            return self._rest[target]
        ends = (self.box.lower, self.box.upper)
        if _interval_is_exact(self.network, target):
            return interval_bounds(self.network, ends, until=target)[target]
        plan = window_plan(self.network, target)
        try:
            if plan is not None:
                lower, upper = self._by_windows(target, plan)
            else:
                lower, upper = self._by_rows(target, None)
        except TimeUp:
            return self._intervals(target)
        shape = (self.box.batch, *self.network.nodes[target].shape)
        # Rounding can cross the ends of a very thin interval.
        lower, upper = torch.minimum(lower, upper), torch.maximum(lower, upper)
        return lower.reshape(shape), upper.reshape(shape)

    def objective_bounds(self, objectives: Tensor) -> Interval:
        """Bounds ``[batch, rows]`` on objectives ``[batch or 1, rows, outputs]`` of the output."""
        last = len(self.network.nodes) - 1
        self._layer = "the outputs"
        try:
            return self._by_rows(last, objectives)
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

    def _by_rows(self, target: int, objectives: Tensor | None) -> Interval:
        """Tiles over samples and objectives; None takes the node's own entries as objectives."""
        network, batch = self.network, self.box.batch
        shape = network.nodes[target].shape
        rows = prod(shape) if objectives is None else objectives.shape[1]
        sizes = [prod(node.shape) for node in network.nodes[: target + 1]]
        widest = max(sizes)
        entries = tile_entries(self.box.lower.device)
        row_tile = max(1, min(rows, entries // widest))
        sample_tile = max(1, min(batch, entries // (widest * row_tile)))
        columns = []
        for first in range(0, rows, row_tile):
            part = slice(first, min(first + row_tile, rows))
            cells = []
            for start in range(0, batch, sample_tile):
                self._between(first * batch + start * len(range(rows)[part]), rows * batch)
                samples = slice(start, min(start + sample_tile, batch))
                chosen: Tensor | slice = part
                if objectives is not None:
                    chosen = objectives[:, part].reshape(len(objectives), -1, *shape)
                    chosen = chosen[samples] if len(objectives) > 1 else chosen
                tile = partial(self._tile, target, samples, chosen)
                cells.append(self._run(tile, 2 * row_tile * sample_tile * sum(sizes)))
            columns.append(_join(cells, 0))
        return _join(columns, 1)

    def _tile(self, target: int, samples: slice, objectives: Tensor | slice) -> Interval:
        relaxations = {
            position: narrow(relaxation, samples)
            for position, relaxation in self.relaxations.items()
            if position <= target
        }
        ends = self.box.lower[samples], self.box.upper[samples]
        return self._pass(self.network, objectives, relaxations, *ends, target)

    def _by_windows(self, target: int, plan: WindowPlan) -> Interval:
        """Tiles over samples and positions; every position is a small fully connected network."""
        device = self.box.lower.device
        small, places = window_network(self.network, plan, device)
        rows = prod(small.nodes[-1].shape)
        entries = tile_entries(device) // (rows * plan.largest_window)
        sample_tile = max(1, min(self.box.batch, entries))
        position_tile = max(1, min(plan.positions, entries // sample_tile))
        index = {p: torch.from_numpy(plan.index[p]).to(device) for p in (plan.order[0], *places)}
        windows = sum(plan.index[p].shape[1] for p in plan.order)
        kept = 2 * rows * sample_tile * position_tile * windows
        cells = []
        for start in range(0, self.box.batch, sample_tile):
            samples = slice(start, min(start + sample_tile, self.box.batch))
            ends = Windows(self.box.lower[samples]), Windows(self.box.upper[samples])
            layers = {
                p: RelaxationWindows(narrow(self._mask_or_relaxation(p), samples)) for p in places
            }

            def tile(
                part: slice,
                ends: tuple[Windows, Windows] = ends,
                layers: dict[int, RelaxationWindows] = layers,
            ) -> Interval:
                lower, upper = (end.cut(index[plan.order[0]][part]) for end in ends)
                relaxations = {places[p]: layer.cut(index[p][part]) for p, layer in layers.items()}
                return self._pass(small, slice(None), relaxations, lower, upper)

            parts = []
            for first in range(0, plan.positions, position_tile):
                self._between(start * plan.positions + first, self.box.batch * plan.positions)
                # Bound now: the backward sweep calls it again, when `tile` is another one.
                part = slice(first, first + position_tile)
                parts.append(self._run(partial(tile, part), kept))
            # [positions * samples, rows] -> [samples, rows, positions]
            order = (plan.positions, samples.stop - start, rows)
            lower, upper = (end.reshape(order).permute(1, 2, 0) for end in _join(parts, 0))
            cells.append((lower, upper))
        return _join(cells, 0)

    def _pass(
        self,
        network: Network,
        objectives: Tensor | slice,
        relaxations: dict[int, Relaxation],
        lower: Tensor,
        upper: Tensor,
        target: int | None = None,
    ) -> Interval:
        """Both ends by one backward pass in the shared workspace; the target is the last node."""
        low, high = backward_bounds(
            network,
            len(network.nodes) - 1 if target is None else target,
            objectives,
            relaxations,
            lower,
            upper,
            workspace=self._workspace,
        )
        assert high is not None
        return low, high

    def _between(self, done: int, total: int) -> None:
        """Between two tiles of a layer: hear the watch, and tell it how far the layer is."""
        self.watch.check()
        self.watch.say(f"{self._layer}, {100 * done // total} %")

    def _run(self, tile: Callable[[], Interval], entries: int) -> Interval:
        """One tile; ``entries`` is about what its gradient keeps, unless it is computed again."""
        if not torch.is_grad_enabled():
            return tile()
        self._kept += entries
        if self._kept <= _KEPT.get(self.box.lower.device.type, _KEPT["cpu"]):
            return tile()
        return checkpoint(tile, use_reentrant=False)

    def _mask_or_relaxation(self, position: int) -> Relaxation:
        if position in self.relaxations:
            return self.relaxations[position]
        inside = self.box.lower.new_ones(self.box.batch, *self.network.nodes[position].shape)
        return Relaxation(inside, inside, None, None)


def _interval_is_exact(network: Network, target: int) -> bool:
    """True where interval arithmetic gives the exact range of every entry of a node.

    It does along a chain from the input with at most one operator that sums entries, and none in
    front of it that repeats entries: interval arithmetic takes the copies for independent.
    """
    sums = 0
    position = target
    while position:
        node = network.nodes[position]
        if isinstance(node.operator, Affine | Conv | ConvTranspose):
            sums += 1
        elif isinstance(node.operator, Select):
            if sums and _repeats(node.operator):
                return False
        elif not isinstance(node.operator, Scale | Pad | Permute | Reshape):
            return False
        (position,) = node.inputs
    return sums <= 1


def _repeats(operator: Select) -> bool:
    indices = operator.indices.flatten()
    return len(torch.unique(indices)) < len(indices)


def tile_entries(device: torch.device) -> int:
    """Entries that the largest coefficient tensor of one tile may have on a device."""
    return _TILE.get(device.type, _TILE["cpu"])


def narrow(
    relaxation: Relaxation, samples: slice, keep: Callable[[Tensor], Tensor] = lambda values: values
) -> Relaxation:
    """The relaxation of some of the samples, each array passed through ``keep``."""
    lower = keep(relaxation.lower_slope[samples])
    upper = lower if relaxation.parallel else keep(relaxation.upper_slope[samples])
    intercepts = (relaxation.lower_intercept, relaxation.upper_intercept)
    return Relaxation(lower, upper, *(None if i is None else keep(i[samples]) for i in intercepts))


def _join(parts: list[Interval], axis: int) -> Interval:
    if len(parts) == 1:
        return parts[0]
    return torch.cat([p[0] for p in parts], axis), torch.cat([p[1] for p in parts], axis)
