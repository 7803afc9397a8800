"""An input that meets a query, or the proof that there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import inf

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.forward import forward
from sensverify.bounds.rounding import query_slack
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.core.queries import Accept, Query
from sensverify.core.sets import InputSet
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.goals import Asked
from sensverify.solvers.incumbents import descend as follow
from sensverify.solvers.incumbents import first_points, search
from sensverify.solvers.witnesses import is_witness

ROUNDING = 1e-11
"""Share of the magnitudes of outputs by which a bound must exceed a query's limit at least: what is
optimised beside the network's own numbers, multipliers, is rounded, too."""

_SMALLEST = 1e-6
"""Magnitude of outputs below which that share does not fall."""

_ATTEMPTS = 256
"""Candidate witnesses that one search looks at one by one."""

_CONJUNCTIONS = 32
"""Points from which gradients are followed on the whole box, for all alternatives of several rows
together, and at least one for each."""

_URGENCY = 8.0
"""The factor by which a row that the best point found does not meet is split for more often."""

_AT_ONCE = 4
"""Candidate witnesses of one set of points."""


def thresholds(limits: Tensor, slack: Tensor, magnitude: Tensor) -> Tensor:
    """The values from which on bounds on rows refute them.

    Above the limits, always: an output that is equal to its limit meets the query.

    Parameters
    ----------
    limits, slack, magnitude : Tensor, shape ``[problems, rows]``
        ``slack`` is how far rounding may move a bound, ``magnitude`` the size of what it sums.
    """
    return limits + slack.maximum(ROUNDING * magnitude.clamp(min=_SMALLEST))


def term_sizes(network: Network, points: Tensor, rows: Tensor) -> Tensor:
    """Magnitudes of the terms of rows ``[rows, outputs]`` at points, ``[points, rows]``."""
    with torch.no_grad():
        outputs = flattened(forward(network, points))
    return outputs.abs() @ rows.abs().T


def asked_by(query: Query) -> Asked:
    """The rows that a query asks for, once for each alternative that they stand in."""
    order = [row for part in query.alternatives for row in part]
    rows = np.array(order, dtype=np.int64)
    ties = bool(np.asarray(query.strict)[order].any())
    return Asked(len(query.rows), rows, len(query.alternatives), ties)


