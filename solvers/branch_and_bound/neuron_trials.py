"""Trials: sub-problems as lines to find, and the neuron that each is split at next.

Of a few neurons where a bound loses most, both parts of each are bounded, without optimising them:
the one is taken that helps most. Source: De Palma et al. 2021, *Improved branch and bound for
neural network verification via Lagrangian decomposition*, filtered smart branching.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sensverify.bounds.ibp import Interval
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Relaxation
from sensverify.network import Network
from sensverify.solvers.branch_and_bound.choosing import whose_turn
from sensverify.solvers.branch_and_bound.cuts import Arrays
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.line_problem import LineProblem
from sensverify.solvers.branch_and_bound.neuron_choice import neuron_losses, points_of
from sensverify.solvers.branch_and_bound.neuron_nodes import NeuronNodes
from sensverify.solvers.branch_and_bound.optimising import Choices, best_lines, rows_alone
from sensverify.solvers.branch_and_bound.targets import Targets
from sensverify.solvers.branch_and_bound.techniques import Left

_FAVOUR = 3.0
"""Score of the row whose turn it is, where the others have none: most of the weight, and gradient
steps can still move it."""

CANDIDATES = 2
"""Neurons of each sub-problem whose children are looked at before one is chosen."""


Lines = tuple[Mapping[int, Relaxation], Mapping[int, Interval]]
"""By nonlinear node, the lines around it and the bounds on what enters."""


@dataclass(frozen=True, eq=False)
class Trials:
    """Trials of sub-problems.

    Parameters
    ----------
    targets : Targets
    layers : LayerBounds
        Of the boxes asked about.
    single : Network or None
        With float32 parameters, as by `in_single`: what is tried takes them.
    without : tuple of str
        As for `BranchAndBound`.
    """

    targets: Targets
    layers: LayerBounds
    single: Network | None
    without: Left

    def parts(self, nodes: NeuronNodes, neuron: Tensor, at: Tensor) -> NeuronNodes:
        """Both parts of sub-problems whose neurons are split."""
        parts = nodes.children(neuron, at)
        return parts.relined(self.layers, self.targets.problem[parts.target])

    def lines(self, nodes: NeuronNodes) -> tuple[LineProblem, dict[int, Interval]]:
        """The lines to find for sub-problems, and the bounds on their hidden layers."""
        return self.targets.lines(self.layers, nodes)

    def chosen(self, problem: LineProblem) -> LineProblem:
        """The problem with the choices that gradient steps have."""
        cuts = {} if "beta" in self.without else problem.cuts
        return replace(problem, cuts=cuts, fixed="alpha" in self.without)

    def decided(
        self,
        nodes: NeuronNodes,
        seen: Arrays,
        lines: Lines,
        free: Tensor,
    ) -> NeuronNodes:
        """With the neuron to split next: of a few likely ones, the one that helps most."""
        if not nodes.low:
            # A network without anything to split.
            return nodes
        if Entries.of(self.layers.network).only_relus:
            seen = self._seen_by_crown(nodes)
        nodes, seen = self._for_a_row(nodes, seen)
        network, usable = self.layers.network, free.any(dim=1)
        scores = neuron_losses(network, seen, *lines, nodes.low)
        scores = torch.where(usable, scores, -torch.inf)
        count = 1 if "lookahead" in self.without else CANDIDATES
        likely = scores.topk(min(count, scores.shape[1]), dim=1).indices
        points = points_of(network, seen, lines[1], nodes.low, likely)
        best = self._likeliest(nodes, likely, points, usable.gather(1, likely))
        choice, at = (values.gather(1, best.unsqueeze(1)).squeeze(1) for values in (likely, points))
        # Without a free neuron there is nothing to do.
        choice = torch.where(usable.any(dim=1), choice, -torch.ones_like(choice))
        return replace(nodes, decision=choice, at=at)

    def _seen_by_crown(self, nodes: NeuronNodes) -> Arrays:
        """Coefficients on the neurons' outputs behind CROWN's slopes, without multipliers.

        Those of choices that gradient steps have made say less: the better these are, the more
        evenly do they spread what is lost.
        """
        problem = replace(self.lines(nodes)[0], cuts={}, fixed=True)
        if self.single is not None:
            problem = problem.narrowed(self.single)
        found = best_lines(problem, Choices(scores=nodes.scores), 0)
        return {p: values.to(nodes.bounds) for p, values in found.seen.items()}

    def _likeliest(
        self, nodes: NeuronNodes, likely: Tensor, points: Tensor, usable: Tensor
    ) -> Tensor:
        """Which of the likely neurons helps most, ``[items]``: of the usable ones."""
        count = likely.shape[1]
        if count == 1:
            return likely[:, 0] * 0
        outcomes = torch.stack(
            [self._outcome(nodes, likely[:, i], points[:, i]) for i in range(count)], dim=1
        )
        outcomes = torch.where(usable, outcomes, -torch.inf)
        # Where no outcome is finite, the likeliest.
        return torch.where(torch.isfinite(outcomes).any(dim=1), outcomes.argmax(dim=1), 0)

    def _for_a_row(self, nodes: NeuronNodes, seen: Arrays) -> tuple[NeuronNodes, Arrays]:
        """The nodes, and the neurons' coefficients, of the rows whose turn it is."""
        present = self.targets.present[nodes.target]
        if present.shape[1] == 1:
            return nodes, seen
        problem, _ = self.lines(nodes)
        below, above, alone = rows_alone(problem)
        urgency = self.targets.goal.urgency()[self.targets.rows[nodes.target]]
        whose = whose_turn(below, above, present, nodes.turns, urgency)
        places = torch.arange(len(nodes), device=whose.device)
        turns = nodes.turns.clone()
        turns[places, whose] += 1
        single = whose < present.shape[1]
        row = whose.clamp(max=present.shape[1] - 1)
        scores = torch.zeros_like(nodes.scores)
        scores[places, row] = _FAVOUR
        scores = torch.where(single.unsqueeze(1), scores, nodes.scores)
        seen = {
            p: torch.where(
                single.reshape(-1, *(1,) * (values.ndim - 1)), alone[p][places, row], values
            )
            for p, values in seen.items()
        }
        return replace(nodes, scores=scores, turns=turns), seen

    def _outcome(self, nodes: NeuronNodes, neuron: Tensor, at: Tensor) -> Tensor:
        """The worse part's bound if a neuron were split, without optimising it, ``[items]``."""
        parts = self.parts(nodes, neuron, at)
        problem = self.chosen(self.lines(parts)[0])
        if self.single is not None:
            problem = problem.narrowed(self.single)
        excess = best_lines(problem, parts.choices(), 0).excess.to(nodes.bounds)
        first, second = excess[: len(nodes)], excess[len(nodes) :]
        return merit(first, second, self.targets.closing(nodes.target))


def merit(first: Tensor, second: Tensor, closing: Tensor) -> Tensor:
    """The merit of a split whose parts have these bounds."""
    # A closed part is worth no more than that; a little for the better one breaks ties.
    worse, better = torch.minimum(first, second), torch.maximum(first, second)
    return torch.minimum(worse, closing) + 0.05 * torch.minimum(better, closing)
