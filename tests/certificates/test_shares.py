"""Proofs about the shares of a softmax, held against balls that know nothing of the checker."""

from __future__ import annotations

from itertools import product

import flint
import numpy as np
import pytest
import torch
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import AlphaCrown, Crown, compute_bounds
from sensverify.bounds.relaxation import Slope, relax
from sensverify.bounds.tensors import tensor_network
from sensverify.certificates import check_claims
from sensverify.certificates.check.arithmetic import ARITHMETICS
from sensverify.certificates.check.functions import ENCLOSURES
from sensverify.core.box import Box
from sensverify.formats.modules import from_module
from sensverify.network.operators import Share
from tests.certificates.exact_values import PRECISION, exactly
from tests.certificates.test_lines import as_rational, windowed
from tests.contracts.certified import certified_of, stored
from tests.contracts.networks import random_generators


def share_at(x: np.ndarray) -> arb:
    return 1 / (1 + sum(arb(v).exp() for v in x))


@pytest.mark.parametrize("name", ARITHMETICS)
@given(random_generators(), st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=60)
def test_planes_hold(name: str, rng: np.random.Generator, size: int, window: int) -> None:
    """At corners, where planes below touch, and inside, with any slopes and with those by rule."""
    lower, upper, slopes = windowed(rng, size, window)
    function = ENCLOSURES[Share](Share(), (size, window))
    arithmetic = ARITHMETICS[name]()
    before, flint.ctx.prec = flint.ctx.prec, PRECISION
    try:
        for below, above in (slopes, function.rule_slopes(lower, upper)):
            lines = function.lines(arithmetic, lower, upper, (below, above))
            taken = function.image(arithmetic, lower, upper)
            for i in range(size):
                part = slice(i * window, (i + 1) * window)
                low, high = exactly(lower[0, part]), exactly(upper[0, part])
                points = [np.array(c, object) for c in product(*zip(low, high, strict=True))]
                points += [low + exactly(rng.random(window)) * (high - low) for _ in range(10)]
                for x in points:
                    value = share_at(x)
                    rest = value - sum(exactly(below[0, part]) * x)
                    assert not rest < as_rational(lines.lower[0, i])
                    rest = value - sum(exactly(above[0, part]) * x)
                    assert not rest > as_rational(lines.upper[0, i])
                    assert not value < as_rational(taken[0][0, i])
                    assert not value > as_rational(taken[1][0, i])
    finally:
        flint.ctx.prec = before


def test_planes_by_rule_are_those_of_crown() -> None:
    """In both arithmetics, far out, too, where an exponential overflows."""
    rng = np.random.default_rng(0)
    for scale in (1.0, 100.0, 1000.0):
        lower = scale * rng.uniform(-1, 1, (1, 6, 4))
        upper = lower + rng.uniform(0, 2, (1, 6, 4)) * rng.choice([0.1, 1.0, scale], (1, 6, 4))
        found = relax(Share(), torch.tensor(lower), torch.tensor(upper), Slope.ADAPTIVE)
        function = ENCLOSURES[Share](Share(), (6, 4))
        flat = lower.reshape(1, -1), upper.reshape(1, -1)
        below, above = function.rule_slopes(*flat)
        np.testing.assert_allclose(below, found.lower_slope.reshape(1, -1), 1e-9, 1e-300)
        np.testing.assert_allclose(above, found.upper_slope.reshape(1, -1), 1e-9, 1e-300)
        lines = function.lines(ARITHMETICS["rigorous"](), *flat, (below, above))
        np.testing.assert_allclose(lines.lower, found.lower_intercept[:, 0], 1e-9, 1e-12)
        np.testing.assert_allclose(lines.upper, found.upper_intercept[:, 0], 1e-9, 1e-12)


class Attention(torch.nn.Module):
    """One head, and a map of all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(3))
        self.out = torch.nn.Linear(12, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (each(x) for each in self.maps)
        result: torch.Tensor = self.out((torch.softmax(2 * q @ k.mT, -1) @ v).flatten(1))
        return result


@pytest.mark.parametrize("method", [Crown(), AlphaCrown(steps=5)], ids=lambda m: m.name)
def test_attention_is_certified(method: Crown | AlphaCrown) -> None:
    torch.manual_seed(0)
    network = from_module(Attention().eval().requires_grad_(False), (3, 4))
    network = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"), fold=False)
    network = network.map_arrays(lambda v: v.numpy())
    assert any(isinstance(node.operator, Share) for node in network.nodes)
    middle = torch.randn(2, 3, 4).double()
    box = Box(middle - 0.1, middle + 0.1)
    bounds = compute_bounds(network, box, method, proof=True)
    model = stored(network)
    wanted, found = certified_of(model, box, bounds)
    assert (found.lower >= wanted - 1e-9).all()
    check_claims(model.program, found.claims, found.proof)