@dataclass(eq=False)
class QueryGoal:
    """An input that meets a query, or the proof that there is none. One problem.

    ``slack`` is how far rounding may move a bound from its limit, ``[1, rows]``; nothing is refuted
    before it is known. Without ``attack``, samples are looked at, and no gradients are followed.
    ``before``: see `Goal`. ``beside``: called on the way, to look for witnesses elsewhere.
    """

    query: Query
    rows: Tensor
    limits: Tensor
    groups: tuple[tuple[int, ...], ...]
    accept: Accept | None
    witness: np.ndarray | None = None
    tied: bool = False
    attack: bool = True
    before: float = 0.0
    beside: Callable[[QueryGoal], None] | None = None
    slack: Tensor = field(default_factory=lambda: torch.tensor(torch.inf))
    _magnitude: Tensor = field(default_factory=lambda: torch.ones(()))
    _strict: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    _attempts: int = 0
    _closest: Tensor = field(default_factory=lambda: torch.zeros(0))
    _missed: Tensor = field(default_factory=lambda: torch.zeros(0))

    @classmethod
    def start(cls, query: Query, accept: Accept | None, like: Tensor) -> QueryGoal:
        """The query's rows, once for each alternative that they stand in."""
        order = [i for part in query.alternatives for i in part]
        ends = accumulate((len(part) for part in query.alternatives), initial=0)
        groups = tuple(tuple(range(first, last)) for first, last in pairwise(ends))
        rows = torch.as_tensor(query.rows[order], dtype=like.dtype, device=like.device)
        limits = torch.as_tensor(query.limits[order], dtype=like.dtype, device=like.device)
        goal = cls(query, rows.unsqueeze(0), limits.unsqueeze(0), groups, accept)
        goal._magnitude = limits.abs().unsqueeze(0)
        goal._strict = torch.as_tensor(query.strict[order], device=like.device)
        goal._closest = limits.new_full((len(groups),), torch.inf)
        goal._missed = torch.zeros_like(limits, dtype=torch.bool)
        return goal

    @property
    def reached(self) -> bool:
        # A judge that refused so many has the last word: nothing more can be found, or proven.
        return self.witness is not None or self._attempts >= _ATTEMPTS

    @property
    def asked(self) -> Asked:
        return asked_by(self.query)

    def thresholds(self) -> Tensor:
        return thresholds(self.limits, self.slack, self._magnitude)

    def shortfall(self, bounds: Tensor) -> float | None:
        """By how much bounds ``[1, rows]`` are short of refuting what they refute least."""
        above = (bounds - self.thresholds())[0]
        best = [float(above[list(part)].max()) for part in self.groups if part]
        least = -min(best, default=inf)
        # Where nothing is proven yet there is no number.
        return least if 0 < least < inf else None

    @property
    def may_tie(self) -> bool:
        """True where there are strict rows."""
        return bool(self._strict.any())

    def ties(self) -> Tensor:
        if not self.may_tie:
            return self.thresholds()
        # What refutes a strict row may be just as far below its limit as rounding can hide.
        thresholds = self.thresholds()
        below = 2 * self.limits - thresholds
        return torch.where(self._strict & torch.isfinite(thresholds), below, thresholds)

    def tie(self) -> None:
        self.tied = True

    def scales(self) -> Tensor:
        return self._magnitude.clamp(min=_SMALLEST)

    def hopeless(self, network: Network, points: Tensor, bounds: Tensor) -> Tensor | None:
        # A point that meets the rows as far as rounding can tell cannot be refuted, and a bound
        # that is as close to its limit leaves no better one.
        near = (bounds >= 2 * self.limits - self.thresholds()) & (bounds < torch.inf)
        some = near.any(dim=1).nonzero().squeeze(1)
        if not len(some):
            return None
        with torch.no_grad():
            outputs = flattened(forward(network, points[some]))
        met = outputs @ self.rows[0].T <= self.thresholds()
        result = torch.zeros(len(points), len(self.groups), dtype=torch.bool, device=bounds.device)
        for group, part in enumerate(self.groups):
            rows = list(part)
            result[some, group] = near[some][:, rows].any(dim=1) & met[:, rows].all(dim=1)
        return result

    def urgency(self) -> Tensor:
        # What the others ask for can be had, so it is these that can refute the alternative.
        return torch.where(self._missed, _URGENCY, 1.0)

    def allow_rounding(
        self, network: Network, box: Box, hidden: dict[int, tuple[Tensor, Tensor]]
    ) -> None:
        """Take the slack of the network as it was read, with bounds on its nonlinear nodes."""
        order = [row for part in self.query.alternatives for row in part]
        found = query_slack(network, box, self.query, list(hidden.values()))
        self.slack = found[:, order]

    def search(
        self, network: Network, box: Box, watch: Watch, *, seed: int, starts: int, steps: int
    ) -> None:
        """Sample, then follow gradients towards every alternative, on the whole box."""
        if not all(self.groups):
            # An alternative without constraints: any input will do.
            some = (box.point,) if isinstance(box, InputSet) else (box.center, box.lower, box.upper)
            self.judge(network, torch.cat(some))
            return
        _, points = search(network, box, self.rows, seed=seed, starts=starts, steps=0)
        self._see(network, points[0])
        if self.witness is None:
            samples = first_points(box, seed, starts)[0]
            if self.attack:
                self.descend(network, box, *self._nearest(network, samples), steps, watch)
            else:
                self.judge(network, samples)

    def offer(self, network: Network, box: Box, points: Tensor, problem: Tensor) -> None:
        self.judge(network, points)
        if self.witness is not None or not self.attack:
            return
        with torch.no_grad():
            excess = self.excess(flattened(forward(network, points)))
        best, group = excess.min(dim=1)
        most = min(8, len(points))
        chosen = best.topk(most, largest=False).indices
        self.descend(network, box[chosen], points[chosen], group[chosen], 6)
        if self.witness is None and self.beside is not None:
            self.beside(self)

    def nearest(self, count: int) -> Tensor:
        """The alternatives that points have come closest to, at most so many, integer."""
        return self._closest.topk(min(count, len(self._closest)), largest=False).indices

    def _nearest(self, network: Network, points: Tensor) -> tuple[Tensor, Tensor]:
        """For every alternative the points that are closest to it, and which it is."""
        with torch.no_grad():
            excess = self.excess(flattened(forward(network, points)))
        several = sum(len(part) > 1 for part in self.groups)
        most = min(len(points), max(1, min(4, _CONJUNCTIONS // max(1, several))))
        order = excess.topk(most, dim=0, largest=False).indices.T
        counts = [most if len(part) > 1 else 1 for part in self.groups]
        chosen = torch.cat([order[group, :count] for group, count in enumerate(counts)])
        return points[chosen], torch.repeat_interleave(torch.tensor(counts))

    def _see(self, network: Network, points: Tensor) -> None:
        """Sizes of the rows' terms at points: how far rounding can move their sums."""
        sizes = term_sizes(network, points, self.rows[0])
        # A NaN stays: then no bound is above its threshold.
        self._magnitude = self._magnitude.maximum(sizes.amax(dim=0, keepdim=True))

    def descend(
        self,
        network: Network,
        box: Box,
        points: Tensor,
        group: Tensor,
        steps: int,
        watch: Watch | None = None,
    ) -> None:
        if box.batch == 1 and len(points) > 1:
            box = box[torch.zeros(len(points), dtype=torch.int64)]
        place = group.to(points.device).unsqueeze(1)
        # Towards all rows of an alternative at once, or first towards the one that is farthest.
        several = torch.tensor([len(part) > 1 for part in self.groups], device=points.device)
        together = (
            several[place] & (torch.arange(len(points), device=points.device) % 2 == 1)[:, None]
        )

        def loss(outputs: Tensor) -> Tensor:
            values = torch.where(together, self._missing(outputs), self.excess(outputs))
            return values.gather(1, place).squeeze(1)

        _, points = follow(network, box, points, loss, steps=steps, watch=watch)
        self.judge(network, points)

    def _missing(self, outputs: Tensor) -> Tensor:
        """By how much the rows of each alternative are above their limits in all."""
        values = (outputs @ self.rows[0].T - self.limits[0]) / self.scales()[0]
        parts = [values[:, list(part)].clamp(min=0).sum(dim=1) for part in self.groups]
        return torch.stack(parts, dim=1)

    def excess(self, outputs: Tensor) -> Tensor:
        """Distances of outputs ``[points, outputs]`` from alternatives, ``[points, groups]``."""
        values = (outputs @ self.rows[0].T - self.limits[0]) / self.scales()[0]
        everywhere = values.new_full((len(values),), -torch.inf)
        groups = (values[:, list(part)].amax(dim=1) if part else everywhere for part in self.groups)
        return torch.stack(list(groups), dim=1)

    def judge(self, network: Network, points: Tensor) -> None:
        """Keep the first point that meets the query and that the judge accepts."""
        with torch.no_grad():
            outputs = flattened(forward(network, points))
            excess = self.excess(outputs)
            depth = excess.amin(dim=1).cpu().numpy()
            self._learn(outputs, excess)
        met = np.flatnonzero(self.query.met_by(outputs.cpu().double().numpy()))
        # The deepest first: at the edge, a replay in another precision may say otherwise.
        for place in met[np.argsort(depth[met])][:_AT_ONCE]:
            if self._attempts >= _ATTEMPTS:
                return
            self._attempts += 1
            point = points[place].detach().cpu().double().numpy()
            if is_witness(network, self.query, point, self.accept):
                self.witness = point
                return

    def _learn(self, outputs: Tensor, excess: Tensor) -> None:
        """Keep which rows the points that come closest to each alternative do not meet."""
        nearest = excess.min(dim=0)
        better = nearest.values < self._closest
        self._closest = torch.where(better, nearest.values, self._closest)
        for group in better.nonzero().flatten().tolist():
            rows = list(self.groups[group])
            values = self.rows[0, rows] @ outputs[nearest.indices[group]]
            self._missed[rows] = values > self.limits[0, rows]
