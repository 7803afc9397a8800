"""Targets of a search: each is one group of rows on one box, to be bounded below together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.bounds.ibp import Interval
from sensverify.bounds.layerwise import LayerBounds
from sensverify.core.sets import InputSet
from sensverify.solvers.branch_and_bound.cuts import cut_nodes
from sensverify.solvers.branch_and_bound.goals import Goal
from sensverify.solvers.branch_and_bound.line_problem import LineProblem
from sensverify.solvers.branch_and_bound.neuron_nodes import NeuronNodes, split_lines
from sensverify.solvers.branch_and_bound.tightening import padded_groups


@dataclass(frozen=True, eq=False)
class Targets:
    """Pairs of a problem and a group of rows that are to be bounded below.

    Parameters
    ----------
    goal : Goal
    problem, group : Tensor, shape ``[targets]``
    rows : Tensor, shape ``[targets, most rows of a group]``
        Of the goal; padded.
    present : boolean Tensor of that shape
        False for padding.
    limits : Tensor of that shape
        The thresholds as they were at first: distances are to these.
    """

    goal: Goal
    problem: Tensor
    group: Tensor
    rows: Tensor
    present: Tensor
    limits: Tensor

    @classmethod
    def open(cls, goal: Goal, floor: Tensor) -> Targets:
        """Problems that are not refuted by what is proven of rows, ``[problems, rows]``."""
        thresholds = goal.thresholds()
        members, present = padded_groups(goal.groups, floor.device)
        below = ~(floor >= thresholds)
        left = torch.stack([below[:, list(g)].all(dim=1) for g in goal.groups], dim=1)
        problem, group = left.nonzero(as_tuple=True)
        rows = members[group]
        limits = thresholds[problem.unsqueeze(1), rows]
        return cls(goal, problem, group, rows, present[group], limits)

    def closing(self, target: Tensor) -> Tensor:
        """The distance at which sub-problems are closed: incumbents improve as the search goes."""
        moved = self.goal.thresholds()[self._places(target)] - self.limits[target]
        return moved.amax(dim=1)

    def closed(self, target: Tensor, bounds: Tensor, *, ties: bool) -> Tensor:
        """Mask of sub-problems with such bounds that are closed, ``[items]``.

        ``ties``: some for want of precision, maybe.
        """
        least, goal = self.closing(target), self.goal
        slack = (goal.thresholds() - goal.ties())[self._places(target)].amax(dim=1)
        closed = bounds >= (least - slack if ties else least)
        if bool((closed & ~(bounds >= least)).any()):
            goal.tie()
        return closed

    def scales(self, target: Tensor) -> Tensor:
        """Positive scales that make distances comparable, ``[items]``."""
        return self.goal.scales()[self.problem[target], self.rows[target, 0]]

    def lines(
        self, layers: LayerBounds, nodes: NeuronNodes
    ) -> tuple[LineProblem, dict[int, Interval]]:
        """The lines to find for sub-problems, and the bounds on their hidden layers."""
        target = nodes.target
        place = self.problem[target]
        relaxations, intervals, empty = split_lines(layers, place, nodes)
        rows, chosen = self.goal.rows, self.rows[target]
        own = rows[0, chosen] if len(rows) == 1 else rows[place.unsqueeze(1), chosen]
        shared = layers.box.batch == 1 and not isinstance(layers.box, InputSet)
        problem = LineProblem(
            layers.network,
            layers.box if shared else layers.box[place],
            relaxations,
            own,
            self.limits[target],
            self.present[target],
            intervals,
            cut_nodes(nodes.cuts),
            empty=empty,
        )
        return problem, intervals

    def _places(self, target: Tensor) -> tuple[Tensor, Tensor]:
        return self.problem[target].unsqueeze(1), self.rows[target]
