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
from sensverify.bounds.support import least_move
from sensverify.core.sets import InputSet
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.fixing import PRECISION, fix
from sensverify.solvers.branch_and_bound.goals import Goal
from sensverify.solvers.branch_and_bound.gradient_steps import steps_of_parts
from sensverify.solvers.branch_and_bound.leaves import leaf_bound
from sensverify.solvers.branch_and_bound.neuron_choice import free_neurons
from sensverify.solvers.branch_and_bound.neuron_forest import NeuronForest
from sensverify.solvers.branch_and_bound.neuron_nodes import NeuronNodes, reached_neurons
from sensverify.solvers.branch_and_bound.neuron_trials import Lines, Trials, merit
from sensverify.solvers.branch_and_bound.optimising import FRESH, BestLines, Rates, best_lines
from sensverify.solvers.branch_and_bound.pace import Pace
from sensverify.solvers.branch_and_bound.probing import Probing
from sensverify.solvers.branch_and_bound.pruning import Pruned
from sensverify.solvers.branch_and_bound.refining import OwnLines, refine
from sensverify.solvers.branch_and_bound.single_precision import best_lines_in_single, in_single
from sensverify.solvers.branch_and_bound.targets import Targets
from sensverify.solvers.branch_and_bound.techniques import Left

_SMALLEST_BATCH = 32
"""Sub-problems of the first step after the roots."""

STEP_SECONDS = 1.0
"""The longest that one step should take."""

ROOT_STEPS = 40
"""Gradient steps for whole boxes."""

FIRST = 8.0
"""Times that of the roots' bounds, for how long these are split, at most, before hidden layers are
bounded again."""

