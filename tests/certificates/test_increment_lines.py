"""Planes around increments, against their values without rounding."""

from __future__ import annotations

import flint
import numpy as np
import pytest
from flint import fmpq
from hypothesis import given, settings

from sensverify.bounds import Crown, compute_bounds
from sensverify.certificates import StoredModel, certify_bounds, check_claims
from sensverify.certificates.check.arithmetic import ARITHMETICS, rational
from sensverify.certificates.check.functions import ENCLOSURES
from sensverify.certificates.check.increments import Increments
from sensverify.certificates.check.program import program_of
from sensverify.core.box import Box
from sensverify.errors import CertificateRejected, MissingRule
from sensverify.network import Network, NetworkBuilder
from sensverify.network.joint import join
from sensverify.network.operators import (
    Affine,
    Elementwise,
    Increment,
    PiecewiseLinear,
    Relu,
    Sigmoid,
    Smooth,
    Tanh,
)
from tests.certificates.exact_values import PRECISION, _ends, apply
from tests.certificates.test_lines import (
    OPERATORS,
    as_rational,
    assert_holds,
    intervals,
    points_in,
)
from tests.contracts.networks import dense, random_generators

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
COUNT = 6
KNOWN = [o for o in OPERATORS if isinstance(o, PiecewiseLinear | Sigmoid | Tanh)]


