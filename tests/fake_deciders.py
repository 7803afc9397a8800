"""Deciders for tests: one that samples, and several kinds of faulty ones."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from sensverify.bounds import Ibp, compute_bounds, forward_pass
from sensverify.bounds.method import Decider
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.core.queries import Accept, Decision, Query, Verdict
from sensverify.core.results import Guarantee
from sensverify.errors import BackendFailure
from sensverify.network import Network
from sensverify.runs.watch import Watch


def inputs_of(query: Query, samples: int) -> np.ndarray:
    """The centre, the two outermost corners and random points of a box."""
    box = query.box
    share = np.random.default_rng(0).random((samples, *box.shape))
    inside = box.lower + share * (box.upper - box.lower)
    return np.concatenate([box.center, box.lower, box.upper, inside])


@dataclass(frozen=True)
class Sampling(Decider):
    """Finds what sampling finds, and proves what interval bounds prove."""

    samples: int = 200
    seed: int = 0
    name: ClassVar[str] = "sampling"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND

    def decide(
        self,
        network: Network,
        query: Query,
        *,
        watch: Watch | None = None,
        accept: Accept | None = None,
    ) -> Decision:
        network = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
        points = inputs_of(query, self.samples)
        outputs = forward_pass(network, torch.from_numpy(points)).flatten(1).numpy()
        for point in points[query.met_by(outputs)]:
            if accept is None or accept(point):
                return Decision(Verdict.SAT, point, len(points))
        if len(query.rows) and self._proven(network, query):
            return Decision(Verdict.UNSAT, explored=1)
        return Decision(Verdict.UNKNOWN, explored=len(points))

    def _proven(self, network: Network, query: Query) -> bool:
        box = Box(torch.from_numpy(query.box.lower), torch.from_numpy(query.box.upper))
        bounds = compute_bounds(network, box, Ibp(), torch.from_numpy(query.rows)[None])
        above = bounds.outer.lower[0].numpy() > query.limits
        return all(above[list(part)].any() for part in query.alternatives)


@dataclass(frozen=True)
class Faulty(Decider):
    """Does what ``how`` says, for inputs whose box begins above ``above``; else as `Sampling`."""

    how: str = "sat"
    above: float = -1e300

    def decide(
        self,
        network: Network,
        query: Query,
        *,
        watch: Watch | None = None,
        accept: Accept | None = None,
    ) -> Decision:
        if not query.box.lower.max() > self.above:
            return Sampling().decide(network, query, watch=watch, accept=accept)
        point = query.box.lower[0]
        if self.how == "sat":
            return Decision(Verdict.SAT, point)
        if self.how == "nan":
            return Decision(Verdict.SAT, np.full_like(point, np.nan))
        if self.how == "sat-without-witness":
            return Decision(Verdict.SAT)
        if self.how == "unsat-with-witness":
            Sampling().decide(network, query, watch=watch, accept=accept)
            return Decision(Verdict.UNSAT)
        if self.how in ("SIGINT", "SIGTERM"):
            os.kill(os.getpid(), signal.Signals[self.how])
        if self.how in ("timeout", "SIGINT", "SIGTERM"):
            while watch is not None and not watch.over:
                time.sleep(0.01)
            return Decision(Verdict.TIMEOUT)
        if self.how == "hang":
            time.sleep(3600)
        if self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "memory":
            raise MemoryError
        raise BackendFailure("the solver failed")
