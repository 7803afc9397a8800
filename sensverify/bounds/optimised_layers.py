"""Bounds on every layer with the slopes optimised for each end of each neuron, layer after layer.

The bounds on a layer are the lines of the next ones, and tighter bounds make tighter lines. With
slopes of its own for every end there is nothing to trade between neurons: what is best for each is
best for whatever is asked of the network. So layers are optimised one after the other, once for all
objectives, and no gradient goes back through the bounds of earlier layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sensverify.bounds.ibp import Interval, entries_of, interval_at, nonlinear_nodes
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.needed import only_signs_matter, range_follows
from sensverify.bounds.proofs import flat_lines
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.signs import Signs
from sensverify.bounds.slope_search import Functions, Slopes, best_slopes
from sensverify.bounds.tensors import flattened
from sensverify.bounds.tiles import open_tiles, tile_entries
from sensverify.bounds.window_plan import WindowPlan
from sensverify.core.proof import Lines, OwnLines, concatenated
from sensverify.network.operators import Relu
from sensverify.network.shapes import Shape
from sensverify.runs.watch import Watch

_KEPT = 1 << 23
"""Slopes on all entries that a tile may have where they are kept."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Neurons of one layer, of which both ends are searched for together.

    Parameters
    ----------
    functions : Functions
        Rows of the neurons, and then their negatives: ``[boxes, 2 * neurons]``.
    boxes, places : integer Tensor, shape ``[boxes, neurons]``
        Where the neurons are: the box, and the entry of the layer.
    keep : boolean Tensor, shape ``[boxes, neurons]``
        False where a box has fewer open neurons than others of the tile.
    windows : dict from node to ``(place, image, index)``, optional
        For functions of a window's network: where its nonlinear nodes are in it, the shape of the
        image that they are seen as, and the entries that the windows see, ``[boxes, window]``;
        None: all.
    """

    functions: Functions
    boxes: Tensor
    places: Tensor
    keep: Tensor
    windows: dict[int, tuple[int, Shape, Tensor | None]] | None = None


@dataclass(eq=False)
class OptimisedLayers(LayerBounds):
    """`LayerBounds` of which every open end has the best slopes that a search finds.

    A neuron of which only the sign matters is open while CROWN does not tell its sign; any other is
    open. Every end is at least as good as CROWN's and as an interval's over the optimised layers.

    Notes
    -----
    Through windows, the lines of nonlinear functions other than ReLU are CROWN's.
    """

    _steps: int = 0
    _rate: float = 0.0
    _keep: bool = False
    _parts: list[OwnLines] = field(default_factory=list)

    def optimised(self, steps: int, learning_rate: float, *, keep: bool) -> OptimisedLayers:
        """Bound the input of every nonlinear node.

        Parameters
        ----------
        steps, learning_rate
            Of `best_slopes`.
        keep : bool
            Whether the slopes are kept, as ``own``.
        """
        self._steps, self._rate, self._keep = steps, learning_rate, keep
        self.fill()
        if self._parts:
            self.own = concatenated(self._parts)
        return self

    def _source_bounds(self, position: int, signs: Signs | None) -> Interval:
        lower, upper = super()._source_bounds(position, signs)
        source = self.network.nodes[position].inputs[0]
        exact = not any(p <= source for p in self.relaxations)
        if self.cut_short or exact or range_follows(self.network, source):
            return lower, upper
        if not self._set:
            ends = (self.box.lower, self.box.upper)
            low, high = interval_at(self.network, source, ends, self.pre_activations)
            # An interval that overflowed to NaN says nothing.
            lower, upper = torch.fmax(lower, low), torch.fmin(upper, high)
        is_open = (lower < upper).detach()
        if only_signs_matter(self.network, source):
            is_open &= (lower < 0) & (upper > 0)
        left = len(nonlinear_nodes(self.network)) - len(self.pre_activations)
        # Half of the time that is left is for the slopes, and half of it for passes to come.
        watch = self.watch.within(self.watch.left / (2 * left))
        shape, lower, upper = lower.shape, flattened(lower).clone(), flattened(upper).clone()
        plan = self._plan(source)
        if plan is not None and any(phase.stand_ins for phase in plan.phases):
            plan = None  # Slopes that are kept as proof are those of all numbers.
        is_open = flattened(is_open)
        tiles = self._rows(source, is_open) if plan is None else self._windows(plan, is_open)
        for tile in tiles:
            if watch.over:
                break
            self.watch.say(f"slopes of {self._tiles.layer}")
            known = torch.cat([lower[tile.boxes, tile.places], -upper[tile.boxes, tile.places]], 1)
            found, slopes = self._search(tile, known, watch)
            low, high = found.chunk(2, dim=1)
            where = tile.boxes[tile.keep], tile.places[tile.keep]
            # Rounding can cross the ends of a very thin interval.
            lower[where] = torch.minimum(low, -high)[tile.keep]
            upper[where] = torch.maximum(low, -high)[tile.keep]
            if self._keep:
                self._parts += self._own(source, tile, slopes)
        return lower.reshape(shape), upper.reshape(shape)

    def _search(self, tile: Tile, known: Tensor, watch: Watch) -> tuple[Tensor, Slopes]:
        live = torch.is_grad_enabled()
        keep = self._keep or live
        functions = tile.functions
        best, slopes = best_slopes(
            functions, self._steps, self._rate, watch, known=known, keep=keep
        )
        if live and slopes:
            # The values found, with the gradient of the pass that finds them.
            again = checkpoint(functions.least, slopes, use_reentrant=False)
            best = torch.where(again >= known, again, known)
        return best, slopes

    def _rows(self, target: int, is_open: Tensor) -> Iterator[Tile]:
        """Tiles of a node's open entries, dense; boxes with as many go together."""
        size = is_open.shape[1]
        nodes = self.network.nodes
        most = self._at_once(max(prod(node.shape) for node in nodes[: target + 1]))
        for part, tiles in open_tiles(is_open, most):
            for places, keep in tiles:
                objectives = _entries(places, size, self.box.lower)
                functions = self._functions(
                    target, objectives.reshape(len(part), -1, *nodes[target].shape), part
                )
                boxes = part.unsqueeze(1).expand_as(places)
                yield Tile(functions, boxes, places, keep)

    def _at_once(self, widest: int) -> int:
        """Neurons of one tile: both of their ends are searched for, and slopes may be kept."""
        most = tile_entries(self.box.lower.device) // (2 * widest)
        if self._keep:
            most = min(most, _KEPT // (2 * entries_of(self.network)))
        return max(1, most)

    def _functions(self, target: int, objectives: Tensor, part: Tensor) -> Functions:
        relaxations = {p: r.of(part) for p, r in self.relaxations.items() if p <= target}
        ends = {}
        for p in relaxations:
            if not isinstance(self.network.nodes[p].operator, Relu):
                low, high = self.pre_activations[p]
                ends[p] = low[part].unsqueeze(1), high[part].unsqueeze(1)
        box = self.box.lower[part], self.box.upper[part]
        inside = self._tiles.inside(part)
        return Functions(self.network, target, objectives, relaxations, ends, *box, inside)

    def _windows(self, plan: WindowPlan, is_open: Tensor) -> Iterator[Tile]:
        """Tiles of open neurons, each seen through its own windows."""
        for phase in plan.phases:
            places = torch.from_numpy(phase.places).to(is_open.device)
            chosen = is_open.unflatten(1, (-1, plan.positions))[:, :, places]
            if not bool(chosen.any()):
                continue
            small, size = self._tiles.small(phase), self._at_once(phase.largest)
            neurons = chosen.nonzero()
            for first in range(0, len(neurons), size):
                box, channel, position = neurons[first : first + size].unbind(1)
                network, relaxations, lower, upper = small.at(box, position)
                rows = channel.unsqueeze(1)
                last = len(network.nodes) - 1
                objectives = _entries(rows, prod(network.nodes[last].shape), lower)
                functions = Functions(network, last, objectives, relaxations, {}, lower, upper)
                # Of layers that are seen as wholes there is nothing to unroll.
                seen = {
                    p: (
                        place,
                        phase.images.get(p, ()),
                        None if p in phase.whole else small.index[p][position],
                    )
                    for p, place in small.places.items()
                    if p in self.relaxations
                }
                entries = (channel * plan.positions + places[position]).unsqueeze(1)
                keep = torch.ones_like(rows, dtype=torch.bool)
                yield Tile(functions, box.unsqueeze(1), entries, keep, seen)

    def _own(self, source: int, tile: Tile, slopes: Slopes) -> list[OwnLines]:
        """The slopes behind both ends of a tile's neurons, for every node that the layer enters."""
        relaxations = tile.functions.detached().with_slopes(slopes)
        if tile.windows is not None:
            relaxations = {
                p: relaxations[place]
                if index is None
                else _unrolled(relaxations[place], image, index)
                for p, (place, image, index) in tile.windows.items()
            }
        batch, neurons = tile.places.shape
        flat = flat_lines(self.network, relaxations, batch, 2 * neurons, dtype=self.box.lower.dtype)
        chosen, sample, place = (
            torch.cat([part, part], dim=1).flatten().cpu().numpy()
            for part in (tile.keep, tile.boxes, tile.places)
        )
        sample, place = sample[chosen], place[chosen]
        lines = Lines(flat.lower[chosen], None if flat.upper is None else flat.upper[chosen])
        side = np.tile(np.repeat([-1, 1], neurons), batch)[chosen]
        found, first = [], 0
        for position in nonlinear_nodes(self.network):
            (entered,) = self.network.nodes[position].inputs
            if entered == source:
                found.append(OwnLines(sample, first + place, side, lines))
            first += prod(self.network.nodes[entered].shape)
        return found


def _unrolled(relaxation: Relaxation, image: Shape, index: Tensor) -> Relaxation:
    """Slopes of windows as slopes of the whole layer, 0 where the windows do not reach."""
    boxes, window = index.shape
    sides = []
    for slope in (relaxation.lower_slope, relaxation.upper_slope):
        numbers = slope.shape[3:]
        rows = slope.reshape(boxes, -1, image[0], window, *numbers)
        rows = rows.expand(boxes, 2, *rows.shape[2:])
        # One more number in each channel: what lies outside of the image.
        whole = rows.new_zeros(boxes, 2, image[0], prod(image[1:]) + 1, *numbers)
        places = index.view(boxes, 1, 1, window, *(1 for _ in numbers)).expand_as(rows)
        whole.scatter_(3, places, rows)
        sides.append(whole[:, :, :, :-1].reshape(boxes, 2, *image, *numbers))
    return Relaxation(sides[0], sides[1], None, None)


def _entries(places: Tensor, size: int, like: Tensor) -> Tensor:
    """Rows that are entries, and then their negatives: ``[boxes, 2 * neurons, size]``."""
    rows = like.new_zeros(*places.shape, size)
    rows.scatter_(2, places.unsqueeze(2), 1.0)
    return torch.cat([rows, -rows], dim=1)
