"""Queries by mixed-integer programming: how little can the constraints be violated at once?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from scipy.sparse import csr_matrix, vstack

from sensverify.bounds import forward_pass
from sensverify.bounds.ibp import Interval
from sensverify.bounds.method import PreActivationBounds
from sensverify.bounds.rounding import query_slack
from sensverify.bounds.tensors import tensor_box
from sensverify.core.box import Box
from sensverify.core.queries import Accept, Decision, Query, Verdict
from sensverify.core.sets import InputSet
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.brackets import Brackets
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.encoding import Encoder, Encoding, Problem
from sensverify.solvers.encoding.envelopes import has_curves
from sensverify.solvers.encoding.expression import widened
from sensverify.solvers.hidden_layers import prepare
from sensverify.solvers.highs import Highs
from sensverify.solvers.incumbents import search
from sensverify.solvers.lp import share
from sensverify.solvers.witnesses import is_witness

MARGIN = 1e-7
"""A constraint counts as broken everywhere when its violation is proven to be at least this,
relative to the size of its terms: well above what HiGHS's tolerances can hide. The violation is
also above what rounding can hide."""


class Program(Protocol):
    """A method that writes a network as a mixed-integer program, as `Milp` does."""

    @property
    def threads(self) -> int:
        """Number of HiGHS's threads."""
        ...

    @property
    def seed(self) -> int:
        """Seed of HiGHS and of the search for points."""
        ...

    @property
    def intermediate(self) -> PreActivationBounds | None:
        """Method that bounds hidden layers; None for the best of several."""
        ...

    @property
    def segments(self) -> int:
        """Segments of curves, and of factors of products."""
        ...

    def encode(
        self,
        encoder: Encoder,
        box: Box,
        sample: int,
        pre_activations: dict[int, Interval],
        watch: Watch,
    ) -> Encoding:
        """The program of a network over the box of a sample."""
        ...


@dataclass(eq=False)
class _Case:
    """A query while it is worked on; ``witness`` is set once one is accepted.

    ``refused`` is whether a point met it that was not accepted.
    ``curved`` is whether the program holds more than the network, around curves and products.
    ``rounding`` is by how much a bound must be above the limit of its row to be so for sure.
    """

    network: Network
    query: Query
    accept: Accept | None
    witness: np.ndarray | None = None
    refused: bool = False
    curved: bool = False
    rounding: np.ndarray = field(default_factory=lambda: np.full(0, np.inf))

    def look(self, points: torch.Tensor) -> bool:
        """Look for a witness among points ``[points, *input_shape]``; True where there is one."""
        box = self.query.box
        low, high = torch.from_numpy(box.lower), torch.from_numpy(box.upper)
        points = torch.minimum(torch.maximum(points, low), high)
        if isinstance(box, InputSet) and len(points):
            points = torch.from_numpy(box.projected(points.numpy()[:, None])[:, 0])
        with torch.no_grad():
            outputs = forward_pass(self.network, points).numpy()
        for i in np.flatnonzero(self.query.met_by(outputs)):
            point = points[i].numpy()
            if is_witness(self.network, self.query, point, self.accept):
                self.witness = point
                return True
            self.refused = True
        return False


def decide(
    method: Program, network: Network, query: Query, watch: Watch, accept: Accept | None
) -> Decision:
    """Answer a query; see `Milp.decide`.

    What HiGHS's tolerances leave open, or the envelopes of curves, goes to branch and bound.

    Raises
    ------
    TimeUp
        The watch is over before the program is written.
    """
    if not query.alternatives:
        return Decision(Verdict.UNSAT)
    rows = torch.from_numpy(np.ascontiguousarray(query.rows, dtype=np.float64))[None]
    if rows.shape[1] == 0:
        rows = torch.zeros(1, 1, int(np.prod(network.output_shape)), dtype=torch.float64)
    box = tensor_box(query.box, device=torch.device("cpu"))
    known = Brackets.start(network, box, rows)
    curved = has_curves(known.network)
    case = _Case(known.network, query, accept, curved=curved)
    _, points = search(known.network, known.box, rows, seed=method.seed, watch=watch)
    if case.look(points[0]):
        return Decision(Verdict.SAT, case.witness)
    pre_activations = prepare(known, method.intermediate, watch).pre_activations
    least = known.proven[0].numpy()
    hidden = list(pre_activations.values())
    case.rounding = query_slack(network, known.box, query, hidden)[0].numpy()
    left = [a for a in query.alternatives if not _excluded(case, a, least)]
    if not left:
        return Decision(Verdict.UNSAT)
    encoder = Encoder(known.network, method.segments)
    encoding = method.encode(encoder, known.box, 0, pre_activations, watch)
    explored, undecided = 0, 0
    for done, alternative in enumerate(left):
        watch.say(f"milp: alternative {done + 1} of {len(left)}")
        # Of what envelopes leave open the rest of the time decides.
        part = watch.within(share(watch, len(left) - done + 1)) if curved else watch
        refuted, nodes = _refute(method, case, encoding, alternative, part)
        explored += nodes
        if case.witness is not None:
            return Decision(Verdict.SAT, case.witness, explored)
        undecided += not refuted
        if watch.over and (undecided or done + 1 < len(left)):
            return Decision(Verdict.TIMEOUT, explored=explored)
    if not undecided:
        return Decision(Verdict.UNSAT, explored=explored)
    if case.refused:
        # Not what tolerances hide, and no proof can follow.
        return Decision(Verdict.UNKNOWN, explored=explored)
    left_open = f"{undecided} of {len(query.alternatives)} alternatives"
    reason = f"HiGHS ended with {left_open} within its tolerances of their limits"
    if curved:
        reason = f"the envelopes of curved functions leave {left_open} open"
    found = _by_splitting(method, network, query, watch, accept, reason)
    return replace(found, explored=explored + found.explored)


