"""Branch and bound over the neurons: over what enters nonlinear operators.

A target is one group of rows on one box. A split cuts the interval of one neuron in two: at the
kink of a ReLU, which is linear on both sides, at a point between for curved functions, at a jump of
steps, and for products and maxima at one of their numbers. On each part the lines around the
function are closer, and the cut is a constraint that the bound takes account of by a multiplier
(beta-CROWN). The most promising sub-problems are split first, many at a time. Bounds on hidden
layers are those of the whole box within the cuts, and behind steps within what cuts leave of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
import torch
from torch import Tensor

from sensverify.attacks.ascent import project
from sensverify.bounds.ibp import Interval
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.support import least_move
from sensverify.core.sets import InputSet
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.choosing import whose_turn
from sensverify.solvers.branch_and_bound.cuts import Arrays
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.goals import Goal
from sensverify.solvers.branch_and_bound.leaves import leaf_bound
from sensverify.solvers.branch_and_bound.line_problem import LineProblem
from sensverify.solvers.branch_and_bound.neuron_choice import (
    free_neurons,
    neuron_losses,
    points_of,
)
from sensverify.solvers.branch_and_bound.neuron_forest import NeuronForest
from sensverify.solvers.branch_and_bound.neuron_nodes import NeuronNodes, reached_neurons
from sensverify.solvers.branch_and_bound.optimising import (
    BestLines,
    best_lines,
    rows_alone,
)
from sensverify.solvers.branch_and_bound.pace import Pace
from sensverify.solvers.branch_and_bound.refining import OwnLines, refine
from sensverify.solvers.branch_and_bound.single_precision import best_lines_in_single, in_single
from sensverify.solvers.branch_and_bound.step_intervals import has_steps
from sensverify.solvers.branch_and_bound.targets import Targets
from sensverify.solvers.branch_and_bound.techniques import Left

_SMALLEST_BATCH = 32
"""Sub-problems of the first step after the roots."""

STEP_SECONDS = 1.0
"""The longest that one step should take."""

ROOT_STEPS = 40
STEPS, CURVED_STEPS = 6, 20
"""Gradient steps for the parts of a split: where all kinks are those of ReLUs or a split decides a
step, and elsewhere, where each line has more to choose and a split alone changes less."""

REFINING_SHARE = 0.35
"""Of the time left after the roots, what hidden layers may take."""

_FAVOUR = 3.0
"""Score of the row whose turn it is, where the others have none: most of the weight, and gradient
steps can still move it."""

CANDIDATES = 2
"""Neurons of each sub-problem whose children are looked at before one is chosen."""


Lines = tuple[Mapping[int, Relaxation], Mapping[int, Interval]]
"""By nonlinear node, the lines around it and the bounds on what enters."""


@dataclass(eq=False)
class NeuronSplitting:
    """One search.

    Parameters
    ----------
    layers : LayerBounds
        Of the boxes asked about.
    goal : Goal
    batch : int
        Sub-problems bounded at a time.
    budget : int
        Bytes that the open sub-problems may take; the least promising are given up beyond it.
    watch : Watch
    floor : Tensor, shape ``[problems, rows]``
        What is proven for the whole boxes so far, by other means.
    forest : NeuronForest or None
        Takes the record of the search.
    resolve : bool
    without : tuple of str
        As for `BranchAndBound`.
    """

    layers: LayerBounds
    goal: Goal
    batch: int
    budget: int
    watch: Watch
    floor: Tensor
    forest: NeuronForest | None = None
    resolve: bool = False
    without: Left = ()
    explored: int = 0
    gave_up: bool = False
    full: bool = False

    def __post_init__(self) -> None:
        # Other turns may end sooner: what comes before any split is not to be cut off by them.
        self._began, self._whole = False, self.watch
        self.targets = Targets.open(self.goal, self.floor)
        # The least bound, by target, among sub-problems that are closed or given up.
        self._settled = self.floor.new_full(self.targets.problem.shape, torch.inf)
        self._reached = reached_neurons(self.layers, self.goal.rows)
        self._open = self._roots()
        if self.forest is not None:
            self.forest.rest_on(self.layers)
        self._pace = Pace(min(_SMALLEST_BATCH, self.batch), self.batch, STEP_SECONDS)
        network = self.layers.network
        quick = Entries.of(network).only_relus or has_steps(network)
        self._steps = STEPS if quick else CURVED_STEPS
        self._candidates = 1 if "lookahead" in self.without else CANDIDATES
        mixed = "mixed-precision" not in self.without
        self._single = in_single(network, self.floor.device) if mixed else None

    def run(self) -> None:
        """Search until every target is refuted, the goal is reached or the watch is over."""
        self._began = True
        self._bound_roots(self._open)
        again = len(self._open) > 0 and "refinement" not in self.without
        if again and not self.goal.reached and not self._whole.over:
            share = REFINING_SHARE * self._whole.left
            # They are roots again: nothing is split before.
            self._open = replace(self._open, decision=self._open.decision * 0 - 1)
            self._refine(self._whole.within(share if isfinite(share) else None))
            self._bound_roots(self._open)
        self.resume()

    def resume(self) -> None:
        """Start, or go on with a search that was interrupted."""
        if not self._began:
            self.run()
            return
        while len(self._open) and not self.goal.reached and not self.watch.over:
            self._prune()
            if not len(self._open):
                break
            began = self.watch.now()
            pace = self._pace
            chosen, self._open = pace.parents(self._open, self._merit, self.budget)
            self._bound(self._parts(chosen, chosen.decision, chosen.at), self._steps)
            self._within_budget()
            pace.after(self.watch.now() - began)
            self.watch.say(f"{self.explored:,} sub-problems bounded, {len(self._open):,} open")

    def _refine(self, watch: Watch) -> None:
        if self.forest is None:
            self.layers = refine(self.layers, watch)
            return
        own = OwnLines(self.forest.entries, self.budget // 2)
        self.layers = refine(self.layers, watch, own)
        self.forest.rest_on(self.layers, own)

    def _bound_roots(self, roots: NeuronNodes) -> None:
        self._open = roots[self.targets.problem[:0]]
        for first in range(0, len(roots), self.batch):
            places = torch.arange(first, len(roots), device=self.targets.problem.device)
            if self._whole.over:
                # Nothing is proven for these beyond what was known before.
                self._give_up(roots[places])
                break
            self._bound(roots[places[: self.batch]], ROOT_STEPS)

    @property
    def finished(self) -> bool:
        """True where every target is refuted."""
        return self.exhausted and not self.gave_up

    @property
    def exhausted(self) -> bool:
        """True where nothing is left that could be split."""
        return len(self._open) == 0

    def bounds(self) -> Tensor:
        """The bound proven for every row of every problem, ``[problems, rows]``.

        Of groups with several rows only what was known before: a weighted sum bounds none of them.
        """
        proven = self.proven()
        return torch.where(proven > self.floor, proven, self.floor)

    def proven(self) -> Tensor:
        """The same without what was known before; minus infinity where that was enough."""
        left = self._settled.scatter_reduce(0, self._open.target, self._open.bounds, "amin")
        result = torch.full_like(self.floor, -torch.inf)
        single = self.targets.present.sum(dim=1) == 1
        place = self.targets.problem[single], self.targets.rows[single, 0]
        result[place] = self.targets.limits[single, 0] + left[single]
        return result

    def _roots(self) -> NeuronNodes:
        limits = self.targets.limits
        none = limits.new_full((len(limits),), -torch.inf)
        return NeuronNodes.roots(self.layers, self.targets.problem, none, limits.shape[1])

    def _parts(self, nodes: NeuronNodes, neuron: Tensor, at: Tensor) -> NeuronNodes:
        """Both parts of sub-problems whose neurons are split."""
        parts = nodes.children(neuron, at)
        return parts.relined(self.layers, self.targets.problem[parts.target])

    def _closed(self, nodes: NeuronNodes, *, last: bool = False) -> Tensor:
        """Mask of the closed sub-problems, ``[items]``; some for want of precision, maybe."""
        return self.targets.closed(nodes.target, nodes.bounds, ties=last or not self.resolve)

    def _settle(self, nodes: NeuronNodes) -> None:
        self._settled.scatter_reduce_(0, nodes.target, nodes.bounds, "amin")

    def _prune(self) -> None:
        closed = self._closed(self._open)
        if bool(closed.any()):
            self._settle(self._open[closed])
            self._open = self._open[~closed]

    def _merit(self, nodes: NeuronNodes) -> Tensor:
        """The promise of open sub-problems: their scaled distance below the limits, ``[items]``."""
        return -nodes.bounds / self.targets.scales(nodes.target)

    def _within_budget(self) -> None:
        self._open, surplus = self._pace.surplus(self._open, self._merit, self.budget)
        if len(surplus):
            self.full = True
            self._give_up(surplus)

    def _give_up(self, nodes: NeuronNodes) -> None:
        self._settle(nodes)
        self.gave_up = True

    def _lines(self, nodes: NeuronNodes) -> tuple[LineProblem, dict[int, Interval]]:
        return self.targets.lines(self.layers, nodes)

    def _chosen(self, problem: LineProblem) -> LineProblem:
        """The problem with the choices that gradient steps have."""
        cuts = {} if "beta" in self.without else problem.cuts
        return replace(problem, cuts=cuts, fixed="alpha" in self.without)

    def _bound(self, nodes: NeuronNodes, steps: int) -> None:
        """Bound sub-problems, look for incumbents in them, and keep what stays open."""
        problem, intervals = self._lines(nodes)
        record = self.forest is not None
        best = best_lines_in_single(
            self._chosen(problem),
            self._single,
            nodes.choices(),
            steps,
            keep=record,
            watch=self._whole,
        )
        self.explored += len(nodes)
        # A child's proof holds beside its parent's.
        bounds = torch.where(nodes.bounds > best.excess, nodes.bounds, best.excess)
        self._offer(nodes, best)
        nodes = replace(nodes.bounded(bounds, best.choices), node=self._record(nodes, best))
        closed = self._closed(nodes)
        self._settle(nodes[closed])
        keep = (~closed).nonzero().squeeze(1)
        if not len(keep):
            return
        seen = {p: values[keep] for p, values in best.seen.items()}
        lines = _taken((problem.relaxations, intervals), keep)
        nodes = nodes[keep]
        free = self._free(nodes, lines[1])
        done = self._done(nodes, free)
        if bool(done.any()):
            nodes = self._programmed(nodes, done)
            closed = self._closed(nodes)
            self._settle(nodes[closed])
            left = (~closed).nonzero().squeeze(1)
            nodes, free = nodes[left], free[left]
            seen = {p: values[left] for p, values in seen.items()}
            lines = _taken(lines, left)
            if not len(nodes):
                return
        nodes = self._decided(nodes, seen, lines, free)
        stuck = nodes.decision < 0
        if bool(stuck.any()):
            self._leaves(nodes[stuck])
        left_open = nodes[~stuck]
        self._open = self._open + left_open if len(self._open) else left_open

    def _free(self, nodes: NeuronNodes, intervals: Mapping[int, Interval]) -> Tensor:
        """The free neurons that each row depends on, ``[items, rows, neurons]``."""
        present = self.targets.present[nodes.target].unsqueeze(2)
        if not nodes.low:
            return present[:, :, :0]
        free = free_neurons(self.layers.network, intervals, nodes.low).unsqueeze(1) & present
        if self._reached is None:
            return free
        return free & self._reached[self.targets.rows[nodes.target]]

    def _done(self, nodes: NeuronNodes, free: Tensor) -> Tensor:
        """Rows of which the split just made has fixed the last neuron, ``[items, rows]``.

        A linear program bounds them once and for all, whatever the others of the group depend on.
        """
        done = self.targets.present[nodes.target] & ~free.any(dim=2)
        if self._reached is None or done.shape[1] == 1:
            # With the last split of one comes that of all, and a leaf.
            return torch.zeros_like(done)
        rows, last = self.targets.rows[nodes.target], nodes.decision.unsqueeze(1)
        mine = self._reached[rows, last.clamp(min=0)] & (last >= 0)
        return done & (done & mine).any(dim=1, keepdim=True) & free.any(dim=2).any(dim=1)[:, None]

    def _leaves(self, nodes: NeuronNodes) -> None:
        """Without a free neuron a linear program has the last word; it is always settled."""
        nodes = self._programmed(nodes, self.targets.present[nodes.target])
        closed = self._closed(nodes, last=True)
        self._settle(nodes[closed])
        if not bool(closed.all()):
            self._give_up(nodes[~closed])

    def _programmed(self, nodes: NeuronNodes, rows: Tensor) -> NeuronNodes:
        """With what linear programs prove about some rows of each, boolean ``[items, rows]``."""
        if "leaf-programs" in self.without:
            return nodes
        problem, _ = self._lines(nodes)
        problem, bounds = replace(problem, present=rows), nodes.bounds.clone()
        scales = self.targets.scales(nodes.target)
        points, places = [], []
        for item in rows.any(dim=1).nonzero().flatten().tolist():
            # Not by the end of a turn: what has no program then is given up.
            if self._whole.over:
                break
            leaf = leaf_bound(problem, item, float(scales[item]), self._whole)
            if leaf.point is not None:
                points.append(leaf.point)
                places.append(item)
            better = leaf.bound > float(bounds[item])
            bounds[item] = max(float(bounds[item]), leaf.bound)
            if self.resolve and leaf.bound >= float(bounds[item]) - 1e-9 * float(scales[item]):
                # Before anything that gradient steps have found, where that differs by rounding.
                leaf = replace(leaf.in_short_fractions(), bound=leaf.bound + float(scales[item]))
                better = True
            if better and self.forest is not None:
                self.forest.improve(int(nodes.node[item]), leaf, nodes[item : item + 1])
        if points:
            self._look_at(np.stack(points), self.targets.problem[nodes.target[places]])
        return replace(nodes, bounds=bounds)

    def _look_at(self, found: np.ndarray, place: Tensor) -> None:
        box = self.layers.box[place]
        points = torch.as_tensor(found, dtype=box.lower.dtype, device=box.lower.device)
        points = points.reshape(box.lower.shape)
        if isinstance(box, InputSet):
            points = project(points, box)
        self.goal.offer(self.layers.network, box, points, place)

    def _record(self, nodes: NeuronNodes, best: BestLines) -> Tensor:
        """The numbers of the nodes in the record; as they come, they carry their parents'."""
        return nodes.node if self.forest is None else self.forest.add(nodes, best)

    def _offer(self, nodes: NeuronNodes, best: BestLines) -> None:
        """The point where a sub-problem's line is least is a good guess."""
        place = self.targets.problem[nodes.target]
        box = self.layers.box[place]
        if isinstance(box, InputSet):
            _, moves = least_move(box, best.coefficients.double().unsqueeze(1))
            least = project(box.point + moves.reshape(box.point.shape), box)
        else:
            rising = (best.coefficients > 0).reshape(box.lower.shape)
            least = torch.where(rising, box.lower, box.upper)
        self.goal.offer(self.layers.network, box, least, place)

    def _decided(
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
        nodes, seen = self._for_a_row(nodes, seen)
        network, usable = self.layers.network, free.any(dim=1)
        scores = neuron_losses(network, seen, *lines, nodes.low)
        scores = torch.where(usable, scores, -torch.inf)
        likely = scores.topk(min(self._candidates, scores.shape[1]), dim=1).indices
        points = points_of(network, seen, lines[1], nodes.low, likely)
        best = self._likeliest(nodes, likely, points, usable.gather(1, likely))
        choice, at = (values.gather(1, best.unsqueeze(1)).squeeze(1) for values in (likely, points))
        # Without a free neuron there is nothing to do.
        choice = torch.where(usable.any(dim=1), choice, -torch.ones_like(choice))
        return replace(nodes, decision=choice, at=at)

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
        problem, _ = self._lines(nodes)
        below, above, alone = rows_alone(problem)
        urgency = self.goal.urgency()[self.targets.rows[nodes.target]]
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
        parts = self._parts(nodes, neuron, at)
        problem = self._chosen(self._lines(parts)[0])
        if self._single is not None:
            problem = problem.narrowed(self._single)
        excess = best_lines(problem, parts.choices(), 0).excess.to(self.floor)
        first, second = excess[: len(nodes)], excess[len(nodes) :]
        # A refuted child is worth no more than that; a little for the better one breaks ties.
        zero = self.targets.closing(nodes.target)
        worse, better = torch.minimum(first, second), torch.maximum(first, second)
        return torch.minimum(worse, zero) + 0.05 * torch.minimum(better, zero)


def _taken(lines: Lines, items: Tensor) -> Lines:
    """The lines and the bounds of some items."""
    relaxations, intervals = lines
    return (
        {p: part.of(items) for p, part in relaxations.items()},
        {p: (low[items], high[items]) for p, (low, high) in intervals.items()},
    )
