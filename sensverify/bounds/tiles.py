"""Bounds on one layer by the backward pass, in tiles.

This is where the pass meets memory: objectives and samples are taken in tiles that fit the
processor's cache (or a share of the GPU's memory). When gradients are wanted, tiles are kept for
the backward sweep up to a fixed amount of memory, and computed again beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import prod

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sensverify.bounds.backward import backward_bounds
from sensverify.bounds.ibp import Interval
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.window_plan import WindowPlan
from sensverify.bounds.windows import RelaxationWindows, Windows, window_network
from sensverify.bounds.workspace import Workspace
from sensverify.core.box import Box
from sensverify.core.sets import InputSet
from sensverify.network import Network
from sensverify.runs.watch import Watch

_TILE = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Entries of the largest coefficient tensor of one tile, by device type."""

_KEPT = {"cpu": 1 << 28, "cuda": 1 << 31}
"""Entries that the tiles of one call may keep for the gradient, by device type; the tiles after
that are computed again in the backward sweep."""

_TILE_BOXES = 512
"""Boxes of one tile of open neurons: those with as many go together."""

Open = tuple[tuple[Tensor, Tensor], Tensor, Tensor]
"""Boxes and entries of neurons, ``[neurons]`` each, and both ends of their bounds."""


@dataclass(eq=False)
class Tiles:
    """Passes over the layers of one network and one batch of boxes.

    Parameters
    ----------
    network : Network
    box : Box of tensors, shape ``[batch, *input_shape]``
    relaxations : dict from node to Relaxation
        Of the nonlinear nodes that are bounded; it grows from layer to layer.
    watch : Watch
        Asked before every tile, and told of ``layer``. Every method raises `TimeUp` once it is
        over.
    """

    network: Network
    box: Box
    relaxations: dict[int, Relaxation]
    watch: Watch
    layer: str = ""
    _workspace: Workspace = field(default_factory=Workspace)
    _kept: int = 0

    def rows(self, target: int, objectives: Tensor | None) -> Interval:
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
        inside = self.inside(samples)
        return self._pass(self.network, objectives, relaxations, *ends, target, inside)

    def inside(self, samples: slice | Tensor) -> InputSet | None:
        """The input sets of some samples; None where they are the boxes."""
        return self.box[samples] if isinstance(self.box, InputSet) else None

    def open_rows(self, target: int, is_open: Tensor, signs: Tensor | None = None) -> Open:
        """Bounds on a node's open entries; ``is_open`` is boolean, ``[batch, entries]``.

        ``signs`` are of the entries, as of `backward_bounds`.
        """
        network, batch = self.network, self.box.batch
        sizes = [prod(node.shape) for node in network.nodes[: target + 1]]
        entries = max(1, tile_entries(self.box.lower.device) // max(sizes))
        boxes, places, lows, highs = [], [], [], []
        before = 0
        for part, tiles in open_tiles(is_open, entries):
            relaxations = {p: r.of(part) for p, r in self.relaxations.items() if p <= target}
            ends, inside = (self.box.lower[part], self.box.upper[part]), self.inside(part)
            for number, (chosen, keep) in enumerate(tiles):
                self._between(before * len(tiles) + number * len(part), batch * len(tiles))
                tile = partial(
                    self._pass,
                    network,
                    chosen,
                    relaxations,
                    *ends,
                    target,
                    inside,
                    None if signs is None else signs[part].gather(1, chosen),
                )
                low, high = self._run(tile, 2 * keep.numel() * sum(sizes))
                boxes.append(part.unsqueeze(1).expand_as(keep)[keep])
                places.append(chosen[keep])
                lows.append(low[keep])
                highs.append(high[keep])
            before += len(part)
        none = [is_open.new_zeros(0, dtype=torch.int64)]
        empty = [self.box.lower.new_zeros(0)]
        index = torch.cat(boxes or none), torch.cat(places or none)
        return index, torch.cat(lows or empty), torch.cat(highs or empty)

    def open_windows(
        self, target: int, plan: WindowPlan, is_open: Tensor, signs: Tensor | None = None
    ) -> Open:
        """The same, each neuron by a pass through the windows that it sees."""
        small, places, index = self.through(plan)
        ends = Windows(self.box.lower), Windows(self.box.upper)
        layers = {p: RelaxationWindows(self.mask_or_relaxation(p)) for p in places}
        boxes, entries = is_open.nonzero(as_tuple=True)
        channels, positions = entries // plan.positions, entries % plan.positions
        size = max(1, tile_entries(self.box.lower.device) // plan.largest_window)
        kept = 2 * size * sum(plan.index[p].shape[1] for p in plan.order)

        def tile(part: slice) -> Interval:
            box, place = boxes[part], positions[part]
            lower, upper = (end.at(box, index[plan.order[0]][place]) for end in ends)
            relaxations = {places[p]: layer.at(box, index[p][place]) for p, layer in layers.items()}
            chosen = None if signs is None else signs[box, entries[part]].unsqueeze(1)
            channel = channels[part].unsqueeze(1)
            return self._pass(small, channel, relaxations, lower, upper, signs=chosen)

        cells = []
        for first in range(0, len(boxes), size):
            self._between(first, len(boxes))
            part = slice(first, first + size)
            cells.append(self._run(partial(tile, part), kept))
        if not cells:
            none = self.box.lower.new_zeros(0)
            return (boxes, entries), none, none
        low, high = _join(cells, 0)
        return (boxes, entries), low.squeeze(1), high.squeeze(1)

    def windows(self, target: int, plan: WindowPlan, signs: Tensor | None = None) -> Interval:
        """Tiles over samples and positions; every position is a small fully connected network."""
        small, places, index = self.through(plan)
        rows = prod(small.nodes[-1].shape)
        entries = tile_entries(self.box.lower.device) // (rows * plan.largest_window)
        sample_tile = max(1, min(self.box.batch, entries))
        position_tile = max(1, min(plan.positions, entries // sample_tile))
        windows = sum(plan.index[p].shape[1] for p in plan.order)
        kept = 2 * rows * sample_tile * position_tile * windows
        cells = []
        for start in range(0, self.box.batch, sample_tile):
            samples = slice(start, min(start + sample_tile, self.box.batch))
            ends = Windows(self.box.lower[samples]), Windows(self.box.upper[samples])
            layers = {
                p: RelaxationWindows(narrow(self.mask_or_relaxation(p), samples)) for p in places
            }

            wanted = None
            if signs is not None:
                shape = (samples.stop - start, rows, plan.positions)
                wanted = signs[samples].reshape(shape).permute(2, 0, 1)

            def tile(
                part: slice,
                ends: tuple[Windows, Windows] = ends,
                layers: dict[int, RelaxationWindows] = layers,
                wanted: Tensor | None = wanted,
            ) -> Interval:
                lower, upper = (end.cut(index[plan.order[0]][part]) for end in ends)
                relaxations = {places[p]: layer.cut(index[p][part]) for p, layer in layers.items()}
                chosen = None if wanted is None else wanted[part].flatten(0, 1)
                return self._pass(small, slice(None), relaxations, lower, upper, signs=chosen)

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

    def through(self, plan: WindowPlan) -> tuple[Network, dict[int, int], dict[int, Tensor]]:
        """The small network of a plan, the places of its nodes, and the windows by node."""
        device = self.box.lower.device
        small, places = window_network(self.network, plan, device)
        nodes = (plan.order[0], *places)
        return small, places, {p: torch.from_numpy(plan.index[p]).to(device) for p in nodes}

    def _pass(
        self,
        network: Network,
        objectives: Tensor | slice,
        relaxations: dict[int, Relaxation],
        lower: Tensor,
        upper: Tensor,
        target: int | None = None,
        inside: InputSet | None = None,
        signs: Tensor | None = None,
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
            inside=inside,
            signs=signs,
        )
        assert high is not None
        return low, high

    def _between(self, done: int, total: int) -> None:
        """Between two tiles of a layer: hear the watch, and tell it how far the layer is."""
        self.watch.check()
        self.watch.say(f"{self.layer}, {100 * done // total} %")

    def _run(self, tile: Callable[[], Interval], entries: int) -> Interval:
        """One tile; ``entries`` is about what its gradient keeps, unless it is computed again."""
        if not torch.is_grad_enabled():
            return tile()
        self._kept += entries
        if self._kept <= _KEPT.get(self.box.lower.device.type, _KEPT["cpu"]):
            return tile()
        return checkpoint(tile, use_reentrant=False)

    def mask_or_relaxation(self, position: int) -> Relaxation:
        """A layer's lines; of a node that has none, ones inside of the image."""
        if position in self.relaxations:
            return self.relaxations[position]
        inside = self.box.lower.new_ones(self.box.batch, *self.network.nodes[position].shape)
        return Relaxation(inside, inside, None, None)


def open_tiles(is_open: Tensor, most: int) -> Iterator[tuple[Tensor, list[tuple[Tensor, Tensor]]]]:
    """Boxes that go through a pass together, with the tiles of their open entries.

    Parameters
    ----------
    is_open : boolean Tensor, shape ``[batch, entries]``
    most : int
        Neurons of one tile, of all its boxes together, or of one box.

    Yields
    ------
    boxes : integer Tensor, shape ``[boxes]``
        Those with about as many open entries go together.
    tiles : list of (places, keep)
        Entries ``[boxes, neurons]``, and where they are open: where a box has fewer than others,
        the rest is not kept.
    """
    counts = is_open.sum(dim=1)
    order = counts.argsort(descending=True)
    first = 0
    while first < len(is_open) and (largest := int(counts[order[first]])):
        rows = min(largest, most)
        part = order[first : first + max(1, min(_TILE_BOXES, most // rows))]
        first += len(part)
        chosen = is_open[part].to(torch.int8).topk(largest, dim=1)
        columns = [slice(start, start + rows) for start in range(0, largest, rows)]
        yield part, [(chosen.indices[:, at], chosen.values[:, at] > 0) for at in columns]


def tile_entries(device: torch.device) -> int:
    """Entries that the largest coefficient tensor of one tile may have on a device."""
    return _TILE.get(device.type, _TILE["cpu"])


def narrow(
    relaxation: Relaxation, samples: slice, keep: Callable[[Tensor], Tensor] = lambda values: values
) -> Relaxation:
    """The relaxation of some of the samples, each array passed through ``keep``."""
    return relaxation.map(lambda values: keep(values[samples]))


def _join(parts: list[Interval], axis: int) -> Interval:
    if len(parts) == 1:
        return parts[0]
    return torch.cat([p[0] for p in parts], axis), torch.cat([p[1] for p in parts], axis)