def _by_splitting(
    method: Program,
    network: Network,
    query: Query,
    watch: Watch,
    accept: Accept | None,
    reason: str,
) -> Decision:
    """The answer of branch and bound to a query that is left open for a reason."""
    watch.say("milp: left open by its program; branch and bound goes on")
    prover = BranchAndBound(threads=method.threads, seed=method.seed)
    found = prover.decide(network, query, watch=watch, accept=accept)
    if found.verdict in (Verdict.SAT, Verdict.UNSAT):
        return found
    return replace(found, reason=f"{reason}, and branch and bound has not decided them since")


def _excluded(case: _Case, alternative: tuple[int, ...], least: np.ndarray) -> bool:
    """True where a bound on one row alone leaves nothing of an alternative."""
    limits = case.query.limits + case.rounding
    return any(least[i] > limits[i] for i in alternative)


def _refute(
    method: Program, case: _Case, encoding: Encoding, alternative: tuple[int, ...], watch: Watch
) -> tuple[bool, int]:
    """True where an alternative is proven to hold nowhere, and the nodes that took.

    Minimises the largest violation: a column t with ``row_i · f - t * size_i <= limit_i`` for
    every i. Unlike a feasibility question this always has a solution, and its dual bound says by
    how much the alternative fails.
    """
    query, problem = case.query, encoding.problem
    if not alternative:
        return False, 0
    costs, offsets = zip(*(encoding.cost(query.rows[i]) for i in alternative), strict=True)
    cost_rows, right = np.stack(costs), query.limits[list(alternative)] - np.array(offsets)
    ends = np.stack([problem.lower, problem.upper])
    products = cost_rows[:, None, :] * ends
    low, high = products.min(axis=1).sum(axis=1), products.max(axis=1).sum(axis=1)
    # What the margin is a share of: never so little that rounding reaches it.
    least = case.rounding[list(alternative)] / MARGIN
    sizes = np.maximum(high - low, np.maximum(1e-3 * np.abs(right), least))
    if not np.isfinite(sizes).all():
        return False, 0
    sizes[sizes == 0] = 1.0
    violation = np.stack([(low - right) / sizes, (high - right) / sizes])
    extended = _with_violation(problem, cost_rows, right, sizes, violation)
    solver = Highs(extended, threads=method.threads, seed=method.seed)
    cost = np.zeros(extended.columns)
    cost[-1] = 1.0

    def improving(point: np.ndarray) -> bool:
        inputs = point[encoding.inputs].reshape(1, *case.network.input_shape)
        found = case.look(torch.from_numpy(np.ascontiguousarray(inputs)))
        # A point that the envelope alone holds: no bound can follow.
        return found or (case.curved and point[-1] <= 0)

    solution = solver.minimise(
        cost, watch=watch, gap=MARGIN / 10, enough=2 * MARGIN, improving=improving
    )
    if case.witness is None and solution.point is not None:
        improving(solution.point)
    refuted = solution.bound is not None and solution.bound > MARGIN
    return refuted and case.witness is None, solution.nodes


def _with_violation(
    problem: Problem,
    rows: np.ndarray,
    right: np.ndarray,
    sizes: np.ndarray,
    violation: np.ndarray,
) -> Problem:
    """The program with one more column, the largest violation of the rows."""
    low, high = float(violation[0].max()), float(violation[1].max())
    added = csr_matrix(np.concatenate([rows, -sizes[:, None]], axis=1))
    matrix = vstack([widened(problem.matrix, problem.columns + 1), added], format="csr")
    return replace(
        problem,
        lower=np.append(problem.lower, min(low, high) - 1e-9),
        upper=np.append(problem.upper, max(low, high) + 1e-9),
        integer=np.append(problem.integer, False),
        matrix=matrix,
        row_lower=np.append(problem.row_lower, np.full(len(rows), -np.inf)),
        row_upper=np.append(problem.row_upper, right),
    )
