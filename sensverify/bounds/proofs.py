"""From what a pass computed to the proof that it hands out.

The bounds of LP-dual, CROWN and alpha-CROWN follow from their slopes alone: these are a feasible
point of the dual of the LP relaxation, written in other variables (Wong & Kolter 2018, *Provable
defenses against adversarial examples via the convex outer adversarial polytope*, Section 3;
Salman et al. 2019, *A convex relaxation barrier to tight robustness verification of neural
networks*, Theorem 4.2). So slopes, and the bounds on hidden layers, are all that is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.ibp import Interval, nonlinear_nodes
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.method import PreActivationBounds
from sensverify.bounds.relaxation import Relaxation, Slope, relax
from sensverify.core.proof import Cells, Hidden, Lines, OwnLines, Proof
from sensverify.errors import BadShape
from sensverify.network import Network
from sensverify.network.operators import Relu


@dataclass(frozen=True, eq=False)
class LayerProof:
    """A proof of bounds on hidden layers, and the lines of the pass that used them.

    Parameters
    ----------
    hidden : Hidden
        One set for each sample.
    lines : Lines
        float64.
    chosen : integer numpy array, shape ``[batch]`` or ``[batch, rows]``
        The line set that the pass used, for each sample or each row of it.
    """

    hidden: Hidden
    lines: Lines
    chosen: np.ndarray

    def proof(self) -> Proof:
        """Every row of a sample by one backward pass with the lines of the pass."""
        samples = np.arange(len(self.hidden))
        cells = Cells.roots(samples, hidden=samples, lines=self.chosen)
        entries = self.lines.lower.shape[1]
        return Proof.of(cells, entries=entries, lines=self.lines, hidden=self.hidden)

    def proof_by_rows(self, own: np.ndarray, more: list[Lines]) -> Proof:
        """Rows with lines of their own where they have any.

        Parameters
        ----------
        own : integer numpy array, shape ``[batch, rows]``
            The set among ``more``, or -1 for the lines of the pass.
        more : list of Lines
            In the dtype that all sets get.
        """
        batch, rows = own.shape
        samples = np.repeat(np.arange(batch), rows)
        chosen = self.chosen.reshape(batch, -1)
        lines = np.where(own >= 0, own + len(self.lines), chosen).reshape(-1)
        cells = Cells.roots(
            samples, group=np.tile(np.arange(rows), batch), hidden=samples, lines=lines
        )
        sets = in_order([self.lines, *more], dtype=more[0].lower.dtype if more else None)
        entries = sets.lower.shape[1]
        return Proof.of(cells, entries=entries, lines=sets, hidden=self.hidden)


def layer_proof(
    layers: LayerBounds, intermediate: PreActivationBounds | None, *, chords: bool = True
) -> LayerProof:
    """The proof of a pass's hidden layers, its own or those of another method.

    Parameters
    ----------
    layers : LayerBounds
        Filled.
    intermediate : method or None
        Where its bounds come from.
    chords : bool
        Whether upper slopes may be left out, as by `flat_lines`.

    Raises
    ------
    BadSetting
        The method that bounded the hidden layers does not say with which lines.
    """
    network, batch = layers.network, layers.box.batch
    lines = flat_lines(network, layers.relaxations, batch, chords=chords)
    chosen = np.arange(batch)
    proving = chosen
    slope = _hidden_slope(intermediate, layers.slope)
    if slope is not layers.slope:
        with torch.no_grad():
            others = {
                position: relax(network.nodes[position].operator, *ends, slope)
                for position, ends in layers.pre_activations.items()
            }
        lines = in_order([lines, flat_lines(network, others, batch, chords=chords)])
        proving = chosen + batch
    lower, upper = flat_bounds(layers.pre_activations, batch)
    none = np.zeros(0, np.int64)
    own: tuple[np.ndarray, ...] = (none, none, none, none)
    if layers.own is not None:
        found = layers.own
        own = (found.sample, found.entry, found.side, len(lines) + np.arange(len(found.lines)))
        lines = in_order([lines, _with_chords(found, lines)])
    hidden = Hidden(chosen, lower, upper, proving, *own)
    return LayerProof(hidden, lines, chosen)


def _with_chords(own: OwnLines, passed: Lines) -> Lines:
    """Slopes of single ends, with the upper ones of the pass where these are chords left out."""
    if passed.upper is None or own.lines.upper is not None:
        return own.lines
    return Lines(own.lines.lower, passed.upper[own.sample])


def flat_bounds(
    pre_activations: Mapping[int, Interval], batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on all entries, node after node: two float64 arrays ``[batch, entries]``."""
    ends = []
    for side in (0, 1):
        parts = [pre_activations[p][side] for p in sorted(pre_activations)]
        flat = [part.detach().reshape(batch, -1).cpu().double().numpy() for part in parts]
        ends.append(np.concatenate([np.zeros((batch, 0)), *flat], axis=1))
    return ends[0], ends[1]


def flat_lines(
    network: Network,
    relaxations: Mapping[int, Relaxation],
    batch: int,
    rows: int = 1,
    dtype: torch.dtype = torch.float64,
    *,
    chords: bool = True,
) -> Lines:
    """Slopes on all entries, node after node: ``batch * rows`` sets.

    With ``chords``, upper slopes are left out where all nonlinear nodes are ReLUs. Slopes of nodes
    without a relaxation are 0.
    """
    nodes, layers = network.nodes, nonlinear_nodes(network)
    only_chords = all(isinstance(nodes[p].operator, Relu) for p in layers)
    sides = []
    for name in ("lower_slope", "upper_slope"):
        parts = [torch.zeros(batch * rows, 0, dtype=dtype)]
        for position in layers:
            if position not in relaxations:
                size = prod(nodes[nodes[position].inputs[0]].shape)
                parts.append(torch.zeros(batch * rows, size, dtype=dtype))
                continue
            slope: Tensor = getattr(relaxations[position], name).detach()
            spread = slope.expand(batch, rows, *slope.shape[2:])
            parts.append(spread.reshape(batch * rows, -1).to("cpu", dtype))
        sides.append(torch.cat(parts, dim=1).numpy())
        if chords and only_chords:
            return Lines(sides[0])
    return Lines(*sides)


def _hidden_slope(intermediate: PreActivationBounds | None, own: Slope) -> Slope:
    """The lines that prove the hidden bounds; any do where intervals are enough."""
    if intermediate is None:
        return own
    if intermediate.intermediate is not None:
        # Bounds that a method was given are those that it gives.
        return _hidden_slope(intermediate.intermediate, own)
    return own if intermediate.slope is None else intermediate.slope


def in_order(parts: list[Lines], dtype: np.dtype | None = None) -> Lines:
    """Line sets one after the other."""
    uppers = [part.upper for part in parts if part.upper is not None]
    if uppers and len(uppers) < len(parts):
        raise BadShape("some line sets have upper slopes, others have none")
    lower = np.concatenate([part.lower for part in parts], dtype=dtype)
    upper = np.concatenate(uppers, dtype=dtype) if uppers else None
    return Lines(lower, upper)