def slopes_for(
    rng: np.random.Generator, function: Increments, lower: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    wild = rng.normal(size=(2, *lower.shape)) * 10.0 ** rng.choice([-320, -20, 0, 140])
    plain = rng.choice([0.0, 1.0, -1.0, 0.5, 1 - 2.0**-53], (2, *lower.shape))
    rule = np.stack(function.rule_slopes(lower, upper))
    both = np.select(
        [(kind := rng.integers(0, 4, wild.shape)) == 0, kind == 1], [wild, plain], rule
    )
    return tuple(np.where(np.isfinite(both), both, 0.0))


def grown(operator: Elementwise, x: fmpq, d: fmpq) -> tuple[fmpq, fmpq]:
    """Ends of ``f(x + d) - f(x)``."""
    low, high = (_ends(v) for v in apply(operator, np.array([x + d, x], object)).reshape(-1))
    return low[0] - high[1], low[1] - high[0]


@pytest.mark.parametrize("name", ARITHMETICS)
@pytest.mark.parametrize("operator", KNOWN, ids=str)
def test_planes_hold_everywhere(operator: Elementwise, name: str) -> None:
    kinks = [k for k in getattr(operator, "kinks", (0.0,)) if np.isfinite(k)]

    @given(random_generators())
    @settings(max_examples=8)
    def check(rng: np.random.Generator) -> None:
        before = flint.ctx.prec
        (x0, x1), (d0, d1) = intervals(rng, COUNT), intervals(rng, COUNT)
        if isinstance(operator, Smooth):
            x0, x1, d0, d1 = np.clip([x0, x1, d0, d1], -40, 40)
        if rng.integers(2):
            # A change that is small beside the number.
            x0, x1 = np.clip([x0, x1], -10, 10)
            d0, d1 = np.clip([d0, d1], -1e-6, 1e-6)
        lower, upper = (np.stack(p, axis=-1).reshape(1, -1) for p in ((x0, d0), (x1, d1)))
        function = ENCLOSURES[Increment](Increment(operator), (COUNT, 2))
        assert isinstance(function, Increments)
        slopes = slopes_for(rng, function, lower, upper)
        arithmetic = ARITHMETICS[name]()
        lines = function.lines(arithmetic, lower, upper, slopes)
        flint.ctx.prec = PRECISION
        try:
            for i in range(COUNT):
                at = slice(2 * i, 2 * i + 2)
                points = [
                    (x, d)
                    for x in points_in(rng, x0[i], x1[i], kinks)[:8]
                    for d in points_in(rng, d0[i], d1[i], [0.0])[:6]
                ]
                corners = [(k - d, d) for k in map(rational, kinks) for _, d in points[:6]]
                low, high = rational(x0[i]), rational(x1[i])
                points += [(x, d) for x, d in corners if low <= x <= high]
                for slope, end, sign in (
                    (slopes[0][0, at], lines.lower[0, i], 1),
                    (slopes[1][0, at], lines.upper[0, i], -1),
                ):
                    a, b = map(rational, slope)
                    found = [
                        (ends[0] - a * x - b * d, ends[1] - a * x - b * d)
                        for x, d in points
                        for ends in (grown(operator, x, d),)
                    ]
                    assert_holds(found, end, sign, (lower[0, at], upper[0, at], slope))
        finally:
            flint.ctx.prec = before

    check()


@pytest.mark.parametrize("operator", OPERATORS[:3], ids=str)
@given(rng=random_generators())
@settings(max_examples=20)
def test_rational_planes_touch(operator: Elementwise, rng: np.random.Generator) -> None:
    """With one kink, the plane meets the increment at a corner of a piece."""
    x, d = np.sort(rng.normal(size=2)), np.sort(rng.normal(size=2)) * rng.choice([1.0, 1e-6])
    lower, upper = np.array([[x[0], d[0]]]), np.array([[x[1], d[1]]])
    function = ENCLOSURES[Increment](Increment(operator), (1, 2))
    slope = rng.normal(size=(1, 2))
    lines = function.lines(ARITHMETICS["exact"](), lower, upper, (slope, slope))
    (x0, x1), (d0, d1) = map(rational, x), map(rational, d)
    inside = [fmpq(0)] if x0 <= 0 <= x1 else []
    points = [(p, q) for p in (x0, x1, *inside) for q in (d0, d1)]
    points += [(-q, q) for q in (d0, d1) if x0 <= -q <= x1]
    points += [(p, -p) for p in (x0, x1) if d0 <= -p <= d1]
    points += [(fmpq(0), fmpq(0))] if x0 <= 0 <= x1 and d0 <= 0 <= d1 else []
    a, b = map(rational, slope[0])
    values = [grown(operator, p, q)[0] - a * p - b * q for p, q in points]
    assert as_rational(lines.lower[0, 0]) == min(values)
    assert as_rational(lines.upper[0, 0]) == max(values)


def two(rng: np.random.Generator, function: Elementwise) -> tuple[Network, Network]:
    layers = [dense(rng, 5, 3), dense(rng, 4, 5), dense(rng, 2, 4)]
    made = []
    for change in (0.0, 1e-4):
        builder, node = NetworkBuilder((3,)), 0
        for i, layer in enumerate(layers):
            node = builder.add(Affine(layer.weight * (1 + change), layer.bias), node)
            node = builder.add(function, node) if i < 2 else node
        made.append(builder.build(node))
    return made[0], made[1]


@pytest.mark.parametrize("function", [Relu(), Tanh()], ids=str)
def test_a_difference_of_networks_is_certified(function: Elementwise) -> None:
    """Claims hold in both arithmetics, are as narrow as what was found, and no stronger ones do."""
    rng = np.random.default_rng(0)
    network = join(*two(rng, function)).network
    box = Box(np.full((1, 3), -0.5), np.full((1, 3), 0.5))
    rows = np.concatenate([np.zeros((2, 2)), np.eye(2)], axis=1)
    rows = np.concatenate([rows, -rows])[None]
    found = compute_bounds(network, box, Crown(), rows, dtype="float64", proof=True)
    model = StoredModel(network, program_of(network), "", {})
    certified = certify_bounds(model, box.lower, box.upper, rows, found.certificate)
    wanted = found.outer.lower[0].numpy()
    assert (wanted - certified.lower[0] <= 1e-11).all()
    assert (abs(certified.lower) < 1e-2).all()
    for arithmetic in ("rigorous", "exact"):
        check_claims(model.program, certified.claims, certified.proof, arithmetic=arithmetic)
    other = join(*two(np.random.default_rng(1), function)).network
    with pytest.raises(CertificateRejected):
        check_claims(program_of(other), certified.claims, certified.proof)


@pytest.mark.parametrize("part", ["_apart", "_together", "_at_vertices", "secants"])
def test_each_bound_is_looked_at(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong one is found by the claims that follow from it: they fail in the right checker."""
    rng = np.random.default_rng(0)
    network = join(*two(rng, Relu())).network
    box = Box(np.full((1, 3), -0.5), np.full((1, 3), 0.5))
    rows = np.array([[[0.0, 0, 1, 0], [0, 0, -1, 0]]])
    proof = compute_bounds(network, box, Crown(), rows, dtype="float64", proof=True).certificate
    model = StoredModel(network, program_of(network), "", {})
    with monkeypatch.context() as broken:
        if part == "secants":
            kind = type(ENCLOSURES[Relu](Relu(), (1,)))
            real = kind.secants
            broken.setattr(
                kind, part, lambda *given: (real(*given)[0] + 0.2, real(*given)[1] - 0.2)
            )
        else:
            real = getattr(Increments, part)
            if part == "_at_vertices":
                broken.setattr(Increments, part, lambda *g: (v + 1e-3 for v in real(*g)))
            else:
                broken.setattr(Increments, part, lambda *given: real(*given) + 1e-3)
        claimed = certify_bounds(model, box.lower, box.upper, rows, proof)
        check_claims(model.program, claimed.claims, claimed.proof)
    with pytest.raises(CertificateRejected):
        check_claims(model.program, claimed.claims, claimed.proof)


def test_functions_that_the_checker_does_not_know_are_refused_by_name() -> None:
    class Softplus(Smooth):
        convex = True

    builder = NetworkBuilder((2,))
    network = builder.build(builder.add(Increment(Softplus()), builder.input))
    with pytest.raises(MissingRule, match="Softplus"):
        program_of(network)
