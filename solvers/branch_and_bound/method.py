"""Branch and bound on linear bounds: exact ranges and answers to queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf, prod
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.method import Decider, Method, require_known_set
from sensverify.bounds.relaxation import Slope
from sensverify.bounds.tensors import flattened, tensor_box, tensor_network
from sensverify.bounds.threads import torch_threads
from sensverify.bounds.unstable import count_unstable
from sensverify.bounds.varied import decide_over_parameters
from sensverify.core.box import Box
from sensverify.core.proof import Cells, Proof
from sensverify.core.queries import Accept, Decision, Query, Verdict
from sensverify.core.results import Enclosure, Guarantee
from sensverify.core.sets import Ball, Constrained, InputSet, Patch, Varied
from sensverify.errors import BadSetting, Unbounded
from sensverify.network import Network
from sensverify.network.operators import Nonlinear, PiecewiseLinear
from sensverify.registry.ranges import AtLeast0, Count, Seconds
from sensverify.runs.watch import Watch
from sensverify.solvers.brackets import Brackets
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.goals import Goal, LimitGoal, RangeGoal
from sensverify.solvers.branch_and_bound.input_splitting import InputSplitting
from sensverify.solvers.branch_and_bound.input_tree import FEW_FEATURES, InputTree
from sensverify.solvers.branch_and_bound.neuron_forest import NeuronForest
from sensverify.solvers.branch_and_bound.neuron_splitting import NeuronSplitting
from sensverify.solvers.branch_and_bound.phases import Phases
from sensverify.solvers.branch_and_bound.probing import one_layer
from sensverify.solvers.branch_and_bound.query_goal import QueryGoal
from sensverify.solvers.branch_and_bound.racing import race
from sensverify.solvers.branch_and_bound.searching import Search
from sensverify.solvers.branch_and_bound.split_rules import can_split
from sensverify.solvers.branch_and_bound.step_intervals import has_steps
from sensverify.solvers.branch_and_bound.sub_boxes import root_bounds
from sensverify.solvers.branch_and_bound.techniques import Left
from sensverify.solvers.branch_and_bound.whole_boxes import refuted_on_whole_boxes
from sensverify.solvers.branch_and_bound.witness_search import WitnessSearch

FEW_KINKS = 64
"""Unstable neurons up to which they are split after all when splitting inputs takes long."""

MANY_FEATURES = 64
"""Input features that move, from which on no input is split: one of so many moves nothing."""

_PATIENCE = 2048
"""Sub-boxes of each problem that count as long."""

_ENOUGH = 1 << 17
"""Sub-boxes of each problem after which what another method has found is not proven again."""

_JUMPS = 1 << 8
"""Sub-boxes of each problem that are tried where a network has jumps: where one runs through a
sub-box, bounds on both of its sides never meet, and splits at the jump itself go on."""

_BEFORE = 10.0
"""Times that of bounding layers: about as long as bounding them again takes. What is decided by
splitting in that time needs no better bounds, and anything else takes twice as long at most."""

_NUMBERS = 1 << 22
"""Neurons times sub-problems that are bounded at a time when these are split."""


@dataclass(frozen=True)
class BranchAndBound(Method, Decider):
    """Exact ranges by splitting: batched CROWN over many sub-problems at once, best first.

    Parameters
    ----------
    seconds : float or None
        Wall time for one call; what is proven by then is returned.
    objective_seconds : float or None
        Wall time for each end of each objective of a sample. Sub-boxes serve all of them, so it
        counts as that time for all together.
    gap : float
        An end is exact when the proven value is this close to the attained one, relative to the
        larger magnitude of the objective's two ends.
    split : str
        ``inputs`` cuts the input box, ``neurons`` what enters nonlinear functions (at the kink of a
        ReLU), ``auto`` chooses.
    without : tuple of str
        Techniques that the search does without, such as ``("clipping", "lookahead")``: to see what
        each is worth. `sensverify.solvers.branch_and_bound.TECHNIQUES` has them all, and what each
        does.
    batch : int
        Sub-problems bounded at a time, at most.
    memory : int
        Bytes for the open sub-problems, and as much again for the record behind a proof; for each
        of both searches where a query is looked at from both sides. Where a record outgrows it, the
        proof has larger cells, and proves less.
    threads : int or None
        Of the processor; None leaves torch's own number.
    seed : int
        Seeds the search for attained values.
    device : str
        Where queries are answered; ranges are computed where their box is.
    proof : bool
        Whether `decide` keeps what refutes a query also where neurons are split: that takes a few
        percent of the time, and memory. The record of sub-boxes costs nothing to speak of.
    resolve : bool
        Whether neurons are split to the end where a strict limit of a query is reached up to
        rounding: for a proof that exact arithmetic may accept.

    Notes
    -----
    Guarantee SOUND: in real arithmetic, computed in float64. Sources: Bunel et al. 2020, *Branch
    and bound for piecewise linear neural network verification*; Wang et al. 2021, *Beta-CROWN*;
    Zhou et al. 2025, *Clip-and-Verify*; Savelsbergh 1994, *Preprocessing and probing techniques for
    mixed integer programming problems*.
    """

    seconds: Seconds | None = None
    objective_seconds: Seconds | None = None
    gap: AtLeast0 = 1e-6
    split: Literal["auto", "inputs", "neurons"] = "auto"
    without: Left = ()
    batch: Count = 2048
    memory: Count = 1 << 30
    threads: Count | None = None
    seed: int = 0
    device: str = "cpu"
    proof: bool = False
    resolve: bool = False

    name: ClassVar[str] = "branch-and-bound"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND
    anytime: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    dtype: ClassVar[str] = "float64"
    sets = (Ball, Constrained, Patch)
    proves_sets = True

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        return self._range(network, box, objectives, watch, record=False)

    def prove(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """As `bound`, with what the proven ends follow from: `ProvingMethod.prove`.

        Notes
        -----
        Where splitting inputs cuts off what is decided already, the cells of the proof may be
        larger than the sub-boxes that were bounded, and prove a little less.
        """
        return self._range(network, box, objectives, watch, record=True)

    def prove_limits(
        self,
        network: Network,
        box: Box,
        objectives: Tensor,
        lower: Tensor,
        upper: Tensor,
        *,
        watch: Watch | None = None,
    ) -> Proof:
        """Prove that ``lower <= objectives · f(x) <= upper``, or as much as time allows.

        Parameters
        ----------
        network : Network
        box : Box of tensors, shape ``[batch, *input_shape]``
        objectives : Tensor, shape ``[batch or 1, rows, outputs]``
        lower, upper : Tensor, shape ``[batch, rows]``
            What another method has found.

        Returns
        -------
        Proof
            About the rows ``[objectives; -objectives]``. It may prove less than was asked for:
            whoever evaluates it sees.
        """
        watch = self._watch(watch, box.batch * 2 * objectives.shape[1])
        live, box = _in_double(network, box)
        rows = objectives.detach().to(box.lower)
        with torch.no_grad(), torch_threads(self.threads):
            layers = LayerBounds(live, box, Slope.ADAPTIVE, watch).fill()
            goal = LimitGoal.start(rows, lower.to(box.lower), upper.to(box.lower), gap=self.gap)
            search = self._search(layers, goal, watch, record=True)
            return search.proof()

    def _range(
        self, network: Network, box: Box, objectives: Tensor, watch: Watch | None, *, record: bool
    ) -> Enclosure:
        watch = self._watch(watch, box.batch * 2 * objectives.shape[1])
        asked = box
        live, box = _in_double(network, box)
        rows = objectives.detach().to(box.lower)
        with torch.no_grad(), torch_threads(self.threads):
            layers = LayerBounds(live, box, Slope.ADAPTIVE, watch).fill()
            goal = RangeGoal.start(
                live,
                box,
                rows,
                gap=self.gap,
                seed=self.seed,
                watch=watch,
                attack="attack" not in self.without,
            )
            search = self._search(layers, goal, watch, record=record)
            found = _enclosure(layers, asked, goal, search.bounds)
            return replace(found, certificate=search.proof() if record else None)

    def decide(
        self,
        network: Network,
        query: Query,
        *,
        watch: Watch | None = None,
        accept: Accept | None = None,
    ) -> Decision:
        watch = self._watch(watch, 1)
        if isinstance(query.box, Varied):
            return decide_over_parameters(network, query, accept, partial(self.decide, watch=watch))
        require_known_set(self.name, self.sets, query.box)
        if not query.alternatives:
            none = Proof.of(Cells.roots(np.zeros(1)), entries=len(Entries.of(network)))
            return Decision(Verdict.UNSAT, certificate=none)
        phases = Phases(watch.now)
        decision = self._decided(network, query, accept, watch, phases)
        return replace(decision, phases=phases.seconds())

    def _decided(
        self, network: Network, query: Query, accept: Accept | None, watch: Watch, phases: Phases
    ) -> Decision:
        live, box = _in_double(network, query.box, self.device)
        with torch.no_grad(), torch_threads(self.threads):
            goal = QueryGoal.start(query, accept, box.lower)
            goal.attack = "attack" not in self.without
            # A short look for a witness, then one for a proof, then a long one for a witness.
            goal.search(live, box, watch, seed=self.seed, starts=64, steps=10)
            if goal.witness is not None:
                return Decision(Verdict.SAT, witness=goal.witness)
            if not all(query.alternatives):
                # It holds everywhere, and no input was believed: there is nothing to refute.
                return Decision(Verdict.UNKNOWN)
            phases.begin("bounding")
            began = watch.now()
            layers = LayerBounds(live, box, Slope.ADAPTIVE, watch).fill()
            goal.before = _BEFORE * (watch.now() - began)
            goal.allow_rounding(network, box, layers.pre_activations)
            if _refuted(layers, goal, ties=not self.resolve):
                return _answer(goal, 1, Search(layers, goal, None).proof())
            phases.begin("looking")
            if not watch.over:
                goal.search(live, box, watch, seed=self.seed + 1, starts=256, steps=40)
            if goal.witness is not None:
                return Decision(Verdict.SAT, witness=goal.witness)
            if goal.attack:
                goal.beside = WitnessSearch(live, box, watch, self.seed).turn
            # The record of sub-boxes costs nothing to speak of.
            record = self.proof or goal.may_tie or self._splits(live, box, goal) == (True, False)
            phases.begin("splitting")
            search = self._search(layers, goal, watch, record=record)
        if goal.witness is not None:
            return Decision(Verdict.SAT, witness=goal.witness, explored=search.explored)
        if search.finished:
            recorded = record or search.neurons is None
            return _answer(goal, search.explored, search.proof() if recorded else None)
        short = goal.shortfall(search.bounds)
        if watch.over:
            return Decision(Verdict.TIMEOUT, explored=search.explored, shortfall=short)
        # What is left cannot be split: there a kink may run along a strict limit.
        tied = goal.may_tie and not goal.reached
        proof = search.proof() if tied else None
        why = "" if tied else _why_open(goal, search)
        return Decision(
            Verdict.UNKNOWN, None, search.explored, proof, tied, shortfall=short, reason=why
        )

    def refute(
        self, network: Network, queries: Sequence[Query], *, watch: Watch | None = None
    ) -> list[Decision | None]:
        """UNSAT where bounds on the whole box are enough; see `Refuter`."""
        watch = self._watch(watch, 1)
        live, box = _in_double(network, queries[0].box, self.device)
        neurons = sum(prod(node.shape) for node in live.nodes)
        batch = max(1, min(self.batch, self.memory // (64 * 8 * neurons)))
        with torch.no_grad(), torch_threads(self.threads):
            return refuted_on_whole_boxes(
                network, live, queries, device=box.lower.device, batch=batch, watch=watch
            )

    def _watch(self, watch: Watch | None, ends: int) -> Watch:
        watch = (watch or Watch()).within(self.seconds)
        return watch.within(
            None if self.objective_seconds is None else self.objective_seconds * ends
        )

    def _search(self, layers: LayerBounds, goal: Goal, watch: Watch, *, record: bool) -> Search:
        """The finished search; by what it splits depends on the network and the box."""
        network, box = layers.network, layers.box
        by_inputs, by_neurons = self._splits(network, box, goal)
        inputs: InputSplitting | None = None
        # Without time to split anything, the bounds on the whole boxes are the answer.
        if by_inputs and not watch.over:
            # Where sub-boxes win, their record, which costs nothing to speak of, is the proof.
            inputs = self._inputs(layers, goal, watch, record or by_neurons)
            if by_neurons:
                return self._raced(layers, goal, watch, inputs, record)
            patience = inf
            if not isinstance(goal, QueryGoal) or goal.may_tie:
                inputs.limit = patience = self._patience(layers)
                if isinstance(goal, LimitGoal):
                    inputs.limit = min(inputs.limit, float(_ENOUGH * box.batch))
            if has_steps(network) and "portfolio" not in self.without:
                inputs.limit = min(inputs.limit, float(_JUMPS * box.batch))
            inputs.run(box)
            if (
                self.split == "inputs"
                or inputs.explored < inputs.limit
                or inputs.finished
                or goal.reached
                or watch.over
            ):
                again = None
                if record and inputs.tightens and patience < inf:
                    # Its cells have CROWN's lines alone.
                    again = self._again(layers, goal, watch, inputs.bounds())
                return Search(layers, goal, inputs, None, again)
        # Kinks that run along where the least value is taken leave boxes open on both sides,
        # however small: with few of them, taking these apart ends the search.
        root = root_bounds(layers, goal.rows)
        if inputs is None:
            neurons = self._split_neurons(layers, goal, watch, root, record)
            return Search(layers, goal, None, neurons)
        known = inputs.bounds()
        neurons = self._split_neurons(layers, goal, watch, root.maximum(known), record)
        neurons.explored += inputs.explored
        if not record:
            return Search(layers, goal, inputs, neurons)
        return Search(layers, goal, inputs, neurons, self._again(layers, goal, watch, known))

    def _inputs(
        self, layers: LayerBounds, goal: Goal, watch: Watch, record: bool
    ) -> InputSplitting:
        network = layers.network
        # A pass keeps a few arrays of every layer for each sub-box.
        neurons = sum(prod(node.shape) for node in network.nodes)
        batch = max(1, min(self.batch, self.memory // (64 * 8 * neurons)))
        tree = InputTree(Entries.of(network), self.memory if record else 0)
        return InputSplitting(network, goal, batch, self.memory, watch, tree, without=self.without)

    def _raced(
        self,
        layers: LayerBounds,
        goal: Goal,
        watch: Watch,
        inputs: InputSplitting,
        record: bool,
    ) -> Search:
        """The search that ends first, of both."""
        inputs.watch = watch.within(0.0)
        inputs.run(layers.box)
        if inputs.finished or goal.reached:
            return Search(layers, goal, inputs)
        root = root_bounds(layers, goal.rows)
        neurons = self._neurons(layers, goal, watch, root, record)
        if race(neurons, inputs, watch) is inputs:
            inputs.explored += neurons.explored
            return Search(layers, goal, inputs)
        neurons.explored += inputs.explored
        return Search(layers, goal, None, neurons)

    def _again(
        self, layers: LayerBounds, goal: Goal, watch: Watch, known: Tensor
    ) -> NeuronSplitting:
        """A proof by splitting neurons of what sub-boxes have closed: it has far fewer cells."""
        root = root_bounds(layers, goal.rows)
        floor = torch.where(known >= goal.thresholds(), root, torch.inf)
        return self._split_neurons(layers, goal, watch, floor, True)

    def _split_neurons(
        self, layers: LayerBounds, goal: Goal, watch: Watch, floor: Tensor, record: bool
    ) -> NeuronSplitting:
        """The finished search among what the floor leaves open."""
        search = self._neurons(layers, goal, watch, floor, record)
        search.run()
        return search

    def _neurons(
        self, layers: LayerBounds, goal: Goal, watch: Watch, floor: Tensor, record: bool
    ) -> NeuronSplitting:
        neurons = sum(prod(node.shape) for node in layers.network.nodes)
        batch = min(self.batch, max(8, _NUMBERS // neurons))
        forest = NeuronForest(Entries.of(layers.network), self.memory) if record else None
        return NeuronSplitting(
            layers, goal, batch, self.memory, watch, floor, forest, self.resolve, self.without
        )

    def _patience(self, layers: LayerBounds) -> float:
        """Sub-boxes to try before kinks are split instead: without limit where these are many.

        Not for queries, which are refuted faster by sub-boxes where rows must hold together, unless
        equality decides: kinks that run along a strict limit are closed by no sub-box.
        """
        network, batch = layers.network, layers.box.batch
        kinds = (network.nodes[position].operator for position in layers.pre_activations)
        unstable = count_unstable(network, layers.pre_activations, batch)
        few = int(unstable.max()) <= FEW_KINKS
        kinked = all(isinstance(kind, PiecewiseLinear) for kind in kinds)
        if self.split == "auto" and few and kinked and "portfolio" not in self.without:
            return float(_PATIENCE * batch)
        return inf

    def _splits(self, network: Network, box: Box, goal: Goal) -> tuple[bool, bool]:
        """Whether inputs are split, and whether neurons are, from the start.

        A few features are split at once, and of many each one alone moves nothing. In between,
        queries are looked at from both sides, but of a single layer of ReLUs, of which neurons are
        probed; ranges are left to the inputs, where functions are curved.
        """
        if isinstance(box, InputSet):
            if self.split == "inputs":
                raise BadSetting(
                    f"{self.name} splits no inputs in a set of the kind '{box.kind}'",
                    "leave `split` out, or give `split=neurons`",
                )
            return False, True
        if self.split != "auto":
            return self.split == "inputs", self.split == "neurons"
        moving = int(flattened(box.lower < box.upper).sum(dim=1).amax())
        kinds = [n.operator for n in network.nodes if isinstance(n.operator, Nonlinear)]
        if moving <= FEW_FEATURES or not all(can_split(kind) for kind in kinds):
            return True, False
        if has_steps(network):
            # Of steps, splits decide as much at once as of kinks.
            return False, True
        if isinstance(goal, QueryGoal):
            alone = "portfolio" in self.without
            # Probing takes a single layer apart sooner than any split of inputs.
            alone |= one_layer(network) and "probing" not in self.without
            return moving <= MANY_FEATURES and not alone, True
        # Of curved functions no last split is reached: what is only to be proven again may not be.
        kinked = all(isinstance(kind, PiecewiseLinear) for kind in kinds)
        by_neurons = kinked or (moving > MANY_FEATURES and not isinstance(goal, LimitGoal))
        return not by_neurons, by_neurons


def _in_double(network: Network, box: Box, where: str | None = None) -> tuple[Network, Box]:
    device = box.lower.device if where is None else torch.device(where)
    live = tensor_network(network, dtype=torch.float64, device=device)
    return live.map_arrays(Tensor.detach), tensor_box(box, dtype=torch.float64, device=device)


def _refuted(layers: LayerBounds, goal: QueryGoal, *, ties: bool) -> bool:
    """True where CROWN's bounds on the whole box answer the query, or do so up to ties."""
    bounds = root_bounds(layers, goal.rows)
    refuted = [bounds >= least for least in (goal.thresholds(), goal.ties())]
    surely, maybe = (
        all(bool(closed[0, list(group)].any()) for group in goal.groups) for closed in refuted
    )
    if maybe and not surely and ties:
        goal.tie()
    return maybe if ties else surely


