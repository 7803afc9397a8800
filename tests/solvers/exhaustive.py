"""An oracle that looks at every activation pattern of a tiny ReLU network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sensverify.bounds.method import Decider
from sensverify.core.queries import Accept, Decision, Query, Verdict
from sensverify.network import Network
from sensverify.runs.watch import Watch
from tests.solvers.branch_and_bound.cases import piece_vertices


def exact_minimum(network: Network, lower: Any, upper: Any, row: Any) -> tuple[float, np.ndarray]:
    """The smallest ``row · f(x)`` of a chain of `Affine` and `Relu`, and where; to 1e-9."""
    best, where = np.inf, np.ravel(lower)
    for points, (_, weight, bias) in piece_vertices(network, lower, upper):
        values = (points @ weight.T + bias) @ row
        if values.min() < best:
            best, where = values.min(), points[values.argmin()]
    return float(best), np.clip(where, np.ravel(lower), np.ravel(upper))


@dataclass(frozen=True)
class Exhaustive(Decider):
    """Decides queries with one constraint; keeps every minimum that it has computed."""

    known: dict[bytes, tuple[float, np.ndarray]] = field(default_factory=dict)
    asked: list[float] = field(default_factory=list)

    def minimum(self, network: Network, query: Query) -> tuple[float, np.ndarray]:
        parts = (query.box.lower, query.box.upper, query.rows)
        key = b"".join(part.tobytes() for part in parts)
        if key not in self.known:
            found = exact_minimum(network, query.box.lower, query.box.upper, query.rows[0])
            self.known[key] = found
        return self.known[key]

    def decide(
        self,
        network: Network,
        query: Query,
        *,
        watch: Watch | None = None,
        accept: Accept | None = None,
    ) -> Decision:
        assert query.alternatives == ((0,),)
        self.asked.append(float(query.limits[0]))
        best, where = self.minimum(network, query)
        if best > query.limits[0]:
            return Decision(Verdict.UNSAT)
        point = where.reshape(query.box.shape)
        if accept is None or accept(point):
            return Decision(Verdict.SAT, witness=point)
        return Decision(Verdict.UNKNOWN)
