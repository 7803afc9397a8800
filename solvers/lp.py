"""The optimum of the triangle relaxation, on the tightest bounds of hidden layers at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.ibp import Interval, entries_of
from sensverify.bounds.method import Method, PreActivationBounds
from sensverify.core.box import Box
from sensverify.core.results import Enclosure, Guarantee
from sensverify.core.sets import Ball, Constrained, Patch
from sensverify.network import Network
from sensverify.registry.ranges import Count, Seconds
from sensverify.runs.watch import TimeUp, Watch
from sensverify.solvers.brackets import Brackets, set_of
from sensverify.solvers.dual_slopes import DualSlopes, entry_weights
from sensverify.solvers.encoding import Encoder, Encoding, Form, Problem
from sensverify.solvers.hidden_layers import prepare
from sensverify.solvers.highs import Highs, Solution

GAP = 1e-6
"""Relative gap at which an end of the relaxation counts as exact for the network too."""


class Minimiser(Protocol):
    """One program, many costs."""

    def minimise(self, cost: np.ndarray, *, watch: Watch) -> Solution: ...


@dataclass(frozen=True)
class Lp(Method):
    """The optimum of the triangle relaxation, the linear program that LP-dual and CROWN bound.

    Of the slopes that a backward pass may choose none prove more on the same bounds of hidden
    layers; the bounds here are the best that CROWN, LP-dual and interval arithmetic give of each
    neuron. So the box lies inside those of these three, and of alpha-CROWN where every function
    is linear between kinks, up to the solver's tolerance. Sigmoid and tanh are held by a few
    lines, and the free slopes of alpha-CROWN can pass nearer to them.

    Parameters
    ----------
    seconds : float or None
        Wall time for a call; ends that are not reached keep the bounds of the backward passes.
    objective_seconds : float or None
        Wall time for each end of each objective.
    threads : int
        Of the solver.
    intermediate : method or None
        Where the bounds on hidden layers come from; None is the best of CROWN, LP-dual and
        interval arithmetic.
    backend : str
        ``highs`` calls HiGHS, which goes on from one objective to the next; ``cvxpy`` solves
        each anew with the interior-point solver Clarabel, as a reference.

    Notes
    -----
    Guarantee SOUND: every bound is evaluated from the solver's multipliers by weak duality and
    not taken from its word, so a solve that went wrong costs tightness only. The inner box is
    what the network attains at the optimal points of the relaxation. Source: Wang et al.,
    equation 6; Ehlers 2017, *Formal verification of piece-wise linear feed-forward neural
    networks*.
    """

    seconds: Seconds | None = None
    objective_seconds: Seconds | None = None
    threads: Count = 1
    intermediate: PreActivationBounds | None = None
    backend: Literal["highs", "cvxpy"] = "highs"

    name: ClassVar[str] = "lp"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND
    anytime: ClassVar[bool] = True
    arithmetic: ClassVar[str] = "float64"
    """Whatever the type of the box: ends are rounded outward to it."""
    differentiable: ClassVar[bool] = False
    sets = (Ball, Constrained, Patch)

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        return self._run(network, box, objectives, watch, proof=False)

    def prove(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """The bounds with slopes that the solver's multipliers come to; see `DualSlopes`."""
        return self._run(network, box, objectives, watch, proof=True)

    def proof_entries(self, network: Network, rows: int) -> int:
        """Numbers of a proof for each sample: slopes of three passes and of every row's ends."""
        return (24 + 8 * rows) * entries_of(network)

    def _run(
        self, network: Network, box: Box, objectives: Tensor, watch: Watch | None, *, proof: bool
    ) -> Enclosure:
        watch = (watch or Watch()).within(self.seconds)
        known = Brackets.start(network, box, objectives)
        hidden = prepare(known, self.intermediate, watch)
        pre_activations, unstable = hidden.pre_activations, hidden.unstable
        duals = DualSlopes(hidden, known.objectives, known.proven.clone()) if proof else None
        # The lines are needed for a proof only.
        del hidden
        encoder = Encoder(known.network)
        for sample in range(box.batch):
            known.attain(sample, known.box.center[sample : sample + 1])
        for sample in range(box.batch):
            if watch.over:
                break
            part = watch.within(share(watch, box.batch - sample))
            ends = known.box.lower[sample].numpy(), known.box.upper[sample].numpy()
            with suppress(TimeUp):
                encoding = encoder.encode(
                    *ends,
                    sample_of(pre_activations, sample),
                    Form.RELAXED,
                    inside=set_of(known.box, sample),
                    watch=watch,
                )
                self._solve(known, sample, encoding, part, duals)
            watch.say(f"lp: sample {sample + 1} of {box.batch}")
        found = known.enclosure(GAP, unstable)
        if duals is None:
            return found
        return replace(found, certificate=duals.proof())

    def _solve(
        self,
        known: Brackets,
        sample: int,
        encoding: Encoding,
        watch: Watch,
        duals: DualSlopes | None,
    ) -> None:
        solver = self._minimiser(encoding.problem)
        points, weights = [], {}
        ends = minima(known, sample, encoding, solver, watch, self.objective_seconds)
        for row, solution in ends:
            if solution.point is not None:
                points.append(solution.point[encoding.inputs].reshape(known.box.shape))
            if duals is not None and solution.multipliers is not None:
                weights[row] = entry_weights(known.network, encoding, solution.multipliers)
        if points:
            known.attain(sample, torch.from_numpy(np.stack(points)))
        if duals is not None:
            duals.add(sample, encoding, weights)

    def _minimiser(self, problem: Problem) -> Minimiser:
        if self.backend == "cvxpy":
            from sensverify.solvers.reference import Cvxpy

            return Cvxpy(problem)
        return Highs(problem, threads=self.threads)


def sample_of(
    pre_activations: dict[int, Interval], sample: int
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """The bounds of one sample as numpy arrays."""
    return {
        position: (lower[sample].numpy(), upper[sample].numpy())
        for position, (lower, upper) in pre_activations.items()
    }


def share(watch: Watch, parts: int) -> float | None:
    """An equal share of the time that is left, or None when there is no limit."""
    return None if watch.left == float("inf") else watch.left / parts


def relax_ends(
    known: Brackets,
    sample: int,
    encoding: Encoding,
    solver: Minimiser,
    watch: Watch,
    seconds: float | None,
) -> list[np.ndarray]:
    """Minimise every objective of a sample over a relaxation; the optimal inputs."""
    return [
        solution.point[encoding.inputs].reshape(known.box.shape)
        for _, solution in minima(known, sample, encoding, solver, watch, seconds)
        if solution.point is not None
    ]


def minima(
    known: Brackets,
    sample: int,
    encoding: Encoding,
    solver: Minimiser,
    watch: Watch,
    seconds: float | None,
) -> Iterator[tuple[int, Solution]]:
    """Minimise every objective of a sample over a relaxation; rows with what was found."""
    rows = known.rows(sample).numpy()
    for row, objective in enumerate(rows):
        if watch.over:
            break
        cost, constant = encoding.cost(objective)
        part = watch.within(share(watch, len(rows) - row)).within(seconds)
        solution = solver.minimise(cost, watch=part)
        if solution.bound is not None:
            known.prove(sample, row, solution.bound + constant)
        yield row, solution
