"""The pages say of `lp` that its box lies inside those of the methods below it: it does."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual, compute_bounds
from sensverify.core.box import Box
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Relu, Sigmoid, Tanh
from sensverify.solvers.lp import Lp
from tests.contracts.networks import NETWORKS, Case, cases

TOLERANCE = 1e-7
"""Of the bounds' size: what the solver's multipliers may fall short of the optimum."""


def assert_inside(inner: Box, outer: Box) -> None:
    slack = TOLERANCE * (1e-6 + torch.maximum(outer.lower.abs(), outer.upper.abs()))
    assert bool((inner.lower >= outer.lower - slack).all()), inner.lower - outer.lower
    assert bool((inner.upper <= outer.upper + slack).all()), outer.upper - inner.upper


@pytest.mark.parametrize("family", NETWORKS)
def test_it_lies_inside_the_boxes_of_linear_bounds(family: str) -> None:
    @given(cases(NETWORKS[family]))
    @settings(max_examples=12)
    def check(case: Case) -> None:
        box = case.box_of(torch.float64)
        found = compute_bounds(case.network, box, Lp()).outer
        methods = [Ibp(), LpDual(), Crown()]
        operators = [node.operator for node in case.network.nodes]
        if not any(isinstance(operator, Sigmoid | Tanh) for operator in operators):
            # Free slopes can pass nearer to a curve than the lines of the program.
            methods.append(AlphaCrown(steps=5))
        for method in methods:
            assert_inside(found, compute_bounds(case.network, box, method).outer)

    check()


def relu_net(seed: int) -> tuple[Network, Box]:
    rng = np.random.default_rng(seed)
    sizes = [2, *rng.integers(3, 9, size=rng.integers(2, 4)), 1]
    builder = NetworkBuilder((2,))
    node = builder.input
    for count, (inputs, outputs) in enumerate(pairwise(sizes)):
        layer = Affine(rng.normal(size=(outputs, inputs)), rng.normal(size=outputs))
        node = builder.add(layer, node)
        if count < len(sizes) - 2:
            node = builder.add(Relu(), node)
    centre = rng.normal(size=(1, 2))
    return builder.build(node), Box(*(torch.from_numpy(centre + r) for r in (-0.5, 0.5)))


def test_where_lp_dual_bounds_hidden_layers_better_than_crown() -> None:
    """On one network in seven or so, LP-dual's box is not inside of the program's on CROWN's."""
    wider = 0
    for seed in range(30):
        network, box = relu_net(seed)
        known = compute_bounds(network, box, LpDual()).outer
        assert_inside(compute_bounds(network, box, Lp()).outer, known)
        others = compute_bounds(network, box, Lp(intermediate=Crown())).outer
        wider += float((others.lower - known.lower).min()) < -1e-6
        wider += float((known.upper - others.upper).min()) < -1e-6
    assert wider > 0
