"""A search that has ended, and its proof."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.bounds.layerwise import LayerBounds
from sensverify.core.proof import Proof
from sensverify.solvers.branch_and_bound.assembling import assembled
from sensverify.solvers.branch_and_bound.goals import Goal
from sensverify.solvers.branch_and_bound.input_splitting import InputSplitting
from sensverify.solvers.branch_and_bound.neuron_splitting import NeuronSplitting
from sensverify.solvers.branch_and_bound.sub_boxes import root_bounds


@dataclass(frozen=True, eq=False)
class Search:
    """By input splitting, by neuron splitting, or by one after the other.

    Parameters
    ----------
    layers : LayerBounds
        Of the boxes asked about.
    goal : Goal
    inputs : InputSplitting or None
    neurons : NeuronSplitting or None
        Starts from what ``inputs`` has left open.
    again : NeuronSplitting or None
        Proves once more what ``inputs`` has closed.
    """

    layers: LayerBounds
    goal: Goal
    inputs: InputSplitting | None
    neurons: NeuronSplitting | None = None
    again: NeuronSplitting | None = None

    @property
    def _last(self) -> InputSplitting | NeuronSplitting:
        last = self.neurons or self.inputs
        if last is None:
            raise ValueError("a search splits inputs or neurons")
        return last

    @property
    def bounds(self) -> Tensor:
        """The bound proven for every row of every problem, ``[problems, rows]``."""
        return self._last.bounds()

    @property
    def finished(self) -> bool:
        """True where nothing is left open."""
        return self._last.finished

    @property
    def explored(self) -> int:
        """Sub-problems that were bounded."""
        return self._last.explored

    def proof(self) -> Proof:
        """The proof of the bounds, from the record."""
        forests = [part for part in (self.neurons, self.again) if part is not None]
        tree = None if self.inputs is None else self.inputs.tree
        return assembled(self.layers, self.goal.asked, tree, forests, self._covered())

    def _covered(self) -> Tensor:
        """Problems of which sub-boxes prove no more than neuron splitting, ``[problems]``."""
        if self.inputs is None or (self.neurons is None and self.again is None):
            return torch.zeros(self.layers.box.batch, dtype=torch.bool)
        found = root_bounds(self.layers, self.goal.rows)
        for part in (self.neurons, self.again):
            if part is not None:
                found = found.maximum(part.proven())
        enough = self.inputs.bounds().minimum(self.goal.thresholds())
        return (found >= enough).all(dim=1).cpu()
