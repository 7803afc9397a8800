"""Branch and bound on linear bounds: exact ranges and answers to queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf, prod
from typing import ClassVar

import torch
from torch import Tensor

from sensverify.bounds.ibp import count_unstable
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope
from sensverify.bounds.tensors import tensor_box, tensor_network
from sensverify.box import Box
from sensverify.errors import BadSetting, Unbounded
from sensverify.network import Network
from sensverify.network.operators import Elementwise, Max, Relu
from sensverify.queries import Accept, Decision, Query, Verdict
from sensverify.results import Enclosure, Guarantee
from sensverify.solvers.brackets import Brackets
from sensverify.solvers.branch_and_bound.goals import QueryGoal, RangeGoal
from sensverify.solvers.branch_and_bound.input_splitting import InputSplitting
from sensverify.solvers.branch_and_bound.relu_splitting import ReluSplitting
from sensverify.solvers.branch_and_bound.sub_boxes import root_bounds
from sensverify.solvers.branch_and_bound.tree import TreeRecorder
from sensverify.solvers.gap import check_limits
from sensverify.watch import Watch

FEW_RELUS = 64
"""Unstable ReLUs up to which they are split after all when splitting inputs takes long."""

_PATIENCE = 2048
"""Sub-boxes of each problem that count as long."""

FEW_FEATURES = 12
"""Input features that move, up to which the input box is split."""

_RELU_NUMBERS = 1 << 20
"""Neurons times sub-problems that are bounded at a time when ReLUs are split."""

Search = InputSplitting | ReluSplitting


@dataclass(frozen=True)
class BranchAndBound:
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
        ``inputs`` cuts the input box, ``relus`` fixes the signs of ReLUs, ``auto`` chooses.
    batch : int
        Sub-problems bounded at a time, at most.
    memory : int
        Bytes for the open sub-problems, and as much again for the split tree.
    threads : int or None
        Of the processor; None leaves torch's own number.
    seed : int
        Seeds the search for attained values.
    device : str
        Where queries are answered; ranges are computed where their box is.

    Notes
    -----
    Guarantee SOUND: in real arithmetic, computed in float64. Sources: Bunel et al. 2020, *Branch
    and bound for piecewise linear neural network verification*; Wang et al. 2021, *Beta-CROWN*;
    Zhou et al. 2025, *Clip-and-Verify*.
    """

    seconds: float | None = None
    objective_seconds: float | None = None
    gap: float = 1e-6
    split: str = "auto"
    batch: int = 2048
    memory: int = 1 << 30
    threads: int | None = None
    seed: int = 0
    device: str = "cpu"

    name: ClassVar[str] = "branch-and-bound"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND
    anytime: ClassVar[bool] = True
    dtype: ClassVar[str] = "float64"

    def __post_init__(self) -> None:
        check_limits(self.name, self.gap, self.seconds, self.objective_seconds)
        if self.split not in ("auto", "inputs", "relus"):
            raise BadSetting(f"{self.name} splits inputs, relus or auto, got {self.split!r}")
        for name in ("batch", "memory"):
            if not getattr(self, name) >= 1:
                raise BadSetting(f"{self.name} needs {name} >= 1, got {getattr(self, name)!r}")
        if self.threads is not None and not self.threads >= 1:
            raise BadSetting(f"{self.name} needs threads >= 1, got {self.threads!r}")

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        watch = self._watch(watch, box.batch * 2 * objectives.shape[1])
        given = box
        live, box = _in_double(network, box)
        rows = objectives.detach().to(box.lower)
        with torch.no_grad(), _threads(self.threads):
            layers = LayerBounds(live, box, Slope.ADAPTIVE).fill()
            goal = RangeGoal.start(live, box, rows, gap=self.gap, seed=self.seed)
            search = self._search(layers, goal, watch)
        return _enclosure(layers, given, goal, search)

    def decide(
        self,
        network: Network,
        query: Query,
        *,
        watch: Watch | None = None,
        accept: Accept | None = None,
    ) -> Decision:
        watch = self._watch(watch, 1)
        if not query.alternatives:
            return Decision(Verdict.UNSAT)
        live, box = _in_double(network, query.box, self.device)
        with torch.no_grad(), _threads(self.threads):
            goal = QueryGoal.start(query, accept, box.lower)
            # A short look for a witness, then one for a proof, then a long one for a witness.
            goal.search(live, box, seed=self.seed, starts=64, steps=10)
            if goal.witness is not None:
                return Decision(Verdict.SAT, witness=goal.witness)
            if not all(query.alternatives):
                # It holds everywhere, and no input was believed: there is nothing to refute.
                return Decision(Verdict.UNKNOWN)
            layers = LayerBounds(live, box, Slope.ADAPTIVE).fill()
            if _refuted(layers, goal):
                return Decision(Verdict.UNSAT, explored=1)
            goal.search(live, box, seed=self.seed + 1, starts=256, steps=40)
            if goal.witness is not None:
                return Decision(Verdict.SAT, witness=goal.witness)
            search = self._search(layers, goal, watch)
        if goal.witness is not None:
            return Decision(Verdict.SAT, witness=goal.witness, explored=search.explored)
        if search.finished:
            return Decision(Verdict.UNSAT, explored=search.explored, certificate=search.tree())
        verdict = Verdict.TIMEOUT if watch.over else Verdict.UNKNOWN
        return Decision(verdict, explored=search.explored)

    def _watch(self, watch: Watch | None, ends: int) -> Watch:
        watch = (watch or Watch()).within(self.seconds)
        return watch.within(
            None if self.objective_seconds is None else self.objective_seconds * ends
        )

    def _search(self, layers: LayerBounds, goal: RangeGoal | QueryGoal, watch: Watch) -> Search:
        """The finished search; by what it splits depends on the network and the box."""
        network, box = layers.network, layers.box
        neurons = sum(prod(node.shape) for node in network.nodes)
        found: InputSplitting | None = None
        if self._splits_inputs(network, box):
            # A pass keeps a few arrays of every layer for each sub-box.
            batch = max(1, min(self.batch, self.memory // (64 * 8 * neurons)))
            recorder = TreeRecorder(self.memory)
            search = InputSplitting(network, goal, batch, self.memory, watch, recorder)
            if isinstance(goal, RangeGoal):
                search.limit = self._patience(layers)
            search.run(box)
            if search.explored < search.limit or search.finished or goal.reached or watch.over:
                return search
            # Kinks that run along where the least value is taken leave boxes open on both sides,
            # however small: with few of them, taking these apart ends the search.
            found = search
        batch = min(self.batch, max(8, _RELU_NUMBERS // neurons))
        floor, explored = root_bounds(layers, goal.rows), 0
        if found is not None:
            floor, explored = torch.maximum(floor, found.bounds()), found.explored
        relus = ReluSplitting(layers, goal, batch, self.memory, watch, floor, explored)
        relus.run()
        return relus

    def _patience(self, layers: LayerBounds) -> float:
        """Sub-boxes to try before ReLUs are split instead: without limit where these are many.

        For ranges only: queries whose rows must hold together are refuted faster by sub-boxes.
        """
        network, batch = layers.network, layers.box.batch
        kinds = (network.nodes[position].operator for position in layers.pre_activations)
        unstable = count_unstable(network, layers.pre_activations, batch)
        few = int(unstable.max()) <= FEW_RELUS
        if self.split == "auto" and few and all(isinstance(kind, Relu) for kind in kinds):
            return float(_PATIENCE * batch)
        return inf

    def _splits_inputs(self, network: Network, box: Box) -> bool:
        if self.split != "auto":
            return self.split == "inputs"
        moving = (box.lower < box.upper).flatten(1).sum(dim=1).amax()
        kinds = (node.operator for node in network.nodes)
        nonlinear = [k for k in kinds if isinstance(k, Elementwise | Max)]
        return int(moving) <= FEW_FEATURES or not all(isinstance(k, Relu) for k in nonlinear)


def _in_double(network: Network, box: Box, where: str | None = None) -> tuple[Network, Box]:
    device = box.lower.device if where is None else torch.device(where)
    live = tensor_network(network, dtype=torch.float64, device=device)
    return live.map_arrays(Tensor.detach), tensor_box(box, dtype=torch.float64, device=device)


def _refuted(layers: LayerBounds, goal: QueryGoal) -> bool:
    """Whether CROWN's bounds on the whole box answer the query."""
    closed = root_bounds(layers, goal.rows) >= goal.thresholds()
    return all(bool(closed[0, list(group)].any()) for group in goal.groups)


def _enclosure(layers: LayerBounds, asked: Box, goal: RangeGoal, search: Search) -> Enclosure:
    """Both ends of every objective from the smallest values of ``[C; -C]``."""
    network, box, proven = layers.network, layers.box, search.bounds()
    if not bool((proven.isfinite() & goal.values.isfinite()).all()):
        raise Unbounded(
            "the network's outputs, or the bounds on them, overflow float64 somewhere in the box: "
            "unbounded; use a smaller box"
        )
    known = Brackets(network, box, goal.rows, asked, proven, goal.values, goal.points)
    unstable = count_unstable(network, layers.pre_activations, box.batch)
    return replace(known.enclosure(goal.gap, unstable), certificate=search.tree())


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Torch's number of threads, put back afterwards."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
