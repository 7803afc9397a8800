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
from sensverify.bounds.window_plan import Phase, WindowPlan
from sensverify.bounds.windows import Small, SmallNetworks
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
        rows = self.network.nodes[target].shape[0]
        found = []
        for phase in plan.phases:
            places = torch.from_numpy(phase.places).to(is_open.device)

            def by_place(values: Tensor, places: Tensor = places) -> Tensor:
                chosen = values.unflatten(1, (rows, -1))[:, :, places]
                return chosen.transpose(1, 2).flatten(0, 1)

            # A place of a box with its channels is what a box with its neurons is elsewhere.
            wanted = None if signs is None else by_place(signs)
            (part, channels), low, high = self._open_phase(phase, by_place(is_open), wanted)
            box, at = part // len(places), places[part % len(places)]
            found.append((box, channels * plan.positions + at, low, high))
        box, entries, low, high = (torch.cat(parts) for parts in zip(*found, strict=True))
        return (box, entries), low, high

    def _open_phase(self, phase: Phase, is_open: Tensor, signs: Tensor | None) -> Open:
        small, positions = self.small(phase), len(phase.places)

        def within(part: Tensor, chosen: Tensor, signs: Tensor | None) -> Interval:
            return self._pass_in(small.at(part // positions, part % positions), chosen, signs)

        return self._open(within, is_open, signs, (phase.largest, phase.entries), None)

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
        """Every position by a small network, ``[batch, channels, positions]``."""
        rows, done, found = self.network.nodes[target].shape[0], 0, []
        for phase in plan.phases:
            wanted = None
            if signs is not None:
                places = torch.from_numpy(phase.places).to(signs.device)
                wanted = signs.unflatten(1, (rows, -1))[:, :, places].transpose(1, 2)
            found.append(self._phase(rows, phase, wanted, (done, plan.positions)))
            done += len(phase.places)
        low, high = _join(found, 2)
        if len(found) > 1:
            order = torch.from_numpy(plan.order).to(low.device)
            low, high = low.index_select(2, order), high.index_select(2, order)
        return low, high

    def _phase(
        self, rows: int, phase: Phase, signs: Tensor | None, progress: tuple[int, int]
    ) -> Interval:
        """Tiles over samples and positions; ``signs [batch, positions, rows]``."""
        batch, positions = self.box.batch, len(phase.places)
        entries = tile_entries(self.box.lower.device) // (rows * phase.largest)
        sample_tile = max(1, min(batch, entries))
        position_tile = max(1, min(positions, entries // sample_tile))
        kept = 2 * rows * sample_tile * position_tile * phase.entries
        cells = []
        for start in range(0, batch, sample_tile):
            samples = slice(start, min(start + sample_tile, batch))
            small = self.small(phase, samples)
            wanted = None if signs is None else signs[samples]

            def tile(
                part: slice, small: SmallNetworks = small, wanted: Tensor | None = wanted
            ) -> Interval:
                chosen = None if wanted is None else wanted[:, part].flatten(0, 1)
                found = self._pass_in(small.everywhere(part), slice(None), chosen)
                # [samples * positions, rows] -> [samples, rows, positions]
                count = len(range(positions)[part])
                low, high = (end.reshape(-1, count, rows).transpose(1, 2) for end in found)
                return low, high

            parts = []
            for first in range(0, positions, position_tile):
                before, of = progress
                self._between(before * batch + start * positions + first, of * batch)
                # Bound now: the backward sweep calls it again, when `tile` is another one.
                part = slice(first, first + position_tile)
                parts.append(self._run(partial(tile, part), kept))
            cells.append(_join(parts, 2))
        return _join(cells, 0)

    def small(self, phase: Phase, samples: slice = slice(None)) -> SmallNetworks:
        """The small networks of a phase's positions, for some samples."""
        return SmallNetworks(self.network, self.box, self.relaxations, phase, samples)

    def _pass_in(self, small: Small, objectives: Tensor | slice, signs: Tensor | None) -> Interval:
        """`_pass` in small networks."""
        network, relaxations, lower, upper = small
        return self._pass(network, objectives, relaxations, lower, upper, signs=signs)

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