def _why_open(goal: QueryGoal, search: Search) -> str:
    """The reason, other than time, why there is no answer; empty where there is none."""
    if goal.reached:
        return "every input that was found to meet the query was refused when it was replayed"
    neurons = search.neurons
    if neurons is None or not neurons.exhausted:
        return ""
    if neurons.full:
        return "sub-problems were given up for want of memory; `memory` sets how much there is"
    return (
        "nothing is left to split, and bounds are short of the limits: they take jumps and kinks "
        "for reached from both sides"
    )


def _answer(goal: QueryGoal, explored: int, proof: Proof | None) -> Decision:
    """The answer where everything is closed."""
    verdict = Verdict.UNKNOWN if goal.tied else Verdict.UNSAT
    return Decision(verdict, explored=explored, certificate=proof, tied=goal.tied)


def _enclosure(layers: LayerBounds, asked: Box, goal: RangeGoal, proven: Tensor) -> Enclosure:
    """Both ends of every objective from the smallest values of ``[C; -C]``."""
    network, box = layers.network, layers.box
    if not bool((proven.isfinite() & goal.values.isfinite()).all()):
        raise Unbounded(
            "the network's outputs, or the bounds on them, overflow float64 somewhere in the box: "
            "unbounded",
            "use a smaller box",
        )
    known = Brackets(network, box, goal.rows, asked, proven, goal.values, goal.points)
    unstable = count_unstable(network, layers.pre_activations, box.batch)
    return known.enclosure(goal.gap, unstable)
