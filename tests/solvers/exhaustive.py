"""An oracle that looks at every activation pattern of a tiny ReLU network."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import linprog

from sensverify.bounds.method import Decider
from sensverify.core.queries import Accept, Decision, Query, Verdict
from sensverify.network import Network
from sensverify.network.operators import Affine, Relu
from sensverify.runs.watch import Watch


def exact_minimum(network: Network, lower: Any, upper: Any, row: Any) -> tuple[float, np.ndarray]:
    """The smallest ``row · f(x)`` of a chain of `Affine` and `Relu`, and where; solved to 1e-9."""
    layers = [node.operator for node in network.nodes[1:]]
    neurons = sum(node.shape[0] for node in network.nodes[1:] if isinstance(node.operator, Relu))
    lower, upper = np.asarray(lower).ravel(), np.asarray(upper).ravel()
    best, where = np.inf, lower
    for pattern in product((False, True), repeat=neurons):
        weight, bias, rows, seen = np.eye(len(lower)), np.zeros(len(lower)), [], 0
        for layer in layers:
            if isinstance(layer, Affine):
                matrix = np.asarray(layer.weight, dtype=np.float64)
                shift = 0.0 if layer.bias is None else np.asarray(layer.bias, dtype=np.float64)
                weight, bias = matrix @ weight, matrix @ bias + shift
            else:
                on = np.array(pattern[seen : seen + len(bias)])
                seen += len(bias)
                # On where weight x + bias >= 0, off where it is <= 0.
                sign = np.where(on, -1.0, 1.0)[:, None]
                rows.append(np.concatenate([sign * weight, -sign * bias[:, None]], axis=1))
                weight, bias = weight * on[:, None], bias * on
        table = np.concatenate(rows) if rows else np.zeros((0, len(lower) + 1))
        done = linprog(
            row @ weight,
            A_ub=table[:, :-1],
            b_ub=table[:, -1],
            bounds=np.stack([lower, upper], axis=1),
            options={"presolve": False, "primal_feasibility_tolerance": 1e-10},
        )
        if done.status == 0 and done.fun + row @ bias < best:
            best, where = done.fun + row @ bias, np.clip(done.x, lower, upper)
    return float(best), where


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
