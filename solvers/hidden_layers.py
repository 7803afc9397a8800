"""Bounds on hidden layers before a program is written: the tightest of the cheap ones.

Neither CROWN nor LP-dual nor interval arithmetic bounds hidden layers tightest everywhere, and a
relaxation is as good as the bounds that it is made from. So both ends of every neuron are the best
of the three. The lines of CROWN and of LP-dual are kept, with the intercepts that these narrower
intervals allow: with fixed slopes, they never prove less than they did on their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds import Crown, Ibp, LpDual
from sensverify.bounds.crown import layer_bounds
from sensverify.bounds.ibp import Interval
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.method import PreActivationBounds
from sensverify.bounds.proofs import LayerProof, flat_bounds, flat_lines, in_order, layer_proof
from sensverify.bounds.relaxation import line_intercepts
from sensverify.bounds.unstable import count_unstable
from sensverify.core.proof import Hidden
from sensverify.runs.watch import Watch
from sensverify.solvers.brackets import Brackets

CLOSE = 1e-12
"""Distance, relative to their size, up to which two bounds differ by rounding alone."""

Better = dict[int, tuple[Tensor, Tensor]]
"""For a nonlinear node, where LP-dual's lower and upper ends are the best: boolean tensors."""


@dataclass(frozen=True, eq=False)
class HiddenLayers:
    """Bounds on hidden layers, and the passes that use them.

    Parameters
    ----------
    intermediate : method or None
        Where the bounds come from; None is the best of CROWN, LP-dual and interval arithmetic.
    passes : tuple of LayerBounds
        All on the same bounds, with different lines: CROWN's for these bounds; then, without an
        intermediate method, those of CROWN and of LP-dual on bounds of their own.
    better : Better
    chosen : integer Tensor, shape ``[batch, 2 * rows]``
        The pass that proves most of each row of ``[C, -C]``.
    """

    intermediate: PreActivationBounds | None
    passes: tuple[LayerBounds, ...]
    better: Better
    chosen: Tensor

    @property
    def pre_activations(self) -> dict[int, Interval]:
        """Bounds on the input of each nonlinear node."""
        return self.passes[0].pre_activations

    @property
    def unstable(self) -> Tensor:
        """The number of neurons that are not linear on their interval, ``[batch]``."""
        layers = self.passes[0]
        return count_unstable(layers.network, layers.pre_activations, layers.box.batch)

    def proof(self) -> LayerProof:
        """A proof of the bounds, with the lines of the pass that proves most of every row."""
        layers = self.passes[0]
        if len(self.passes) == 1:
            return layer_proof(layers, self.intermediate, chords=False)
        batch = layers.box.batch
        samples = np.arange(batch)
        lines = in_order(
            [flat_lines(p.network, p.relaxations, batch, chords=False) for p in self.passes]
        )
        lower, upper = flat_bounds(layers.pre_activations, batch)
        own = []
        # Behind CROWN's lines and intervals, from which all other bounds follow.
        for side, mask in zip((-1, 1), flat_bounds(self.better, batch), strict=True):
            sample, entry = np.nonzero(mask)
            own.append(np.stack([sample, entry, np.full(len(entry), side), sample + 2 * batch]))
        hidden = Hidden(samples, lower, upper, samples + batch, *np.concatenate(own, axis=1))
        return LayerProof(hidden, lines, samples[:, None] + batch * self.chosen.numpy())


def prepare(
    known: Brackets, intermediate: PreActivationBounds | None, watch: Watch
) -> HiddenLayers:
    """Bound the hidden layers, and prove of the objectives what follows from their lines."""
    with torch.no_grad():
        passes, better = _passes(known, intermediate, watch)
        rows = known.objectives[:, : known.objectives.shape[1] // 2]
        ends = [layers.objective_bounds(rows) for layers in passes]
    for lower, upper in ends:
        known.prove_all(lower, upper)
    proven = torch.stack([torch.cat([lower, -upper], dim=1) for lower, upper in ends])
    return HiddenLayers(intermediate, passes, better, proven.argmax(dim=0))


def _passes(
    known: Brackets, intermediate: PreActivationBounds | None, watch: Watch
) -> tuple[tuple[LayerBounds, ...], Better]:
    network, box = known.network, known.box
    if intermediate is not None:
        return (layer_bounds(network, box, Crown(intermediate), watch, proof=True),), {}
    alone = [layer_bounds(network, box, method, watch) for method in (Crown(), LpDual())]
    intervals = Ibp().pre_activations(network, box)
    best: dict[int, Interval] = {}
    better: Better = {}
    for position, first in alone[0].pre_activations.items():
        ends = first, intervals[position], alone[1].pre_activations[position]
        best[position], better[position] = _met(*ends)
    layers = LayerBounds(network, box, Crown.slope, watch).fill(best)
    return (layers, *(_on(layers, part) for part in alone)), better


def _met(
    first: Interval, intervals: Interval, second: Interval
) -> tuple[Interval, tuple[Tensor, Tensor]]:
    """The best ends, and where they are those of the second.

    An interval that overflowed to NaN says nothing.
    """
    lower, upper = torch.fmax(first[0], intervals[0]), torch.fmin(first[1], intervals[1])
    slack = CLOSE * (1 + lower.abs() + upper.abs())
    below, above = second[0] > lower + slack, second[1] < upper - slack
    lower, upper = torch.where(below, second[0], lower), torch.where(above, second[1], upper)
    # Rounding can cross the ends of a very thin interval.
    return (torch.minimum(lower, upper), torch.maximum(lower, upper)), (below, above)


def _on(layers: LayerBounds, other: LayerBounds) -> LayerBounds:
    """The slopes of another pass on the bounds of the layers."""
    relaxations = {}
    for position, (lower, upper) in layers.pre_activations.items():
        operator, lines = layers.network.nodes[position].operator, other.relaxations[position]
        ends = lower.unsqueeze(1), upper.unsqueeze(1)
        relaxations[position] = line_intercepts(
            operator, lines.lower_slope, lines.upper_slope, *ends
        )
    known = layers.pre_activations
    return LayerBounds(layers.network, layers.box, other.slope, layers.watch, known, relaxations)
