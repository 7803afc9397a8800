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

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sensverify.bounds.backward import backward_bounds
from sensverify.bounds.ibp import Interval
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.window_plan import WindowPlan
from sensverify.bounds.windows import (
    RelaxationWindows,
    Windows,
    window_network,
    without_repeats,
)
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

_SPARE = 1 / 8
"""The largest share of a tile that is computed and not kept, because boxes have fewer open neurons
than others: what it costs is about what one more tile costs."""

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
        sizes = [prod(node.shape) for node in self.network.nodes[: target + 1]]

        def within(part: Tensor, chosen: Tensor, signs: Tensor | None) -> Interval:
            relaxations = {p: r.of(part) for p, r in self.relaxations.items() if p <= target}
            ends, inside = (self.box.lower[part], self.box.upper[part]), self.inside(part)
            return self._pass(self.network, chosen, relaxations, *ends, target, inside, signs)

        return self._open(within, is_open, signs, (max(sizes), sum(sizes)), _TILE_BOXES)

    def open_windows(
        self, target: int, plan: WindowPlan, is_open: Tensor, signs: Tensor | None = None
    ) -> Open:
        """The same, through the windows of the places where channels are open."""
        small, nodes, index = self.through(plan)
        ends = self.input_windows(plan)
        layers = {p: self.relaxation_windows(plan, p) for p in nodes}
        places = plan.positions

        def within(part: Tensor, chosen: Tensor, signs: Tensor | None) -> Interval:
            box, place = part // places, part % places
            lower, upper = ends.at(box, index[plan.order[0]][place])
            relaxations = {nodes[p]: layer.at(box, index[p][place]) for p, layer in layers.items()}
            return self._pass(small, chosen, relaxations, lower, upper, signs=signs)

        def by_place(values: Tensor) -> Tensor:
            return values.unflatten(1, (-1, places)).transpose(1, 2).flatten(0, 1)

        # A place of a box with its channels is what a box with its neurons is elsewhere.
        signs = None if signs is None else by_place(signs)
        sizes = plan.largest_window, plan.entries
        (part, channels), low, high = self._open(within, by_place(is_open), signs, sizes, None)
        return (part // places, channels * places + part % places), low, high

    def _open(
        self,
        within: Callable[[Tensor, Tensor, Tensor | None], Interval],
        is_open: Tensor,
        signs: Tensor | None,
        sizes: tuple[int, int],
        boxes: int | None,
    ) -> Open:
        """Tiles of open entries, each by ``within(boxes, entries, signs)``.

        ``sizes`` are the entries of the largest layer and of all; a tile has at most so many boxes.
        """
        most = max(1, tile_entries(self.box.lower.device) // sizes[0])
        found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        before = 0
        for part, tiles in open_tiles(is_open, most, boxes or most):
            for number, (chosen, keep) in enumerate(tiles):
                done = before * len(tiles) + number * len(part)
                self._between(done, len(is_open) * len(tiles))
                at = None if signs is None else signs[part].gather(1, chosen)
                low, high = self._run(
                    partial(within, part, chosen, at), 2 * keep.numel() * sizes[1]
                )
                box = part.unsqueeze(1).expand_as(keep)
                found.append((box[keep], chosen[keep], low[keep], high[keep]))
            before += len(part)
        if not found:
            none, empty = is_open.new_zeros(0, dtype=torch.int64), self.box.lower.new_zeros(0)
            return (none, none), empty, empty
        box, chosen, low, high = (torch.cat(parts) for parts in zip(*found, strict=True))
        return (box, chosen), low, high

    def windows(self, target: int, plan: WindowPlan, signs: Tensor | None = None) -> Interval:
        """Tiles over samples and positions; every position is a small network."""
        small, places, index = self.through(plan)
        rows = prod(small.nodes[-1].shape)
        entries = tile_entries(self.box.lower.device) // (rows * plan.largest_window)
        sample_tile = max(1, min(self.box.batch, entries))
        position_tile = max(1, min(plan.positions, entries // sample_tile))
        kept = 2 * rows * sample_tile * position_tile * plan.entries
        cells = []
        for start in range(0, self.box.batch, sample_tile):
            samples = slice(start, min(start + sample_tile, self.box.batch))
            ends = self.input_windows(plan, samples)
            layers = {p: self.relaxation_windows(plan, p, samples) for p in places}

            wanted = None
            if signs is not None:
                shape = (samples.stop - start, rows, plan.positions)
                wanted = signs[samples].reshape(shape).transpose(1, 2)

            def tile(
                part: slice,
                ends: Windows = ends,
                layers: dict[int, RelaxationWindows] = layers,
                wanted: Tensor | None = wanted,
            ) -> Interval:
                seen = index[plan.order[0]][part]
                lower, upper = ends.cut(seen)
                relaxations = {places[p]: layer.cut(index[p][part]) for p, layer in layers.items()}
                chosen = None if wanted is None else wanted[:, part].flatten(0, 1)
                found = self._pass(small, slice(None), relaxations, lower, upper, signs=chosen)
                # [samples * positions, rows] -> [samples, rows, positions]
                low, high = (end.reshape(-1, len(seen), rows).transpose(1, 2) for end in found)
                return low, high

            parts = []
            for first in range(0, plan.positions, position_tile):
                self._between(start * plan.positions + first, self.box.batch * plan.positions)
                # Bound now: the backward sweep calls it again, when `tile` is another one.
                part = slice(first, first + position_tile)
                parts.append(self._run(partial(tile, part), kept))
            cells.append(_join(parts, 2))
        return _join(cells, 0)

    def through(self, plan: WindowPlan) -> tuple[Network, dict[int, int], dict[int, Tensor]]:
        """The small network of a plan, the places of its nodes, and the windows by node."""
        device = self.box.lower.device
        small, places = window_network(self.network, plan, device)
        nodes = (plan.order[0], *places)
        return small, places, {p: torch.from_numpy(plan.index[p]).to(device) for p in nodes}

    def input_windows(self, plan: WindowPlan, samples: slice = slice(None)) -> Windows:
        """Both ends of the boxes, as the first node of a plan sees them."""
        ends = [end[samples] for end in (self.box.lower, self.box.upper)]
        if plan.view is not None:
            view = torch.from_numpy(plan.view).to(ends[0].device)
            ends = [end.flatten(1)[:, view] for end in ends]
        return Windows(self.network.nodes[plan.order[0]].shape, *ends)

    def relaxation_windows(
        self, plan: WindowPlan, position: int, samples: slice = slice(None)
    ) -> RelaxationWindows:
        """A layer's lines; of a node that has none, ones inside of the image."""
        if position in self.relaxations:
            relaxation = narrow(self.relaxations[position], samples)
            stand_for = plan.stand_ins.get(self.network.nodes[position].inputs[0])
            if stand_for is not None:
                relaxation = without_repeats(relaxation, stand_for)
        else:
            inside = self.box.lower[samples]
            inside = inside.new_ones(len(inside), *self.network.nodes[position].shape)
            relaxation = Relaxation(inside, inside, None, None)
        return RelaxationWindows(self.network.nodes[position].shape, relaxation)

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


def open_tiles(
    is_open: Tensor, most: int, boxes: int = _TILE_BOXES
) -> Iterator[tuple[Tensor, list[tuple[Tensor, Tensor]]]]:
    """Boxes that go through a pass together, with the tiles of their open entries.

    Parameters
    ----------
    is_open : boolean Tensor, shape ``[batch, entries]``
    most : int
        Neurons of one tile, of all its boxes together, or of one box.
    boxes : int
        The most of one tile.

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
    sizes = counts[order].cpu().numpy()
    first = 0
    while first < len(sizes) and sizes[first]:
        rows = min(int(sizes[first]), most)
        size = max(1, min(boxes, most // rows))
        spare = np.cumsum(rows - sizes[first : first + size].clip(max=rows))
        size = max(1, int(np.searchsorted(spare, _SPARE * most, side="right")))
        part = order[first : first + size]
        first += len(part)
        largest = int(sizes[first - size])
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
