"""Branch and bound over the input box: complete for every network, fast for few features.

All open sub-boxes of all problems wait in one frontier; the most promising are cut in two, many at
a time, and every sub-box's linear bounds serve all rows. A sub-box is done when each of its rows is
closed. At any moment the smallest bound among closed and open sub-boxes is proven for the whole
box.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

import torch
from torch import Tensor

from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.choosing import deciding_rows, likely_points, shares
from sensverify.solvers.branch_and_bound.clipping import clip
from sensverify.solvers.branch_and_bound.frontier import SubBoxes
from sensverify.solvers.branch_and_bound.goals import Goal
from sensverify.solvers.branch_and_bound.input_tree import InputTree
from sensverify.solvers.branch_and_bound.pace import Pace
from sensverify.solvers.branch_and_bound.sub_boxes import LinesBelow, lines_below
from sensverify.solvers.branch_and_bound.techniques import Left
from sensverify.solvers.branch_and_bound.tightening import Tightened, nothing_tightened, tighten

_SMALLEST_BATCH = 64
"""Sub-boxes of the first steps: a search that ends soon should not start with a large batch."""

STEP_SECONDS = 0.5
"""The longest that one step should take."""

_PATIENCE = 512
"""Sub-boxes of each problem before gradient steps are spent on those that stay open: most searches
end sooner, and for them plain bounds are faster."""


@dataclass(eq=False)
class InputSplitting:
    """One search.

    Parameters
    ----------
    network : Network
        With tensors as parameters.
    goal : Goal
    batch : int
        Sub-boxes bounded at a time, at most.
    budget : int
        Bytes that the open sub-boxes may take. Beyond half of it the search goes deep instead of
        wide; beyond all of it the least promising sub-boxes are given up, their bounds kept.
    watch : Watch
    tree : InputTree
        Takes the record of the search.
    limit : float
        Sub-boxes after which the search stops, whatever is still open.
    without : tuple of str
        As for `BranchAndBound`.
    """

    network: Network
    goal: Goal
    batch: int
    budget: int
    watch: Watch
    tree: InputTree
    limit: float = inf
    without: Left = ()
    steps: int = 8
    explored: int = 0
    gave_up: bool = False
    floor: Tensor = field(init=False)
    frontier: SubBoxes = field(init=False)
    _pace: Pace = field(init=False)
    _may_tie: bool = False

    def run(self, box: Box) -> None:
        """Search until everything is closed, the goal is reached or the watch is over.

        Parameters
        ----------
        box : Box of tensors, shape ``[problems, *input_shape]``
        """
        self._pace = Pace(min(_SMALLEST_BATCH, self.batch), self.batch, STEP_SECONDS)
        self._may_tie = bool((self.goal.ties() < self.goal.thresholds()).any())
        roots = self._roots(box)
        self.floor = torch.full_like(roots.bounds, torch.inf)
        self.frontier = roots[roots.problem[:0]]
        for first in range(0, len(roots), self.batch):
            part = slice(first, first + self.batch)
            self._bound(roots[roots.problem[part]])
        self.resume()

    def resume(self) -> None:
        """Go on with a search that was interrupted."""
        while len(self.frontier) and not self.goal.reached and not self.watch.over:
            if self.explored >= self.limit:
                break
            self._prune()
            if not len(self.frontier):
                break
            began = self.watch.now()
            pace, merit = self._pace, self._merit
            chosen, self.frontier = pace.parents(self.frontier, merit, self.budget)
            self._bound(chosen.halves(self.tree))
            self._within_budget()
            pace.after(self.watch.now() - began)
            self.watch.say(f"{self.explored:,} sub-boxes bounded, {len(self.frontier):,} open")

    def bounds(self) -> Tensor:
        """The bound proven for every row of every problem, ``[problems, rows]``."""
        left = self.frontier
        place = left.problem.unsqueeze(1).expand_as(left.bounds)
        return self.floor.scatter_reduce(0, place, left.bounds, "amin")

    @property
    def tightens(self) -> bool:
        """True once it takes long enough for lines to be optimised, beside CROWN's."""
        return self._takes_long and "alpha" not in self.without

    @property
    def _takes_long(self) -> bool:
        return self.explored > _PATIENCE * len(self.floor)

    @property
    def finished(self) -> bool:
        """True where every row of every sub-box is closed."""
        return self.exhausted and not self.gave_up

    @property
    def exhausted(self) -> bool:
        """True where nothing is left that could be split."""
        return len(self.frontier) == 0

    def _roots(self, box: Box) -> SubBoxes:
        lower, upper = flattened(box.lower), flattened(box.upper)
        count, rows = len(lower), self.goal.rows.shape[1]
        places = torch.arange(count, device=lower.device)
        none = lower.new_full((count, rows), -torch.inf)
        nodes = self.tree.roots(lower, upper)
        turns = torch.zeros_like(none, dtype=torch.int16)
        return SubBoxes(lower, upper, places, none, places * 0, nodes, turns, {})

    def _prune(self) -> None:
        """Incumbents may have become better since the frontier was looked at last."""
        open_rows = self._open_rows(self.frontier)
        self._close(self.frontier, open_rows)
        keep = open_rows.any(dim=1)
        bounds = torch.where(open_rows, self.frontier.bounds, torch.inf)
        self.frontier.bounds.copy_(bounds)
        if not bool(keep.all()):
            self.frontier = self.frontier[keep]

    def _merit(self, boxes: SubBoxes) -> Tensor:
        """The distance of the bounds below the thresholds, for the most open group, ``[boxes]``."""
        below = self._below(boxes.bounds, boxes.problem)
        by_group = [below[:, list(group)].amin(dim=1) for group in self.goal.groups]
        return torch.stack(by_group, dim=1).amax(dim=1)

    def _below(self, bounds: Tensor, problem: Tensor) -> Tensor:
        """Scaled distance of bounds below their thresholds, ``[boxes, rows]``."""
        thresholds, scales = self.goal.thresholds()[problem], self.goal.scales()[problem]
        return (thresholds - bounds) / scales

    def _open_rows(self, boxes: SubBoxes) -> Tensor:
        """Rows whose group is open, ``[boxes, rows]``; a NaN bound closes nothing."""
        goal = self.goal
        beyond = ~(boxes.bounds >= goal.thresholds()[boxes.problem])
        alone = ~(boxes.bounds >= goal.ties()[boxes.problem]) if self._may_tie else beyond
        result = alone.clone()
        for group in goal.groups:
            rows = list(group)
            result[:, rows] = alone[:, rows].all(dim=1, keepdim=True)
            if self._may_tie and bool((beyond[:, rows].all(dim=1) & ~result[:, group[0]]).any()):
                goal.tie()
        return result

    def _close(self, boxes: SubBoxes, open_rows: Tensor) -> None:
        """The bounds of rows that are closed now count for the whole box from here on."""
        place = boxes.problem.unsqueeze(1).expand_as(boxes.bounds)
        closed = torch.where(open_rows, torch.inf, boxes.bounds)
        self.floor.scatter_reduce_(0, place, closed, "amin")

    def _bound(self, boxes: SubBoxes) -> None:
        """Bound sub-boxes, look for incumbents in them, and put what stays open in the frontier."""
        network, shape = self.network, self.network.input_shape
        box = Box(boxes.lower.reshape(-1, *shape), boxes.upper.reshape(-1, *shape))
        rows = self.goal.rows
        rows = rows[boxes.problem] if len(rows) > 1 else rows
        # Of roots nothing is known yet.
        together = any(len(group) > 1 for group in self.goal.groups)
        lines = lines_below(network, box, rows, boxes.signs or None, above=together)
        self.explored += len(boxes)
        # A child's proof holds beside its parent's.
        bounds = torch.where(boxes.bounds > lines.least, boxes.bounds, lines.least)
        row = self._row_to_split(bounds, lines.most, boxes)
        points = self._offer(box, lines, row, boxes.problem)
        turns = boxes.turns.clone()
        turns[torch.arange(len(row), device=row.device), row] += 1
        boxes = SubBoxes(
            boxes.lower,
            boxes.upper,
            boxes.problem,
            bounds,
            self._feature(lines, row),
            boxes.node,
            turns,
            lines.signs,
        )
        thresholds = self.goal.thresholds()[boxes.problem]
        open_rows, tightened = self._tighten(boxes, lines, thresholds)
        if self._takes_long:
            self._drop_hopeless(boxes, points, open_rows)
        self._close(boxes, open_rows)
        lower, upper, still_open = boxes.lower, boxes.upper, open_rows
        if "clipping" not in self.without:
            lower, upper, still_open = clip(
                lower,
                upper,
                lines.coefficients,
                lines.least,
                thresholds,
                self.goal.groups,
                open_rows,
                tightened,
            )
        self._keep(boxes, (lower, upper), thresholds, (open_rows, still_open))

    def _tighten(
        self, boxes: SubBoxes, lines: LinesBelow, thresholds: Tensor
    ) -> tuple[Tensor, Tightened]:
        """Rows that stay open after a closer look, and the lines that it gave."""
        goal = self.goal
        open_rows = self._open_rows(boxes)
        first = [group[0] for group in goal.groups]
        open_groups = open_rows[:, first]
        if not self.tightens:
            none = nothing_tightened(len(boxes), goal.groups, boxes.lower)
            return open_rows, none
        rows = goal.rows[boxes.problem] if len(goal.rows) > 1 else goal.rows
        tightened = tighten(lines.layers, rows, thresholds, goal.groups, open_groups, self.steps)
        for place, group in enumerate(goal.groups):
            excess = tightened.excess[:, place]
            if len(group) == 1:
                # One row: what the line exceeds the threshold by is a bound of the row.
                row = group[0]
                proven = thresholds[:, row] + excess
                column = boxes.bounds[:, row]
                boxes.bounds[:, row] = torch.where(proven > column, proven, column)
            rows_of = list(group)
            slack = (thresholds - goal.ties()[boxes.problem])[:, rows_of].amax(dim=1)
            if bool((open_groups[:, place] & (excess >= -slack) & (excess < 0)).any()):
                goal.tie()
            open_rows[:, rows_of] &= ~(excess >= -slack).unsqueeze(1)
        if len(goal.groups) == 1:
            closed = (open_groups[:, 0] & (tightened.excess[:, 0] >= 0)).nonzero().squeeze(1)
            weights = tightened.weights[closed, 0]
            self.tree.weigh(boxes.node[closed], lines.layers.relaxations, closed, weights)
        return open_rows, tightened

    def _keep(
        self,
        boxes: SubBoxes,
        clipped: tuple[Tensor, Tensor],
        thresholds: Tensor,
        open_rows: tuple[Tensor, Tensor],
    ) -> None:
        """Queue the open parts of sub-boxes, before and after clipping."""
        lower, upper = clipped
        before, still_open = open_rows
        # What was cut off is proven to be above the thresholds of now, no more.
        cut = ((lower != boxes.lower) | (upper != boxes.upper)).any(dim=1, keepdim=True)
        cut = before & (cut | ~still_open)
        place = boxes.problem.unsqueeze(1).expand_as(thresholds)
        self.floor.scatter_reduce_(0, place, torch.where(cut, thresholds, torch.inf), "amin")
        bounds = torch.where(still_open, boxes.bounds, torch.inf)
        rest = replace(boxes, lower=lower, upper=upper, bounds=bounds)
        keep = still_open.any(dim=1)
        stuck = keep & ~rest.splittable()
        if bool(stuck.any()):
            self._give_up(rest[stuck])
        kept = rest[keep & ~stuck]
        kept = replace(kept, node=self.tree.clip(kept.node, kept.lower, kept.upper))
        self.frontier = self.frontier + kept if len(self.frontier) else kept

    def _row_to_split(self, bounds: Tensor, most: Tensor | None, boxes: SubBoxes) -> Tensor:
        """The row that decides about each sub-box; see `deciding_rows`."""
        below = self._below(bounds, boxes.problem)
        above = None if most is None else -self._below(most, boxes.problem)
        return deciding_rows(below, above, boxes.turns, self.goal.urgency(), self.goal.groups)

    def _feature(self, lines: LinesBelow, row: Tensor) -> Tensor:
        scores = lines.split_scores(row)
        box = lines.layers.box
        width = flattened(box.upper - box.lower)
        # Where no line has a slope left, the widest feature.
        flat = ~(scores > 0).any(dim=1, keepdim=True)
        return torch.where(flat, width, scores).argmax(dim=1)

    def _drop_hopeless(self, boxes: SubBoxes, points: Tensor, open_rows: Tensor) -> None:
        """Give up sub-boxes where rounding alone decides, however small they become."""
        hopeless = self.goal.hopeless(self.network, points, boxes.bounds)
        if hopeless is None:
            return
        first = [group[0] for group in self.goal.groups]
        open_groups = open_rows[:, first]
        dropped = open_groups.any(dim=1) & (hopeless | ~open_groups).all(dim=1)
        if bool(dropped.any()):
            self._give_up(boxes[dropped])
            open_rows[dropped] = False

    def _offer(self, box: Box, lines: LinesBelow, row: Tensor, problem: Tensor) -> Tensor:
        """The point where the lines of rows that may be violated are least is a good guess."""
        places = torch.arange(len(row), device=row.device)
        weights = torch.zeros_like(lines.least)
        weights[places, row] = 1.0
        if lines.most is not None:
            share = shares(self._below(lines.least, problem), -self._below(lines.most, problem))
            for group in self.goal.groups:
                mine = (row.unsqueeze(1) == torch.tensor(group, device=row.device)).any(dim=1)
                rows = list(group)
                weights[:, rows] = torch.where(mine.unsqueeze(1), share[:, rows], weights[:, rows])
        ends = flattened(box.lower), flattened(box.upper)
        points = likely_points(*ends, lines.coefficients, weights)
        points = points.reshape(box.lower.shape)
        self.goal.offer(self.network, box, points, problem)
        return points

    def _give_up(self, boxes: SubBoxes) -> None:
        place = boxes.problem.unsqueeze(1).expand_as(boxes.bounds)
        self.floor.scatter_reduce_(0, place, boxes.bounds, "amin")
        self.gave_up = True

    def _within_budget(self) -> None:
        pace, merit = self._pace, self._merit
        self.frontier, surplus = pace.surplus(self.frontier, merit, self.budget)
        if len(surplus):
            self._give_up(surplus)
