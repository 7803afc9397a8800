"""Certificates of networks with products of two numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import AlphaCrown, Crown, compute_bounds, make_method
from sensverify.certificates import check_claims
from sensverify.certificates.check.arithmetic import ARITHMETICS
from sensverify.certificates.check.functions import ENCLOSURES
from sensverify.core.box import Box
from sensverify.core.proof import Lines
from sensverify.errors import CertificateRejected
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Product, Relu, Select
from tests.certificates.exact_values import exactly
from tests.certificates.test_lines import as_rational, windowed
from tests.contracts.certified import certified_of, stored
from tests.contracts.networks import random_generators


@pytest.mark.parametrize("name", ARITHMETICS)
@given(random_generators(), st.integers(1, 4))
@settings(max_examples=60)
def test_planes_hold_at_corners(name: str, rng: np.random.Generator, size: int) -> None:
    """They are tight, too, in exact arithmetic; along each number all is linear."""
    lower, upper, slopes = windowed(rng, size, 2)
    function = ENCLOSURES[Product](Product(), (size, 2))
    arithmetic = ARITHMETICS[name]()
    lines = function.lines(arithmetic, lower, upper, slopes)
    taken = function.image(arithmetic, lower, upper)
    for i in range(size):
        part = slice(2 * i, 2 * i + 2)
        ends = zip(exactly(lower[0, part]), exactly(upper[0, part]), strict=True)
        points = list(product(*ends))
        (s, t), (big_s, big_t) = (exactly(each[0, part]) for each in slopes)
        low = min(x * y - s * x - t * y for x, y in points)
        high = max(x * y - big_s * x - big_t * y for x, y in points)
        values = [x * y for x, y in points]
        assert as_rational(lines.lower[0, i]) <= low
        assert as_rational(lines.upper[0, i]) >= high
        assert as_rational(taken[0][0, i]) <= min(values)
        assert as_rational(taken[1][0, i]) >= max(values)
        if name == "exact":
            assert as_rational(lines.lower[0, i]) == low
            assert as_rational(lines.upper[0, i]) == high


def network_of(rng: np.random.Generator) -> Network:
    """One in which a product stands between affine maps and behind ReLUs."""
    builder = NetworkBuilder((2,))
    node = builder.add(Affine(rng.normal(size=(3, 2)), rng.normal(size=3)), builder.input)
    node = builder.add(Relu(), node)
    node = builder.add(Product(), builder.add(Select(np.array([[0, 1], [2, 2], [1, 2]])), node))
    return builder.build(builder.add(Affine(rng.normal(size=(1, 3))), node))


@pytest.mark.parametrize("method", [Crown(), AlphaCrown(steps=5)], ids=lambda m: m.name)
def test_changed_proofs_prove_nothing_that_is_untrue(method: Crown | AlphaCrown) -> None:
    rng = np.random.default_rng(5)
    network = network_of(rng)
    box = Box(torch.full((1, 2), -0.5).double(), torch.full((1, 2), 1.0).double())
    bounds = compute_bounds(network, box, method, proof=True)
    model = stored(network)
    wanted, found = certified_of(model, box, bounds)
    assert (found.lower >= wanted - 1e-9).all()
    check_claims(model.program, found.claims, found.proof)
    exact = compute_bounds(network, box, make_method("branch-and-bound(gap=1e-3)"))
    most = np.array([[float(exact.inner.lower), -float(exact.inner.upper)]])
    untrue = replace(found.claims, limits=most + 1e-6)
    with pytest.raises(CertificateRejected):
        check_claims(model.program, untrue, found.proof)
    # With any slopes at all, nothing that is attained is refuted; most prove less than was claimed.
    refused = 0
    for _ in range(40):
        lines = found.proof.lines
        factor = rng.choice([-1.0, 0.0, 0.5, 1.5, 1e6], size=lines.lower.shape)
        where = rng.random(lines.lower.shape) < 0.3
        upper = None if lines.upper is None else np.where(where, factor, lines.upper)
        changed = Lines(np.where(where, factor * lines.lower, lines.lower), upper)
        proof = replace(found.proof, lines=changed)
        try:
            check_claims(model.program, found.claims, proof)
        except CertificateRejected:
            refused += 1
        with pytest.raises(CertificateRejected):
            check_claims(model.program, untrue, proof)
    assert refused > 10
