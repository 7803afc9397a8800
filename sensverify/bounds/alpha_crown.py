"""Alpha-CROWN: CROWN with the free slopes optimised for every single bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.backward import backward_bounds
from sensverify.bounds.crown import layer_bounds
from sensverify.bounds.free_lines import chosen_lines, crown_choice, has_choice, project
from sensverify.bounds.ibp import Interval, count_unstable, entries_of, nonlinear_nodes
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.method import Method, PreActivationBounds
from sensverify.bounds.proofs import flat_lines, layer_proof
from sensverify.bounds.relaxation import Relaxation, Slope
from sensverify.bounds.tiles import narrow, tile_entries
from sensverify.core.box import Box
from sensverify.core.proof import Lines
from sensverify.core.results import Enclosure, Guarantee
from sensverify.core.sets import InputSet
from sensverify.errors import BadSetting
from sensverify.network import Network
from sensverify.registry.ranges import Above0, Range, Seconds
from sensverify.runs.watch import Watch

Slopes = dict[int, tuple[Tensor, Tensor | None]]
"""For a node, its free lower slopes and, unless it is a ReLU, its free upper slopes, each
``[batch, rows, *shape]``; of a `Product`, the shares of McCormick's planes."""


@dataclass(frozen=True)
class AlphaCrown(Method):
    """CROWN whose relaxation slopes are optimised by projected gradient steps.

    Every bound has slopes of its own: one set for the lower and one for the upper end of every
    objective and sample. Each iterate is a sound bound, CROWN's the first of them, and the best
    of each is kept: no bound is ever worse than CROWN's with the same intermediate bounds.

    Parameters
    ----------
    steps : int
        Gradient steps (Adam); 0 gives CROWN itself.
    seconds : float or None
        Stop early after this much wall time; what is found by then is returned.
    learning_rate : float
        Of Adam, decayed by 2 % a step.
    intermediate : method or None
        Where the bounds on hidden layers come from; None is the CROWN pass on every layer. They
        stay fixed.

    Notes
    -----
    Guarantee SOUND. Source: Xu et al. 2021, *Fast and complete: enabling complete verification
    with massively parallel incomplete verifiers*, Section 3.1. Gradients in the network's
    parameters and in the box treat the slopes as constants, which is exact at an optimum.
    """

    steps: Annotated[int, Range(0)] = 20
    seconds: Seconds | None = None
    learning_rate: Above0 = 0.25
    intermediate: PreActivationBounds | None = None

    name: ClassVar[str] = "alpha-crown"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND
    slope = Slope.ADAPTIVE
    """The lines that prove its bounds on layers."""
    anytime: ClassVar[bool] = True
    sets = (InputSet,)
    proves_sets = True

    def extra_entries(self, network: Network, rows: int) -> int:
        """Numbers kept for each sample on top of CROWN's: slopes, gradients, Adam's averages."""
        return 12 * rows * sum(prod(network.nodes[p].shape) for p in nonlinear_nodes(network))

    def proof_entries(self, network: Network, rows: int) -> int:
        """Numbers of a proof for each sample: slopes for both ends of every row, twice over."""
        return (8 + 8 * rows) * entries_of(network)

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        return self._optimise(network, box, objectives, watch, proof=False)

    def prove(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """The bounds with the best slopes of every end, in the dtype of the computation."""
        return self._optimise(network, box, objectives, watch, proof=True)

    def _optimise(
        self, network: Network, box: Box, objectives: Tensor, watch: Watch | None, *, proof: bool
    ) -> Enclosure:
        if torch.is_inference_mode_enabled():
            raise BadSetting(
                "alpha-crown optimises with autograd, which torch.inference_mode() switches off",
                "use torch.no_grad() instead",
            )
        watch = (watch or Watch()).within(self.seconds)
        layers = layer_bounds(network, box, self, watch)
        lower, upper = layers.objective_bounds(objectives)
        unstable = count_unstable(network, layers.pre_activations, box.batch)
        known = layer_proof(layers, self.intermediate) if proof else None
        if not _free(layers):
            certificate = None if known is None else known.proof()
            return Enclosure(
                lower,
                upper,
                unstable=unstable,
                certificate=certificate,
                stopped=layers.cut_short,
            )
        # Lower bounds of c and of -c: both ends in one pass, each with slopes of its own.
        both = torch.cat([objectives, -objectives], dim=1)
        first = torch.cat([lower, -upper], dim=1)
        widest = max(prod(node.shape) for node in network.nodes)
        step = max(1, tile_entries(box.lower.device) * 8 // (widest * both.shape[1]))
        tiles = range(0, box.batch, step)
        parts, chosen = [], []
        for done, begin in enumerate(tiles):
            samples = slice(begin, min(begin + step, box.batch))
            # An equal share of the time that is left for each tile that is left.
            part = watch.within(watch.left / (len(tiles) - done))
            rows = both[samples] if len(both) > 1 else both
            best, slopes = self._tighten(layers, samples, rows, first[samples], part)
            watch.say(f"slopes of {samples.stop} of {box.batch} samples optimised")
            parts.append(best)
            if proof:
                chosen.append(_lines(layers, samples, slopes, rows.shape[1]))
            # Not to lie beside those of the next tile.
            del slopes
        best, count = torch.cat(parts), objectives.shape[1]
        certificate = None
        if known is not None:
            own = np.arange(best.numel()).reshape(best.shape)
            certificate = known.proof_by_rows(own, chosen)
        return Enclosure(
            best[:, :count],
            -best[:, count:],
            unstable=unstable,
            certificate=certificate,
            stopped=watch.over,
        )

    def _tighten(
        self, layers: LayerBounds, samples: slice, rows: Tensor, first: Tensor, watch: Watch
    ) -> tuple[Tensor, Slopes]:
        """The best lower bounds found for one tile of samples, ``[samples, rows]``, and how."""
        network, box = layers.network, layers.box
        output = len(network.nodes) - 1
        objectives = rows.reshape(*rows.shape[:2], *network.output_shape)

        def lower_bounds(slopes: Slopes, detach: bool) -> Tensor:
            keep: Callable[[Tensor], Tensor] = Tensor.detach if detach else _same
            relaxations = _relaxations(layers, samples, slopes, keep)
            fixed = network.map_arrays(Tensor.detach) if detach else network
            ends = keep(box.lower[samples]), keep(box.upper[samples])
            inside = box[samples] if isinstance(box, InputSet) else None
            rows = keep(objectives)
            return backward_bounds(
                fixed, output, rows, relaxations, *ends, both=False, inside=inside
            )[0]

        slopes = _initial_slopes(layers, samples, rows.shape[1])
        best, chosen = first.detach().clone(), _copied(slopes)
        variables = [v.requires_grad_() for pair in slopes.values() for v in pair if v is not None]
        optimizer = torch.optim.Adam(variables, lr=self.learning_rate)
        for _ in range(self.steps):
            if watch.over:
                break
            with torch.enable_grad():
                bound = lower_bounds(slopes, detach=True)
                better = bound.detach() > best
                best = torch.where(better, bound.detach(), best)
                _keep_better(chosen, slopes, better)
                optimizer.zero_grad()
                (-bound.sum()).backward()
            optimizer.step()
            optimizer.param_groups[0]["lr"] *= 0.98
            _project(layers, slopes)
        if not watch.over:
            last = lower_bounds(slopes, detach=True).detach()
            better = last > best
            best = torch.where(better, last, best)
            _keep_better(chosen, slopes, better)
        if not torch.is_grad_enabled():
            return best, chosen
        live = lower_bounds(chosen, detach=False)
        # The values found are returned; gradients are those of the pass with the chosen slopes.
        return torch.where(live >= first, live, first), chosen


def _same(values: Tensor) -> Tensor:
    return values


def _free(layers: LayerBounds) -> list[int]:
    """Nodes whose lines can be chosen."""
    return [p for p in layers.relaxations if has_choice(layers.network.nodes[p].operator)]


def _initial_slopes(layers: LayerBounds, samples: slice, rows: int) -> Slopes:
    slopes: Slopes = {}
    for position in _free(layers):
        operator = layers.network.nodes[position].operator
        ends = (end.unsqueeze(1) for end in layers.pre_activations[position])
        low, high = crown_choice(operator, layers.relaxations[position], *ends)

        def spread(values: Tensor) -> Tensor:
            values = values[samples].detach()
            return values.expand(len(values), rows, *values.shape[2:]).clone()

        slopes[position] = (spread(low), None if high is None else spread(high))
    return slopes


def _relaxations(
    layers: LayerBounds, samples: slice, slopes: Slopes, keep: Callable[[Tensor], Tensor]
) -> dict[int, Relaxation]:
    """The relaxations with free slopes put in; intercepts follow, so each is sound."""
    result = {}
    for position, relaxation in layers.relaxations.items():
        result[position] = narrow(relaxation, samples, keep)
        if position in slopes:
            operator = layers.network.nodes[position].operator
            ends: Interval = layers.pre_activations[position]
            lower, upper = (keep(end[samples]).unsqueeze(1) for end in ends)
            lines = chosen_lines(operator, slopes[position], result[position], lower, upper)
            result[position] = lines
    return result


def _lines(layers: LayerBounds, samples: slice, slopes: Slopes, rows: int) -> Lines:
    """The slopes that the relaxations with free slopes put in come to."""
    relaxations = _relaxations(layers, samples, slopes, Tensor.detach)
    batch = samples.stop - samples.start
    return flat_lines(layers.network, relaxations, batch, rows, layers.box.lower.dtype)


def _project(layers: LayerBounds, slopes: Slopes) -> None:
    """Put what is chosen back to where it proves something."""
    with torch.no_grad():
        for position, pair in slopes.items():
            project(layers.network.nodes[position].operator, pair)


def _copied(slopes: Slopes) -> Slopes:
    return {
        p: (low.detach().clone(), None if high is None else high.detach().clone())
        for p, (low, high) in slopes.items()
    }


def _keep_better(chosen: Slopes, slopes: Slopes, better: Tensor) -> None:
    for position, pair in slopes.items():
        for kept, new in zip(chosen[position], pair, strict=True):
            if kept is not None and new is not None:
                mask = better.reshape(*better.shape, *(1,) * (new.ndim - 2))
                kept.copy_(torch.where(mask, new.detach(), kept))
