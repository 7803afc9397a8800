"""Ranges by mixed-integer programming with HiGHS: exact, or from outside where functions curve."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.ibp import Interval
from sensverify.bounds.method import Decider, Method, PreActivationBounds, Tighten
from sensverify.bounds.varied import decide_over_parameters
from sensverify.core.box import Box
from sensverify.core.queries import Accept, Decision, Query, Verdict
from sensverify.core.results import Enclosure, Guarantee
from sensverify.core.sets import Ball, Constrained, Patch, Varied
from sensverify.formats.programs import Program
from sensverify.network import Network
from sensverify.network.operators import Steps
from sensverify.registry.ranges import AtLeast0, Count, Range, Seconds
from sensverify.runs.watch import TimeUp, Watch
from sensverify.solvers.brackets import Brackets, set_of
from sensverify.solvers.deciding import decide
from sensverify.solvers.encoding import SEGMENTS, Encoder, Encoding, Form
from sensverify.solvers.encoding.envelopes import has_segments
from sensverify.solvers.hidden_layers import prepare
from sensverify.solvers.highs import Highs
from sensverify.solvers.incumbents import search
from sensverify.solvers.lp import relax_ends, sample_of, share
from sensverify.solvers.program import Writing, network_program
from sensverify.solvers.proving import proven_again
from sensverify.solvers.tightening import kinks, tightened

SMALL = 20
"""Kinks up to which a program is solved at once: tightening it would take longer."""

INSET = 1e-6
"""Distance from jumps at which a network's value is sure, in whatever the solver's tolerances."""

COARSE = 2
"""Segments that curves and products are cut into at first."""

LARGE = 60
"""Kinks above which programs are not expected to end."""


@dataclass(frozen=True)
class Milp(Method, Decider):
    """The exact range of every objective: one big-M program for each box, solved by HiGHS.

    Curved functions and products lie in envelopes of lines on segments: the range is then an outer
    one, and exact only where it meets what is attained.

    The bounds behind the big-M constants are CROWN's; those of neurons with a kink inside are
    tightened, layer by layer, by linear and small mixed-integer programs when there are many.
    Attained values come from sampling, gradients and the solver's points; each is the network's
    own output at an input.

    Parameters
    ----------
    seconds : float or None
        Wall time for a call. What is not reached keeps the best bounds so far.
    objective_seconds : float or None
        Wall time for each end of each objective.
    gap : float
        Relative difference between a proven and an attained end that counts as exact.
    threads : int
        Of HiGHS.
    seed : int
        Of sampling and of HiGHS.
    tightening : float
        Share of the time that tightening hidden bounds may take.
    intermediate : method or None
        Where the first bounds on hidden layers come from; None is the best of CROWN, LP-dual and
        interval arithmetic.
    segments : int
        Into how many the interval of what enters a curve, and of one factor of a product, is cut:
        a binary for each cut. 1 is the relaxation of `Lp` there. Two come first, in half of the
        time.

    Notes
    -----
    Guarantee SOLVER: within HiGHS's tolerances. The outer bound is HiGHS's dual bound, never the
    value of a point. Source: Wang et al., Section 3.1; Tjeng et al. 2019, *Evaluating robustness
    of neural networks with mixed integer programming*.
    """

    seconds: Seconds | None = None
    objective_seconds: Seconds | None = None
    gap: AtLeast0 = 1e-6
    threads: Count = 1
    seed: int = 0
    tightening: Annotated[float, Range(0, 1, below=True)] = 0.25
    intermediate: PreActivationBounds | None = None
    segments: Count = SEGMENTS

    name: ClassVar[str] = "milp"
    guarantee: ClassVar[Guarantee] = Guarantee.SOLVER
    anytime: ClassVar[bool] = True
    arithmetic: ClassVar[str] = "float64"
    """Whatever the type of the box: ends are rounded outward to it."""
    differentiable: ClassVar[bool] = False
    sets = (Ball, Constrained, Patch)

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        watch = (watch or Watch()).within(self.seconds)
        known = Brackets.start(network, box, objectives)
        hidden = prepare(known, self.intermediate, watch)
        pre_activations, unstable = hidden.pre_activations, hidden.unstable
        del hidden
        self._sample_points(known, watch)
        encoder = Encoder(known.network, self.segments)
        # Those with the fewest kinks first: what they leave of their time goes to the others.
        order = unstable.argsort().tolist()
        for done, sample in enumerate(order):
            if watch.over:
                break
            if not bool(known.closed(self.gap)[sample].all()):
                part = watch.within(share(watch, box.batch - done))
                with suppress(TimeUp):
                    self._solve(known, sample, encoder, pre_activations, part)
            watch.say(f"milp: sample {done + 1} of {box.batch}")
        return known.enclosure(self.gap, unstable)

    def prove(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """As `bound`, with a proof by branch and bound of what was found: `proven_again`."""
        return proven_again(self, network, box, objectives, watch)

    def decide(
        self,
        network: Network,
        query: Query,
        *,
        watch: Watch | None = None,
        accept: Accept | None = None,
    ) -> Decision:
        """Decide if an input meets a query; see `Decider`.

        UNSAT rests on dual bounds alone: for every alternative the largest violation of its
        constraints is minimised, and its bound has to lie above zero by more than HiGHS's
        tolerances. No claim of infeasibility is ever used. What those tolerances leave open,
        branch and bound decides in the time that is left.
        """
        watch = (watch or Watch()).within(self.seconds)
        if isinstance(query.box, Varied):
            return decide_over_parameters(network, query, accept, partial(self.decide, watch=watch))
        try:
            return decide(self, network, query, watch, accept)
        except TimeUp:
            return Decision(Verdict.TIMEOUT)

    def program(
        self,
        network: Network,
        box: Box,
        *,
        tighten: Tighten = "none",
        relaxed: bool = False,
        watch: Watch | None = None,
    ) -> Program:
        """The program of one box, for other optimisers: see `ProgramMethod`."""
        writing = Writing(self.intermediate, tighten, relaxed, self.threads, self.segments)
        return network_program(network, box, writing, (watch or Watch()).within(self.seconds))

    def _sample_points(self, known: Brackets, watch: Watch) -> None:
        network, rows = known.network, known.objectives
        _, points = search(network, known.box, rows, seed=self.seed, watch=watch)
        for sample in range(known.box.batch):
            known.attain(sample, points[sample])

    def encode(
        self,
        encoder: Encoder,
        box: Box,
        sample: int,
        pre_activations: dict[int, Interval],
        watch: Watch,
    ) -> Encoding:
        """The exact program of one sample, with tightened bounds where that pays.

        Raises
        ------
        TimeUp
            The watch is over before the program is written.
        """
        bounds = sample_of(pre_activations, sample)
        ends = box.lower[sample].numpy(), box.upper[sample].numpy()
        limit = None if watch.left == float("inf") else self.tightening * watch.left
        part = watch.within(limit)
        if self.tightening > 0 and kinks(encoder.network, bounds) > SMALL:
            bounds = tightened(encoder, ends, bounds, part, integer=False, threads=self.threads)
            # Binaries for hidden neurons pay where there will be no end anyway: without a limit
            # the tree does better.
            if limit is not None and kinks(encoder.network, bounds) > LARGE:
                bounds = tightened(encoder, ends, bounds, part, integer=True, threads=self.threads)
        inside = set_of(box, sample)
        return encoder.encode(*ends, bounds, Form.EXACT, inside=inside, watch=watch)

    def _solve(
        self,
        known: Brackets,
        sample: int,
        encoder: Encoder,
        pre_activations: dict[int, Interval],
        watch: Watch,
    ) -> None:
        if self.segments <= COARSE or not has_segments(encoder.network):
            encoding = self.encode(encoder, known.box, sample, pre_activations, watch)
            self._solve_encoded(known, sample, encoder, encoding, watch)
            return
        # Few segments end sooner, and what they prove stands where more do not end.
        coarse, part = Encoder(encoder.network, COARSE), watch.within(share(watch, 2))
        encoding = self.encode(coarse, known.box, sample, pre_activations, part)
        self._solve_encoded(known, sample, coarse, encoding, part)
        if watch.over or bool(known.closed(self.gap)[sample].all()):
            return
        ends = known.box.lower[sample].numpy(), known.box.upper[sample].numpy()
        inside = set_of(known.box, sample)
        tight = encoding.pre_activations
        encoding = encoder.encode(*ends, tight, Form.EXACT, inside=inside, watch=watch)
        self._solve_encoded(known, sample, encoder, encoding, watch)

    def _solve_encoded(
        self, known: Brackets, sample: int, encoder: Encoder, encoding: Encoding, watch: Watch
    ) -> None:
        if len(encoding.binaries) > SMALL:
            # Bounds to fall back on, proven whatever becomes of the tree, and good points.
            relaxed = Highs(encoding.problem.relaxed(), threads=self.threads)
            part = watch.within(share(watch, 2))
            points = relax_ends(known, sample, encoding, relaxed, part, self.objective_seconds)
            if points:
                known.attain(sample, torch.from_numpy(np.stack(points)))
        solver = Highs(encoding.problem, threads=self.threads, seed=self.seed)
        inner = self._inside(encoder, known.box, sample, encoding, watch)
        # The widest brackets last: they get what time the others leave.
        width = known.attained[sample] - known.proven[sample]
        order = width.argsort().tolist()
        for done, row in enumerate(order):
            if watch.over:
                return
            if not bool(known.closed(self.gap)[sample, row]):
                part = watch.within(share(watch, len(order) - done)).within(self.objective_seconds)
                self._minimise(known, sample, row, encoding, solver, part)
                if inner is not None and not bool(known.closed(self.gap)[sample, row]):
                    self._minimise_inside(known, sample, row, *inner, part)

    def _inside(
        self, encoder: Encoder, box: Box, sample: int, encoding: Encoding, watch: Watch
    ) -> tuple[Encoding, Highs] | None:
        """Of a network with jumps, the program of the inputs whose numbers keep away from them.

        Where the least value is only approached at a jump, or rounding decides at it, a point of
        this program attains it.
        """
        if not any(isinstance(node.operator, Steps) for node in encoder.network.nodes):
            return None
        ends = box.lower[sample].numpy(), box.upper[sample].numpy()
        kept = set_of(box, sample)
        known = encoding.pre_activations
        inner = encoder.encode(*ends, known, Form.EXACT, inside=kept, inset=INSET, watch=watch)
        return inner, Highs(inner.problem, threads=self.threads, seed=self.seed)

    def _minimise_inside(
        self,
        known: Brackets,
        sample: int,
        row: int,
        encoding: Encoding,
        solver: Highs,
        watch: Watch,
    ) -> None:
        """Attain a value; what is proven of these inputs alone is of no use."""
        cost, _ = encoding.cost(known.rows(sample)[row].numpy())
        solution = solver.minimise(cost, watch=watch)
        if solution.point is not None:
            point = solution.point[encoding.inputs].reshape(1, *known.box.shape)
            known.attain(sample, torch.from_numpy(point))

    def _minimise(
        self,
        known: Brackets,
        sample: int,
        row: int,
        encoding: Encoding,
        solver: Highs,
        watch: Watch,
    ) -> None:
        cost, constant = encoding.cost(known.rows(sample)[row].numpy())
        allowed = self.gap * float(known.tolerances()[sample, row])
        # The bound has only to come close to what is attained already.
        enough = float(known.attained[sample, row]) - constant - allowed / 2
        start = encoding.complete(known.witnesses[sample, row].reshape(1, -1).numpy())[0]
        solution = solver.minimise(cost, watch=watch, gap=allowed / 2, enough=enough, start=start)
        if solution.point is not None:
            point = solution.point[encoding.inputs].reshape(1, *known.box.shape)
            known.attain(sample, torch.from_numpy(point))
        if solution.bound is not None:
            known.prove(sample, row, solution.bound + constant)