REFINING_SHARE = 0.35
"""Of the time left after the roots, what hidden layers may take."""


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
        self._rest_on(self.layers)
        self._open = self._roots()
        self._pace = Pace(min(_SMALLEST_BATCH, self.batch), self.batch, STEP_SECONDS)
        self._steps, self._rates = steps_of_parts(self.layers.network)
        self._probing = None
        # Rows of a group have turns, by their own lines.
        if "probing" not in self.without and self.targets.present.shape[1] == 1:
            self._probing = Probing.of(self._pruned.layers)

    def _rest_on(self, layers: LayerBounds, own: OwnLines | None = None) -> None:
        """Sub-problems from now on have these bounds on hidden layers, without dead neurons."""
        self.layers = layers
        whole = "pruning" in self.without
        self._pruned = Pruned.without_change(layers) if whole else Pruned.of(layers)
        network = self._pruned.layers.network
        self._reached = reached_neurons(self._pruned.layers, self.goal.rows)
        mixed = "mixed-precision" not in self.without
        self._single = in_single(network, self.floor.device) if mixed else None
        if self.forest is not None:
            self.forest.rest_on(self._pruned, own)

    def run(self) -> None:
        """Search until every target is refuted, the goal is reached or the watch is over."""
        self._began = True
        began = self._whole.now()
        self._bound_roots(self._open)
        # A single layer has exact bounds.
        refined = self._probing is None and "refinement" not in self.without
        if refined and self.goal.before > 0:
            self._split_first(min(self.goal.before, FIRST * (self._whole.now() - began)))
        if refined and len(self._open) and not self.goal.reached and not self._whole.over:
            share = REFINING_SHARE * self._whole.left
            before = self._pruned
            self._refine(self._whole.within(share if isfinite(share) else None))
            # They are roots again: nothing is split before.
            self._bound_roots(self._open.rooted(before, self._pruned))
        self.resume()

    def _split_first(self, seconds: float) -> None:
        """Split the roots for some time; where that is not enough, they are roots again."""
        roots, settled, whole = self._open, self._settled.clone(), self.watch
        lost = self.gave_up, self.full
        self.watch = whole.within(seconds)
        self.resume()
        self.watch = whole
        # What is proven of each by now stays proven, and targets that are refuted stay so.
        roots = replace(roots, bounds=roots.bounds.maximum(self._least()[roots.target]))
        roots = roots[~self._closed(roots)]
        self._settled[roots.target] = settled[roots.target]
        # What was given up among their parts is among the roots again; what was before is not.
        self._open, (self.gave_up, self.full) = roots, lost

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
            parts = self._trials.parts(chosen, chosen.decision, chosen.at)
            self._bound(parts, self._steps, self._rates)
            self._within_budget()
            pace.after(self.watch.now() - began)
            self.watch.say(f"{self.explored:,} sub-problems bounded, {len(self._open):,} open")

    def _refine(self, watch: Watch) -> None:
        own = None if self.forest is None else OwnLines(self.forest.entries, self.budget // 2)
        self._rest_on(refine(self.layers, watch, own), own)

    def _bound_roots(self, roots: NeuronNodes) -> None:
        self._open = roots[self.targets.problem[:0]]
        for first in range(0, len(roots), self.batch):
            places = torch.arange(first, len(roots), device=self.targets.problem.device)
            if self._whole.over:
                # Nothing is proven for these beyond what was known before.
                self._give_up(roots[places])
                break
            self._bound(roots[places[: self.batch]], ROOT_STEPS, FRESH)

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
        left = self._least()
        result = torch.full_like(self.floor, -torch.inf)
        single = self.targets.present.sum(dim=1) == 1
        place = self.targets.problem[single], self.targets.rows[single, 0]
        result[place] = self.targets.limits[single, 0] + left[single]
        return result

    def _least(self) -> Tensor:
        """The least bound among all sub-problems of each target."""
        return self._settled.scatter_reduce(0, self._open.target, self._open.bounds, "amin")

    def _roots(self) -> NeuronNodes:
        limits = self.targets.limits
        none = limits.new_full((len(limits),), -torch.inf)
        return NeuronNodes.roots(self._pruned.layers, self.targets.problem, none, limits.shape[1])

    def _closed(self, nodes: NeuronNodes, *, last: bool = False) -> Tensor:
        """Mask of the closed sub-problems, ``[items]``; some for want of precision, maybe."""
        return self.targets.closed(nodes.target, nodes.bounds, ties=last or not self.resolve)

    @property
    def _trials(self) -> Trials:
        # Layers change when they are refined.
        return Trials(self.targets, self._pruned.layers, self._single, self.without)

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

    def _bound(self, nodes: NeuronNodes, steps: int, rates: Rates) -> None:
        """Bound sub-problems, look for incumbents in them, and keep what stays open."""
        problem, intervals = self._trials.lines(nodes)
        record = self.forest is not None
        best = best_lines_in_single(
            self._trials.chosen(problem),
            self._single,
            nodes.choices(),
            steps,
            keep=record,
            rates=rates,
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
        if self._probing is None:
            nodes = self._trials.decided(nodes, seen, lines, free)
        else:
            nodes = self._probed(self._probing, nodes, free.any(dim=1))
            if not len(nodes):
                return
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
        free = (
            free_neurons(self._pruned.layers.network, intervals, nodes.low).unsqueeze(1) & present
        )
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
        problem, _ = self._trials.lines(nodes)
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

    def _probed(self, probing: Probing, nodes: NeuronNodes, free: Tensor) -> NeuronNodes:
        """With neurons fixed that have a closed side, and the one to split next of the others."""
        problem = self._trials.chosen(self._trials.lines(nodes)[0])
        found = best_lines(problem, nodes.choices(), 0, keep=True)
        probes = probing.probe(problem, found)
        margin = PRECISION * self.targets.scales(nodes.target)
        least = self.targets.closing(nodes.target) + margin
        fixed = fix(nodes, probes, found, free[:, probes.neuron], least, self.forest)
        closed = nodes.bounds.maximum(fixed.settled)
        self._settle(replace(nodes, bounds=closed)[fixed.settled.isfinite()])
        left = (~fixed.ended).nonzero().squeeze(1)
        first, second = probes.above[left], probes.below[left]
        scores = merit(first, second, least[left].unsqueeze(1))
        scores = torch.where(fixed.free[left], scores, -torch.inf)
        choice = probes.neuron[scores.argmax(dim=1)]
        choice = torch.where(fixed.free[left].any(dim=1), choice, -1)
        nodes = fixed.nodes[left]
        return replace(nodes, decision=choice, at=torch.zeros_like(nodes.at))


def _taken(lines: Lines, items: Tensor) -> Lines:
    """The lines and the bounds of some items."""
    relaxations, intervals = lines
    return (
        {p: part.of(items) for p, part in relaxations.items()},
        {p: (low[items], high[items]) for p, (low, high) in intervals.items()},
    )
