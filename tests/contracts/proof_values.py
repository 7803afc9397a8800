"""What a proof proves, in float64 and by the shortest code: the library's pass, nothing else.

Only for proofs of trees that are not split.
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.backward import backward_bounds
from sensverify.bounds.ibp import Interval, interval_at, nonlinear_nodes
from sensverify.bounds.relaxation import Relaxation, line_intercepts
from sensverify.bounds.tensors import tensor_network
from sensverify.core.proof import NONE, Proof
from sensverify.core.results import Bounds
from sensverify.network import Network
from sensverify.network.operators import Max, Relu


def proven_values(network: Network, bounds: Bounds, objectives: Tensor | None = None) -> Tensor:
    """Lower bounds ``[batch, 2 * rows]`` on ``[C, -C]`` that the certificate of bounds proves."""
    values = ProofValues(network, bounds)
    identity = torch.eye(prod(network.output_shape), dtype=torch.float64)
    given = identity[None] if objectives is None else objectives.double()
    rows = torch.cat([given, -given], dim=1)
    return values.of(rows.expand(values.batch, *rows.shape[1:]))


def claimed_values(bounds: Bounds) -> Tensor:
    """What the bounds say about ``[C, -C]``."""
    return torch.cat([bounds.outer.lower, -bounds.outer.upper], dim=1).detach().double()


class ProofValues:
    """One proof, its network and its boxes in float64."""

    def __init__(self, network: Network, bounds: Bounds) -> None:
        assert isinstance(bounds.certificate, Proof)
        cpu = torch.device("cpu")
        self.network = tensor_network(network, dtype=torch.float64, device=cpu)
        self.network = self.network.map_arrays(Tensor.detach)
        self.proof: Proof = bounds.certificate
        box = bounds.provenance.box
        self.ends = (torch.as_tensor(box.lower).double(), torch.as_tensor(box.upper).double())
        self.batch = len(self.ends[0])
        self.places: dict[int, slice] = {}
        self.shapes = {}
        count = 0
        for position in nonlinear_nodes(self.network):
            source = self.network.nodes[position].inputs[0]
            shape = self.shapes[position] = self.network.nodes[source].shape
            self.places[position] = slice(count, count + prod(shape))
            count += prod(shape)
        self.entries = count

    def of(self, rows: Tensor) -> Tensor:
        """Of every row the best of its sample's trees, ``[batch, rows]``."""
        cells = self.proof.cells
        values = torch.full(rows.shape[:2], -torch.inf, dtype=torch.float64)
        for cell in range(len(cells)):
            assert cells.parent[cell] == NONE
            assert cells.split[cell] == NONE
            assert cells.lines[cell] >= 0
            sample, group = int(cells.problem[cell]), int(cells.group[cell])
            which = slice(None) if group == NONE else slice(group, group + 1)
            bounds = self.layers(sample, int(cells.hidden[cell]), int(cells.lines[cell]))
            found = self._pass(sample, rows[sample, which], bounds, int(cells.lines[cell]))
            values[sample, which] = torch.maximum(values[sample, which], found)
        return values

    def layers(self, sample: int, hidden: int, lines: int) -> dict[int, Interval]:
        """Bounds on the entries, as stored or layer after layer."""
        if hidden == NONE:
            return self.derived(sample, lines)
        assert self.proof.hidden.problem[hidden] == sample
        ends = (self.proof.hidden.lower[hidden], self.proof.hidden.upper[hidden])
        return {p: tuple(self._part(end, p) for end in ends) for p in self.places}

    def derived(self, sample: int, lines: int, hidden: int = NONE) -> dict[int, Interval]:
        """The better of intervals and the pass with a line set, or of that of a bound's own."""
        one = slice(sample, sample + 1)
        ends = (self.ends[0][one], self.ends[1][one])
        bounds: dict[int, Interval] = {}
        for position in self.places:
            source = self.network.nodes[position].inputs[0]
            low, high = backward_bounds(
                self.network, source, slice(None), self._relaxed(bounds, lines), *ends
            )
            first, second = interval_at(self.network, source, ends, bounds)
            bounds[position] = (
                torch.maximum(low.reshape(first.shape), first),
                torch.minimum(high.reshape(first.shape), second),
            )
            if hidden != NONE:
                before = {p: ends for p, ends in bounds.items() if p < position}
                self._own(position, hidden, before, bounds[position])
        return bounds

    def _own(
        self, position: int, hidden: int, before: dict[int, Interval], found: Interval
    ) -> None:
        """Improve what has lines of its own."""
        stored, place = self.proof.hidden, self.places[position]
        source = self.network.nodes[position].inputs[0]
        mine = (stored.own_entry >= place.start) & (stored.own_entry < place.stop)
        for item in np.flatnonzero(mine & (stored.own_set == hidden)):
            sample = int(stored.problem[hidden])
            ends = (end[sample : sample + 1] for end in self.ends)
            entry = int(stored.own_entry[item]) - place.start
            relaxed = self._relaxed(before, int(stored.own_lines[item]))
            rows = slice(entry, entry + 1)
            low, high = backward_bounds(self.network, source, rows, relaxed, *ends)
            if stored.own_side[item] < 0:
                flat = found[0].view(-1)
                flat[entry] = max(float(flat[entry]), float(low))
            else:
                flat = found[1].view(-1)
                flat[entry] = min(float(flat[entry]), float(high))

    def hidden_slack(self) -> float:
        """How far the least certain stored bound is inside of what its lines prove; <= 0 is good.

        Relative to the size of the bounds.
        """
        worst = -np.inf
        hidden = self.proof.hidden
        for index in range(len(hidden)):
            found = self.derived(int(hidden.problem[index]), int(hidden.lines[index]), index)
            for position, (low, high) in found.items():
                lower = self._part(hidden.lower[index], position)
                upper = self._part(hidden.upper[index], position)
                size = 1 + max(float(lower.abs().max()), float(upper.abs().max()))
                inside = max(float((lower - low).max()), float((high - upper).max()))
                worst = max(worst, inside / size)
        return worst

    def _pass(self, sample: int, rows: Tensor, bounds: dict[int, Interval], lines: int) -> Tensor:
        network = self.network
        objectives = rows.reshape(1, -1, *network.output_shape)
        ends = (end[sample : sample + 1] for end in self.ends)
        last = len(network.nodes) - 1
        relaxed = self._relaxed(bounds, lines)
        return backward_bounds(network, last, objectives, relaxed, *ends, both=False)[0][0]

    def _relaxed(self, bounds: dict[int, Interval], lines: int) -> dict[int, Relaxation]:
        result = {}
        for position, (lower, upper) in bounds.items():
            operator = self.network.nodes[position].operator
            low = self._part(self.proof.lines.lower[lines], position)
            if self.proof.lines.upper is None:
                assert isinstance(operator, Relu)
                high = _chord(lower, upper)
            else:
                high = self._part(self.proof.lines.upper[lines], position)
            shape = (1, 1, *self.shapes[position])
            parts = (part.reshape(shape) for part in (low, high, lower, upper))
            result[position] = line_intercepts(operator, *parts)
            assert result[position].lower_intercept.shape[2:] == (
                shape[2:-1] if isinstance(operator, Max) else shape[2:]
            )
        return result

    def _part(self, flat: np.ndarray, position: int) -> Tensor:
        values = torch.from_numpy(np.asarray(flat[self.places[position]], dtype=np.float64))
        return values.reshape(1, *self.shapes[position])


def _chord(lower: Tensor, upper: Tensor) -> Tensor:
    across = (lower < 0) & (upper > 0)
    chord = upper / torch.where(across, upper - lower, 1.0)
    return torch.where(across, chord, (lower >= 0).double())
