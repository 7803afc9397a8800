"""The gradient steps that the parts of a split take: how many, and how large."""

from __future__ import annotations

from sensverify.network import Network
from sensverify.network.operators import Conv
from sensverify.solvers.branch_and_bound.entries import Entries
from sensverify.solvers.branch_and_bound.optimising import FRESH, WARM, Rates
from sensverify.solvers.branch_and_bound.probing import one_layer
from sensverify.solvers.branch_and_bound.step_intervals import has_steps

STEPS = 6
"""Where a split changes much: at a step, and at any ReLU of a single layer."""

CONVOLVED_STEPS = 3
"""Of several layers of ReLUs with a convolution: more of them hardly move a bound."""

DENSE_STEPS = 14
"""Of several such layers without one, each neuron of which enters every one of the next: there
multipliers take longer to find, and parts of parts keep them."""

CURVED_STEPS = 20
"""Elsewhere, where each line has more to choose and a split alone changes less."""


def steps_of_parts(network: Network) -> tuple[int, Rates]:
    """The number of steps, and their learning rates."""
    if has_steps(network) or one_layer(network):
        return STEPS, FRESH
    if not Entries.of(network).only_relus:
        return CURVED_STEPS, FRESH
    convolved = any(isinstance(node.operator, Conv) for node in network.nodes)
    return CONVOLVED_STEPS if convolved else DENSE_STEPS, WARM
