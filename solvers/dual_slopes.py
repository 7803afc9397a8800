"""From the duals of the triangle relaxation to slopes: the backward pass that proves its optimum.

A linear program's multipliers say how much of every constraint its bound takes. Of those that hold
a nonlinear node, one number for each entry z of its input matters, the multiplier m on z itself;
the node's output f(z) has in the backward pass a coefficient c, and ``c f(z) >= m z + constant``
is the line that the multipliers stand for: the lower one with slope m / c where c is positive, the
upper one where it is negative. The pass takes the best constant for each such line, so it proves
at least what the multipliers prove.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.adjoint import adjoint
from sensverify.bounds.backward import backward_bounds
from sensverify.bounds.ibp import entries_of, nonlinear_nodes
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.proofs import flat_lines
from sensverify.bounds.relaxation import Relaxation, line_intercepts
from sensverify.bounds.tensors import flattened
from sensverify.bounds.tiles import narrow
from sensverify.core.proof import Lines, Proof
from sensverify.network import Network
from sensverify.network.operators import Windowed
from sensverify.solvers.encoding import Encoding
from sensverify.solvers.hidden_layers import HiddenLayers

NOTHING = 1e-12
"""A coefficient is rounding when it is this small beside the largest of its row and node."""

STEEPEST = 1e4
"""Steeper lines multiply rounding in the coefficients by more than they can be worth."""


@dataclass(eq=False)
class DualSlopes:
    """Collects the slopes for both ends of every objective, sample after sample.

    The bounds are those of the dual of the relaxation over one choice of slopes a row. Source:
    Salman et al. 2019, *A convex relaxation barrier to tight robustness verification of neural
    networks*, Theorem 4.2; the multipliers may be any, as in Neumaier & Shcherbina 2004, *Safe
    bounds in linear and mixed-integer linear programming*, Section 3.

    Parameters
    ----------
    hidden : HiddenLayers
        In float64: the bounds and lines that the relaxation was made from.
    objectives : Tensor, shape ``[batch or 1, rows, outputs]``
    first : Tensor, shape ``[batch, rows]``
        What the lines of the layers prove; duals that do not prove more are dropped.
    """

    hidden: HiddenLayers
    objectives: Tensor
    first: Tensor
    _own: np.ndarray = field(init=False)
    _sets: list[Lines] = field(default_factory=list)

    @property
    def layers(self) -> LayerBounds:
        """With the lines that the multipliers say nothing about."""
        return self.hidden.passes[0]

    def __post_init__(self) -> None:
        self._own = np.full(self.first.shape, -1, dtype=np.int64)

    def add(self, sample: int, encoding: Encoding, weights: dict[int, np.ndarray]) -> None:
        """The rows of a sample that were solved.

        Parameters
        ----------
        sample : int
        encoding : Encoding
        weights : dict from row to the array of `entry_weights`
        """
        if not weights:
            return
        rows = list(weights)
        objectives = self.objectives[sample if len(self.objectives) > 1 else 0, rows]
        one = slice(sample, sample + 1)
        relaxations = {p: narrow(r, one) for p, r in self.layers.relaxations.items()}
        open_ = np.zeros(entries_of(self.layers.network), dtype=bool)
        open_[_places(self.layers.network, encoding)] = True
        chosen = dual_relaxations(
            self.layers,
            sample,
            objectives,
            relaxations,
            torch.from_numpy(np.stack([weights[row] for row in rows])),
            torch.from_numpy(open_),
        )
        reached = self._reached(sample, objectives, chosen)
        better = torch.nonzero(reached > self.first[sample, rows]).reshape(-1).numpy()
        lines = flat_lines(self.layers.network, chosen, 1, len(rows), chords=False)
        assert lines.upper is not None
        count = int(self._own.max(initial=-1)) + 1
        self._own[sample, np.array(rows)[better]] = count + np.arange(len(better))
        self._sets.append(Lines(lines.lower[better], lines.upper[better]))

    def proof(self) -> Proof:
        """Rows with their slopes; those without any with the best lines of the passes."""
        return self.hidden.proof().proof_by_rows(self._own, self._sets)

    def _reached(self, sample: int, objectives: Tensor, chosen: dict[int, Relaxation]) -> Tensor:
        network, box = self.layers.network, self.layers.box
        one = slice(sample, sample + 1)
        rows = objectives.reshape(1, -1, *network.output_shape)
        ends = box.lower[one], box.upper[one]
        last = len(network.nodes) - 1
        return backward_bounds(network, last, rows, chosen, *ends, both=False)[0][0]


def entry_weights(
    network: Network, encoding: Encoding, multipliers: np.ndarray | None
) -> np.ndarray:
    """The multipliers ``[entries]`` on what enters nonlinear nodes.

    Those of the program's rows may be garbage: what a bound counts as zero is zero here too.
    """
    known = encoding.inputs_in_rows
    usable = encoding.problem.usable(multipliers)
    weights = np.zeros(entries_of(network))
    np.add.at(weights, _places(network, encoding), known.factor * usable[known.row])
    return weights


def dual_relaxations(
    layers: LayerBounds,
    sample: int,
    objectives: Tensor,
    relaxations: dict[int, Relaxation],
    weights: Tensor,
    open_: Tensor,
) -> dict[int, Relaxation]:
    """The lines of one backward pass that the multipliers stand for.

    Parameters
    ----------
    layers : LayerBounds
    sample : int
    objectives : Tensor, shape ``[rows, outputs]``
    relaxations : dict from position to Relaxation
        Those of the sample, which give the lines that the multipliers say nothing about.
    weights : Tensor, shape ``[rows, entries]``
        As of `entry_weights`.
    open_ : boolean Tensor, shape ``[entries]``
        Where the program has a relaxation, and not the function itself.
    """
    network, places = layers.network, _first_entries(layers.network)
    last = len(network.nodes) - 1
    pending = {last: objectives.reshape(1, -1, *network.output_shape)}
    result = dict(relaxations)
    for position in range(last, 0, -1):
        coefficient = pending.pop(position, None)
        if coefficient is None:
            continue
        node = network.nodes[position]
        shapes = tuple(network.nodes[source].shape for source in node.inputs)
        if position in relaxations:
            part = slice(places[position], places[position] + prod(shapes[0]))
            lines, onward = _through(
                relaxations[position],
                coefficient.unsqueeze(-1) if isinstance(node.operator, Windowed) else coefficient,
                weights[:, part].reshape(1, -1, *shapes[0]),
                open_[part].reshape(1, 1, *shapes[0]),
            )
            ends = (
                end[sample].reshape(1, 1, *shapes[0]) for end in layers.pre_activations[position]
            )
            result[position] = line_intercepts(node.operator, *lines, *ends)
            parts = [onward]
        else:
            parts = adjoint(node.operator, coefficient, shapes)
        for source, onward in zip(node.inputs, parts, strict=True):
            pending[source] = pending[source] + onward if source in pending else onward
    return result


def _through(
    relaxation: Relaxation, coefficient: Tensor, weights: Tensor, open_: Tensor
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The slopes at one node, and the coefficients on what enters it."""
    low, high = relaxation.lower_slope, relaxation.upper_slope
    size = coefficient.abs()
    least = NOTHING * flattened(size, 2).amax(dim=2).reshape(1, -1, *(1,) * (size.ndim - 2))
    known = open_ & (size > least)
    slope = weights / torch.where(known, coefficient, 1.0)
    known = known & torch.isfinite(slope)
    slope = torch.where(known, slope, 0.0).clamp(-STEEPEST, STEEPEST)
    low = torch.where(known & (coefficient > 0), slope, low)
    high = torch.where(known & (coefficient < 0), slope, high)
    onward = coefficient.clamp(min=0) * low + coefficient.clamp(max=0) * high
    return (low, high), onward


def _first_entries(network: Network) -> dict[int, int]:
    """The first entry of each nonlinear node."""
    places, count = {}, 0
    for position in nonlinear_nodes(network):
        places[position] = count
        count += prod(network.nodes[network.nodes[position].inputs[0]].shape)
    return places


def _places(network: Network, encoding: Encoding) -> np.ndarray:
    """The entry of each record of the encoding."""
    firsts = np.zeros(len(network.nodes), dtype=np.int64)
    for position, first in _first_entries(network).items():
        firsts[position] = first
    known = encoding.inputs_in_rows
    return firsts[known.node] + known.entry
