"""Alpha-CROWN: CROWN with the free slopes optimised for every single bound."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.crown import layer_bounds
from sensverify.bounds.ibp import Interval, entries_of, nonlinear_nodes
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.method import PreActivationBounds
from sensverify.bounds.optimised_layers import OptimisedLayers
from sensverify.bounds.proofs import flat_lines, layer_proof
from sensverify.bounds.relaxation import Slope
from sensverify.bounds.slope_search import Functions, best_slopes
from sensverify.bounds.tiles import narrow, tile_entries
from sensverify.bounds.unstable import count_unstable
from sensverify.core.box import Box
from sensverify.core.proof import Lines, OwnLines
from sensverify.core.results import Enclosure, Guarantee
from sensverify.core.sets import InputSet
from sensverify.errors import BadSetting
from sensverify.network import Network
from sensverify.network.operators import Relu
from sensverify.registry.ranges import Above0, Range, Seconds
from sensverify.runs.watch import Watch


@dataclass(frozen=True)
class AlphaCrown(PreActivationBounds):
    """CROWN whose relaxation slopes are optimised by projected gradient steps.

    Every bound has slopes of its own: one set for the lower and one for the upper end of every
    objective and sample. Each iterate is a sound bound, CROWN's the first of them, and the best
    of each is kept: no bound is ever worse than CROWN's with the same intermediate bounds.

    As ``intermediate`` of another method it does the same for both ends of every neuron whose
    interval matters, layer after layer: ``AlphaCrown(intermediate=AlphaCrown(steps=8))`` optimises
    the slopes of all layers, once for all objectives.

    Parameters
    ----------
    steps : int
        Gradient steps; 0 gives CROWN itself.
    seconds : float or None
        Stop early after this much wall time; what is found by then is returned.
    learning_rate : float
        Of the first step, as a share of the range of a slope; it falls to 0 over the steps.
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
    learning_rate: Above0 = 0.5
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

    def pre_activations(
        self, network: Network, box: Box, *, watch: Watch | None = None
    ) -> dict[int, Interval]:
        """Bounds on the input of every nonlinear node: optimised, unless they were given."""
        return self._layers(network, box, watch, proof=False).pre_activations

    def proven_pre_activations(
        self, network: Network, box: Box, *, watch: Watch | None = None
    ) -> tuple[dict[int, Interval], OwnLines | None]:
        layers = self._layers(network, box, watch, proof=True)
        return layers.pre_activations, layers.own

    def _layers(
        self, network: Network, box: Box, watch: Watch | None, *, proof: bool
    ) -> LayerBounds:
        _require_autograd()
        watch = (watch or Watch()).within(self.seconds)
        if self.intermediate is not None:
            # Bounds that a method was given are those that it gives.
            return layer_bounds(network, box, self, watch, proof=proof)
        layers = OptimisedLayers(network, box, self.slope, watch)
        return layers.optimised(self.steps, self.learning_rate, keep=proof)

    def _optimise(
        self, network: Network, box: Box, objectives: Tensor, watch: Watch | None, *, proof: bool
    ) -> Enclosure:
        _require_autograd()
        watch = (watch or Watch()).within(self.seconds)
        layers = layer_bounds(network, box, self, watch, proof=proof)
        lower, upper = layers.objective_bounds(objectives)
        unstable = count_unstable(network, layers.pre_activations, box.batch)
        known = layer_proof(layers, self.intermediate) if proof else None
        if not _functions(layers, slice(None), objectives).free():
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
        parts: list[Tensor] = []
        chosen: list[Lines] = []
        for done, begin in enumerate(tiles):
            samples = slice(begin, min(begin + step, box.batch))
            # An equal share of the time that is left for each tile that is left.
            part = watch.within(watch.left / (len(tiles) - done))
            rows = both[samples] if len(both) > 1 else both
            best, lines = self._tighten(layers, samples, rows, first[samples], part, proof=proof)
            watch.say(f"slopes of {samples.stop} of {box.batch} samples optimised")
            parts.append(best)
            chosen += [] if lines is None else [lines]
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
        self,
        layers: LayerBounds,
        samples: slice,
        rows: Tensor,
        first: Tensor,
        watch: Watch,
        *,
        proof: bool,
    ) -> tuple[Tensor, Lines | None]:
        """The best lower bounds found for one tile of samples, ``[samples, rows]``, and how."""
        functions = _functions(layers, samples, rows)
        live = torch.is_grad_enabled()
        best, slopes = best_slopes(
            functions, self.steps, self.learning_rate, watch, known=first, keep=proof or live
        )
        if live:
            # The values found are returned; gradients are those of the pass with the chosen slopes.
            again = functions.least(slopes)
            best = torch.where(again >= first, again, first)
        if not proof:
            return best, None
        relaxations = functions.detached().with_slopes(slopes)
        batch, count = first.shape
        return best, flat_lines(layers.network, relaxations, batch, count, layers.box.lower.dtype)


def _require_autograd() -> None:
    if torch.is_inference_mode_enabled():
        raise BadSetting(
            "alpha-crown optimises with autograd, which torch.inference_mode() switches off",
            "use torch.no_grad() instead",
        )


def _functions(layers: LayerBounds, samples: slice, rows: Tensor) -> Functions:
    """Objectives of some samples, and the lines of all layers."""
    network, box = layers.network, layers.box
    ends = {
        p: (low[samples].unsqueeze(1), high[samples].unsqueeze(1))
        for p, (low, high) in layers.pre_activations.items()
        if not isinstance(network.nodes[p].operator, Relu)
    }
    return Functions(
        network,
        len(network.nodes) - 1,
        rows.reshape(*rows.shape[:2], *network.output_shape),
        {p: narrow(each, samples) for p, each in layers.relaxations.items()},
        ends,
        box.lower[samples],
        box.upper[samples],
        box[samples] if isinstance(box, InputSet) else None,
    )
