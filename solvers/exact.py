"""The exact method for people who do not want to choose one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from sensverify.bounds.ibp import Ibp
from sensverify.bounds.method import Decider, Method, require_proof_over_set
from sensverify.bounds.tensors import flattened, tensor_network
from sensverify.core.box import Box, to_numpy
from sensverify.core.queries import Accept, Decision, Query
from sensverify.core.results import Enclosure, Guarantee
from sensverify.core.sets import Ball, Patch, Varied
from sensverify.network import Network
from sensverify.network.operators import Max, Nonlinear, PiecewiseLinear, Relu, Steps
from sensverify.registry.ranges import AtLeast0, Count, Seconds
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import FEW_FEATURES, BranchAndBound
from sensverify.solvers.milp import Milp

MOST_JUMPS = 1 << 13
"""Jumps on a box up to which a program is written, with a binary for each."""


@dataclass(frozen=True)
class Exact(Method, Decider):
    """Exact ranges by whichever of our methods is fastest for the network and the box.

    That is branch and bound, except where a mixed-integer program takes kinks apart sooner: where
    many features move and the network has kinks other than ReLUs', and where such a network jumps,
    but not where it jumps thousands of times, as activations of eight bits do; and except where few
    pixels move, of which branch and bound knows no more than their hull.

    Parameters
    ----------
    seconds, objective_seconds : float or None
        Wall time for a call, and for each end of each objective.
    gap : float
        Relative difference between a proven and an attained end that counts as exact.
    threads : int or None
        Of the processor; None leaves it to the method.
    seed : int
    proof : bool
        Whether `decide` keeps what refutes a query, as for `BranchAndBound`.

    Notes
    -----
    Guarantee SOUND by branch and bound, SOLVER by mixed-integer programming; the result says which.
    """

    seconds: Seconds | None = None
    objective_seconds: Seconds | None = None
    gap: AtLeast0 = 1e-6
    threads: Count | None = None
    seed: int = 0
    proof: bool = False

    name: ClassVar[str] = "exact"
    guarantee: ClassVar[Guarantee] = Guarantee.SOLVER
    anytime: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    dtype: ClassVar[str] = "float64"
    sets = BranchAndBound.sets
    proves_sets = True

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        method = self._choice(network, box)
        enclosure = method.bound(network, box, objectives, watch=watch)
        return replace(enclosure, guarantee=method.guarantee)

    def prove(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """As `bound`, with what the proven ends follow from: `ProvingMethod.prove`."""
        method = self._choice(network, box)
        require_proof_over_set(method, box)
        enclosure = method.prove(network, box, objectives, watch=watch)
        return replace(enclosure, guarantee=method.guarantee)

    def decide(
        self,
        network: Network,
        query: Query,
        *,
        watch: Watch | None = None,
        accept: Accept | None = None,
    ) -> Decision:
        return self._choice(network, query.box).decide(network, query, watch=watch, accept=accept)

    def _choice(self, network: Network, box: Box) -> BranchAndBound | Milp:
        kinds = [n.operator for n in network.nodes if isinstance(n.operator, Nonlinear)]
        bent = all(isinstance(kind, PiecewiseLinear | Max | Steps) for kind in kinds)
        jumps = any(isinstance(kind, Steps) for kind in kinds)
        bent &= not all(isinstance(kind, Relu) for kind in kinds)
        moving = (box.lower < box.upper).reshape(box.batch, -1).sum(axis=1).max()
        limits = (self.seconds, self.objective_seconds, self.gap)
        # Nothing but branch and bound knows round sets, and parameters of images are few.
        split = isinstance(box, Varied) or (isinstance(box, Ball) and box.order == 2)
        many = jumps or int(moving) > FEW_FEATURES
        program = bent and many and not split and _jumps(network, box) <= MOST_JUMPS
        if isinstance(box, Patch) or program:
            return Milp(*limits, threads=self.threads or 1, seed=self.seed)
        return BranchAndBound(*limits, threads=self.threads, seed=self.seed, proof=self.proof)


def _jumps(network: Network, box: Box) -> float:
    """The number of jumps on a box, at most, of the sample with the most of them."""
    if not any(isinstance(node.operator, Steps) for node in network.nodes):
        return 0.0
    live = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
    hull = Box(*(torch.as_tensor(to_numpy(end)).double() for end in (box.lower, box.upper)))
    counts = torch.zeros(hull.batch, dtype=torch.float64)
    with torch.no_grad():
        for position, (low, high) in Ibp().pre_activations(live, hull).items():
            operator = live.nodes[position].operator
            if isinstance(operator, Steps):
                counts += flattened((high - low) / operator.spacing).sum(dim=1)
    # Where intervals overflow, nobody knows how many: a program refuses what it cannot hold.
    return float(counts.nan_to_num(nan=0.0).max())
