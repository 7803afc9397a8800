"""Proofs of what another method has found: by branch and bound, which knows what to aim at."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Protocol

import torch
from torch import Tensor

from sensverify.core.box import Box
from sensverify.core.results import Enclosure
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import BranchAndBound

SLACK = 1e-6
"""Of the larger magnitude of an objective's ends: how much less than what was found is proven, at
least. Within it lie the tolerances of solvers."""


class Finder(Protocol):
    """A method with limits of time and a gap, whose word is not a proof."""

    @property
    def seconds(self) -> float | None: ...

    @property
    def objective_seconds(self) -> float | None: ...

    @property
    def gap(self) -> float: ...

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure: ...


def proven_again(
    finder: Finder, network: Network, box: Box, objectives: Tensor, watch: Watch | None
) -> Enclosure:
    """The finder's own enclosure, with a `Proof` by branch and bound of its outer ends.

    Where the time is limited, half of it goes to finding and the rest to proving. The proof is one
    of a little less than was found, and of less still where it ran out of time.
    """
    watch = (watch or Watch()).within(finder.seconds)
    first = watch.within(watch.left / 2 if isfinite(watch.left) else None)
    found = finder.bound(network, box, objectives, watch=first)
    if not bool((torch.isfinite(found.lower) & torch.isfinite(found.upper)).all()):
        # For `compute_bounds` to refuse.
        return found
    prover = BranchAndBound(objective_seconds=finder.objective_seconds, gap=max(finder.gap, SLACK))
    limits = found.lower.detach(), found.upper.detach()
    proof = prover.prove_limits(network, box, objectives, *limits, watch=watch)
    return replace(found, certificate=proof)
