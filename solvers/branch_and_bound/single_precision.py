"""Steps in float32 and bounds in float64, for networks of which the products take the time."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch

from sensverify.bounds.tensors import tensor_network
from sensverify.network import Network
from sensverify.network.operators import Affine, Conv
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.line_problem import LineProblem
from sensverify.solvers.branch_and_bound.optimising import (
    FRESH,
    BestLines,
    Choices,
    Rates,
    best_lines,
)
from sensverify.solvers.branch_and_bound.step_intervals import has_steps

LARGE = 1 << 14
"""Products of one evaluation of a network from which on float32 is faster."""


def in_single(network: Network, device: torch.device) -> Network | None:
    """The network with float32 parameters, where that pays; not beside jumps, whose side it loses.

    Parameters
    ----------
    network : Network
    device : torch.device
    """
    total, stepped = 0, has_steps(network)
    for node in network.nodes:
        operator = node.operator
        if isinstance(operator, Affine):
            total += operator.weight.numel()
        elif isinstance(operator, Conv):
            total += operator.weight[0].numel() * prod(node.shape)
    if total < LARGE or stepped:
        return None
    return tensor_network(network, dtype=torch.float32, device=device)


def best_lines_in_single(
    problem: LineProblem,
    network: Network | None,
    start: Choices,
    steps: int,
    *,
    keep: bool = False,
    rates: Rates = FRESH,
    watch: Watch | None = None,
) -> BestLines:
    """Lines as by `best_lines`: gradient steps in float32, evaluated in the problem's precision.

    What the best step has chosen is evaluated anew, so that nothing rests on float32.

    Parameters
    ----------
    network : Network or None
        The problem's, as by `in_single`.
    """
    if network is None:
        return best_lines(problem, start, steps, keep=keep, rates=rates, watch=watch)
    found = best_lines(problem.narrowed(network), start, steps, keep=True, rates=rates, watch=watch)
    assert found.best is not None
    exact = best_lines(problem, found.best, 0, keep=keep)
    # Coefficients of the last step choose better neurons than those of the best one.
    seen = {p: values.to(exact.excess) for p, values in found.seen.items()}
    return replace(exact, choices=found.choices, seen=seen)
