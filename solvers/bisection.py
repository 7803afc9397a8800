"""Bisection: the exact range by questions that have a yes or a no, the seed's own method."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds import Crown, forward_pass
from sensverify.bounds.method import Decider, Method, make_decider
from sensverify.bounds.tensors import tensor_box, tensor_network
from sensverify.core.box import Box
from sensverify.core.queries import Decision, Query, Verdict
from sensverify.core.results import Enclosure, Guarantee
from sensverify.errors import BackendFailure, BadSetting
from sensverify.network import Network
from sensverify.registry.ranges import AtLeast0, Count, Seconds
from sensverify.runs.watch import Watch
from sensverify.solvers.gap import tolerance
from sensverify.solvers.incumbents import descend, search
from sensverify.solvers.proving import proven_again

_DESCENT = 12
"""Gradient steps from every input that an oracle finds."""

_ROUNDING = 1e-12
"""Relative size of what rounding may put between an oracle's evaluation of an input and ours."""


def _default_oracle() -> Decider:
    return make_decider("branch-and-bound")


@dataclass(frozen=True)
class Bisection(Method):
    """The exact range of every objective, by asking whether the network can get beyond a value.

    For either end of ``c · f(x)`` the method keeps a proven value and an attained one. It asks an
    oracle for an input that lies beyond a value between the two. An input moves the attained end
    to what this module itself computes there, after some gradient steps; only a proof that there
    is none moves the proven end. An oracle that gives up, or runs out of time, moves nothing.

    The first question halves the bracket, and so does the one after an input was found. After
    every proof the next one is asked at half that share of the bracket, nearer to the attained
    end: where gradients have found all of the range, a few proofs are enough.

    Parameters
    ----------
    oracle : decider
        Answers the questions: branch and bound, ``highs``, ``marabou``, or a `Decider` of
        one's own.
    gap : float
        Distance between the two, relative to the objective's largest attained magnitude, at which
        an end is exact.
    seconds, objective_seconds : float or None
        Wall time for the whole call, and for each end of each objective of each sample.
    threads : int
        Ends that are worked on at once.
    seed : int
        Of the first search for attained values.

    Notes
    -----
    Guarantee SOLVER: that of the oracle's proofs, where it has a stronger one too. Source: Wang et
    al., *Towards Robust Deep Neural Networks*, Section 3.2, Eq. 8, with Reluplex as the oracle;
    its successor is Marabou. The first bracket is CROWN's bound and a gradient search; computed in
    float64 whatever the type of the box.
    """

    oracle: Decider = field(default_factory=_default_oracle)
    gap: AtLeast0 = 1e-6
    seconds: Seconds | None = None
    objective_seconds: Seconds | None = None
    threads: Count = 1
    seed: int = 0

    name: ClassVar[str] = "bisection"
    guarantee: ClassVar[Guarantee] = Guarantee.SOLVER
    anytime: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    dtype: ClassVar[str] = "float64"
    samples_at_once: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.oracle.guarantee is not None and self.oracle.guarantee < Guarantee.SOLVER:
            raise BadSetting(f"bisection needs an oracle that proves; {self.oracle!r} does not")

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """Both ends of every objective; see `Method.bound`."""
        watch = (watch or Watch()).within(self.seconds)
        with torch.no_grad():
            wide = tensor_network(network, dtype=torch.float64, device=box.lower.device)
            own = tensor_box(box, dtype=torch.float64, device=box.lower.device)
            first = Crown().bound(wide, own, objectives.double(), watch=watch)
            if not bool((torch.isfinite(first.lower) & torch.isfinite(first.upper)).all()):
                # For `compute_bounds` to refuse.
                return first
            work = _Work(self, wide, own, objectives.double(), first, watch)
            work.run(watch)
            return work.enclosure(box.lower.dtype)

    def prove(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """As `bound`, with a proof by branch and bound of what was found: `proven_again`."""
        return proven_again(self, network, box, objectives, watch)


@dataclass(eq=False)
class _End:
    """One end of one objective of one sample, as the minimum of ``objective · f(x)``."""

    sample: int
    row: int
    upper: bool
    objective: Tensor
    proven: float
    attained: float
    witness: Tensor
    share: float = 0.5
    spent: float = 0.0
    granted: float = 0.0
    given_up: bool = False


class _Work:
    """The brackets of one call, and the questions that narrow them."""

    def __init__(
        self,
        method: Bisection,
        network: Network,
        box: Box,
        objectives: Tensor,
        first: Enclosure,
        watch: Watch,
    ) -> None:
        self.method, self.network, self.box = method, network, box
        self.rows = objectives.shape[1]
        self.unstable = first.unstable
        self.both = torch.cat([objectives, -objectives], dim=1)
        proven = torch.cat([first.lower, -first.upper], dim=1)
        values, points = search(self.network, self.box, self.both, seed=method.seed, watch=watch)
        # What is attained disproves a bound that rounding has moved past it.
        self.proven, self.attained = torch.minimum(proven, values), values
        self.ends = [
            self._end(i, k, points[i, k]) for i in range(box.batch) for k in range(2 * self.rows)
        ]

    def _end(self, sample: int, k: int, witness: Tensor) -> _End:
        return _End(
            sample=sample,
            row=k % self.rows,
            upper=k >= self.rows,
            objective=self.both[sample if len(self.both) > 1 else 0, k],
            proven=float(self.proven[sample, k]),
            attained=float(self.attained[sample, k]),
            witness=witness,
        )

    def run(self, watch: Watch) -> None:
        """Narrow every bracket, in rounds while time is left for ends that ran out of theirs."""
        while True:
            todo = [end for end in self.ends if self._open(end)]
            if not todo or watch.over:
                return
            # Twice the time may answer what stopped the last round; the same would not.
            share = watch.left * self.method.threads / len(todo)
            todo = [end for end in todo if share > 2 * end.granted]
            if not todo:
                return
            self._round(todo, watch)

    def _round(self, todo: list[_End], watch: Watch) -> None:
        threads = min(self.method.threads, len(todo))
        if threads == 1:
            for count, end in enumerate(todo):
                self._narrow(end, len(todo) - count, watch)
            return
        with ThreadPoolExecutor(threads) as pool:
            waiting = [
                pool.submit(self._narrow, end, -(-(len(todo) - count) // threads), watch)
                for count, end in enumerate(todo)
            ]
        for future in waiting:
            future.result()

    def _narrow(self, end: _End, left: int, watch: Watch) -> None:
        """Ask until one end is exact, gives up, or has used its share of the time."""
        begun = watch.now()
        allowed = watch.left / left
        end.granted = allowed
        if self.method.objective_seconds is not None:
            allowed = min(allowed, max(self.method.objective_seconds - end.spent, 0.0))
        own = watch.within(None if allowed == float("inf") else allowed)
        # The setting is one of the thread, not of the process.
        with torch.no_grad():
            while not own.over and self._open(end) and self._ask(end, own):
                pass
        end.spent += watch.now() - begun
        watch.say(
            f"bisection: sample {end.sample}, objective {end.row}: "
            f"{'maximum' if end.upper else 'minimum'} within {end.attained - end.proven:.3g}"
        )

    def _open(self, end: _End) -> bool:
        limit = self.method.objective_seconds
        if end.given_up or (limit is not None and end.spent >= limit):
            return False
        return end.attained - end.proven > self._tolerance(end)

    def _tolerance(self, end: _End) -> float:
        first = end.sample * 2 * self.rows + end.row
        least, most = self.ends[first], self.ends[first + self.rows]
        lower = torch.tensor(least.attained, dtype=torch.float64)
        upper = torch.tensor(-most.attained, dtype=torch.float64)
        return float(tolerance(lower, upper, self.method.gap))

    def _ask(self, end: _End, watch: Watch) -> bool:
        """One question; whether another one makes sense."""
        bracket = end.attained - end.proven
        # Where a part of the bracket is below the tolerance, one proof finishes the end.
        step = max(end.share * bracket, 0.9 * self._tolerance(end))
        limit = end.attained - step
        if not end.proven < limit < end.attained:
            end.given_up = True
            return False
        decision = self._decide(end, limit, watch)
        if decision.verdict is Verdict.UNSAT:
            end.proven, end.share = limit, end.share / 2
            return True
        if decision.verdict is Verdict.SAT and decision.witness is not None:
            return self._improve(end, limit, decision.witness)
        # A question that ran out of time may be asked again with more of it.
        end.given_up = decision.verdict is not Verdict.TIMEOUT
        return False

    def _decide(self, end: _End, limit: float, watch: Watch) -> Decision:
        row = slice(end.sample, end.sample + 1)
        query = Query(
            Box(self.box.lower[row].cpu().numpy(), self.box.upper[row].cpu().numpy()),
            end.objective.cpu().numpy()[None],
            np.array([limit]),
            ((0,),),
        )

        def accept(point: np.ndarray) -> bool:
            value = self._value(end, point)
            return value is not None and value <= limit + _slack(limit)

        try:
            return self.method.oracle.decide(self.network, query, watch=watch, accept=accept)
        except BackendFailure as error:
            # A failed solver has neither proven nor found anything.
            watch.say(f"bisection: {error}")
            return Decision(Verdict.UNKNOWN)

    def _improve(self, end: _End, limit: float, witness: np.ndarray) -> bool:
        """Move the attained end to a witness, if it is one."""
        value = self._value(end, witness)
        if value is None or not value <= limit + _slack(limit) or not value < end.attained:
            end.given_up = True
            return False
        box = self.box[end.sample : end.sample + 1]
        point = torch.from_numpy(np.array(witness, dtype=np.float64)).to(box.lower.device)
        values, points = descend(
            self.network, box, point[None], lambda outputs: outputs @ end.objective, steps=_DESCENT
        )
        end.attained, end.witness, end.share = min(value, float(values[0])), points[0], 0.5
        # Rounding may cross the two; what is attained stays inside.
        end.proven = min(end.proven, end.attained)
        return True

    def _value(self, end: _End, point: np.ndarray) -> float | None:
        """Our own evaluation of a point; None outside of the box or where it is not finite."""
        values = torch.from_numpy(np.array(point, dtype=np.float64)).to(self.box.lower.device)
        lower, upper = self.box.lower[end.sample], self.box.upper[end.sample]
        if values.shape != lower.shape or not bool(((values >= lower) & (values <= upper)).all()):
            return None
        with torch.no_grad():
            outputs = forward_pass(self.network, values[None]).flatten()
        value = float(outputs @ end.objective)
        return value if np.isfinite(value) else None

    def enclosure(self, dtype: torch.dtype) -> Enclosure:
        """The ends proven and attained by now, rounded to the dtype of the box."""
        shape = (self.box.batch, 2 * self.rows)

        def numbers(name: str) -> Tensor:
            values = [getattr(end, name) for end in self.ends]
            return torch.tensor(values, dtype=torch.float64).reshape(shape)

        proven, attained = numbers("proven"), numbers("attained")
        lower, upper = proven[:, : self.rows], -proven[:, self.rows :]
        inner_lower, inner_upper = attained[:, : self.rows], -attained[:, self.rows :]
        # Negative where both ends come from one point, by rounding.
        inner_upper = torch.maximum(inner_lower, inner_upper)
        spare = tolerance(inner_lower, inner_upper, self.method.gap)
        exact = (inner_lower - lower <= spare) & (upper - inner_upper <= spare)
        witness = torch.stack([end.witness for end in self.ends])
        witness = witness.reshape(*shape, *self.box.shape).to(dtype)
        device = self.box.lower.device
        # Rounded outward; proven ends never lie beyond attained ones.
        outer = tensor_box(Box(lower, torch.maximum(lower, upper)), dtype=dtype, device=device)
        return Enclosure(
            lower=outer.lower,
            upper=outer.upper,
            inner=Box(inner_lower.to(device, dtype), inner_upper.to(device, dtype)),
            witness_lower=witness[:, : self.rows],
            witness_upper=witness[:, self.rows :],
            optimal=exact.to(device),
            unstable=self.unstable,
        )


def _slack(value: float) -> float:
    return _ROUNDING * (1 + abs(value))
