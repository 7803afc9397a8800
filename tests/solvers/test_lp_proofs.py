"""The duals of the triangle relaxation as slopes: one backward pass reaches the optimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from sensverify.bounds import Crown, Ibp, LpDual, compute_bounds
from sensverify.bounds.proofs import flat_bounds
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.core.proof import Proof
from sensverify.core.results import Bounds
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    Clip,
    Conv,
    Elementwise,
    LeakyRelu,
    Relu,
    Reshape,
    Sigmoid,
    Tanh,
)
from sensverify.solvers.encoding import Encoder, Form
from sensverify.solvers.highs import Highs, Solution
from sensverify.solvers.lp import Lp
from tests.contracts.attained import attained
from tests.contracts.networks import NETWORKS, Case, cases, dense, max_pool, numbers
from tests.contracts.proof_values import ProofValues, claimed_values, proven_values
from tests.pairwise import pairwise

OPERATORS: dict[str, Elementwise] = {
    "relu": Relu(),
    "leaky": LeakyRelu(np.array(0.2)),
    "falling": LeakyRelu(np.array(-0.5)),
    "concave": LeakyRelu(np.array(1.5)),
    "abs": Abs(),
    "clip": Clip(-0.5, 0.75),
    "tanh": Tanh(),
    "sigmoid": Sigmoid(),
}


def mlp(name: str, seed: int) -> Network:
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((4,))
    node = builder.input
    for _ in range(3):
        node = builder.add(dense(rng, 9, builder.shape(node)[0], gain=2.0), node)
        node = builder.add(OPERATORS[name], node)
    return builder.build(builder.add(dense(rng, 2, 9), node))


def conv(name: str, seed: int) -> Network:
    """With overlapping windows of max pooling and a residual block."""
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((2, 5, 5))

    def layer(node: int) -> int:
        weight = numbers(rng, 2, 2, 3, 3, scale=0.5)
        operator = Conv(weight, numbers(rng, 2, scale=0.3), (1, 1), (1, 1), (1, 1), 1)
        return builder.add(OPERATORS[name], builder.add(operator, node))

    node = layer(builder.input)
    node = builder.add(Reshape((2, 4, 4)), max_pool(builder, node, 2, 1))
    node = builder.add(Add(), layer(node), node)
    return builder.build(builder.add(dense(rng, 2, 32), builder.add(Reshape((32,)), layer(node))))


def around(network: Network, seed: int, radius: float = 0.3) -> Box:
    center = torch.from_numpy(numbers(np.random.default_rng(seed), 2, *network.input_shape))
    return Box(center - radius, center + radius)


def assert_reaches(network: Network, bounds: Bounds, tolerance: float = 1e-6) -> None:
    claimed = claimed_values(bounds)
    found = proven_values(network, bounds)
    assert bool((found >= claimed - tolerance * (1 + claimed.abs())).all()), found - claimed
    assert ProofValues(network, bounds).hidden_slack() <= 1e-12


@pairwise(
    name=list(OPERATORS), make=[mlp, conv], method=[Lp(), Lp(intermediate=Ibp())], seed=[0, 1]
)
def test_one_pass_reaches_the_optimum(name: str, make: object, method: Lp, seed: int) -> None:
    network = make(name, seed)
    box = around(network, seed)
    plain = compute_bounds(network, box, method)
    bounds = compute_bounds(network, box, method, proof=True)
    assert torch.equal(plain.outer.lower, bounds.outer.lower)
    assert torch.equal(plain.outer.upper, bounds.outer.upper)
    assert_reaches(network, bounds)
    # The slopes matter: those of CROWN prove less.
    crown = claimed_values(compute_bounds(network, box, Crown(method.intermediate)))
    assert bool((claimed_values(bounds) > crown + 1e-4).any())


@pytest.mark.parametrize("family", NETWORKS)
def test_any_network(family: str) -> None:
    @given(cases(NETWORKS[family]))
    @settings(max_examples=8)
    def check(case: Case) -> None:
        bounds = compute_bounds(case.network, case.box_of(torch.float64), Lp(), proof=True)
        assert_reaches(case.network, bounds)

    check()


@pytest.mark.parametrize("make", [mlp, conv])
def test_the_other_solvers_multipliers(make: object) -> None:
    network = make("relu", 0)
    bounds = compute_bounds(network, around(network, 0), Lp(backend="cvxpy"), proof=True)
    assert_reaches(network, bounds)


def test_chunks_and_objectives_of_each_sample() -> None:
    network = mlp("tanh", 1)
    box = around(network, 1)
    rows = torch.from_numpy(numbers(np.random.default_rng(2), 2, 3, 2))
    bounds = compute_bounds(network, box, Lp(), rows, proof=True, memory_budget=1)
    claimed = claimed_values(bounds)
    found = proven_values(network, bounds, rows)
    assert bool((found >= claimed - 1e-6 * (1 + claimed.abs())).all())


def test_what_a_proof_is_made_of() -> None:
    network = mlp("relu", 0)
    box = around(network, 0)
    proof = compute_bounds(network, box, Lp(), proof=True).certificate
    assert isinstance(proof, Proof)
    assert len(proof.cells) == 2 * 4
    assert list(proof.cells.group) == [0, 1, 2, 3] * 2
    assert list(proof.cells.hidden) == [0] * 4 + [1] * 4
    assert compute_bounds(network, box, Lp()).certificate is None


@pytest.mark.parametrize("make", [mlp, conv])
@pytest.mark.parametrize("name", OPERATORS)
def test_without_the_solver_the_best_lines_of_the_passes_stay(
    make: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    minimise = Highs.minimise

    def nothing(self: Highs, *args: object, **keywords: object) -> Solution:
        found = minimise(self, *args, **keywords)
        return replace(found, bound=None, point=None, multipliers=None)

    monkeypatch.setattr(Highs, "minimise", nothing)
    network = make(name, 0)
    box = around(network, 0)
    bounds = compute_bounds(network, box, Lp(), proof=True)
    # Of the passes of each sample, one set each.
    assert len(bounds.certificate.lines) == 3 * box.batch
    assert_reaches(network, bounds, 1e-12)
    for method in (Crown(), LpDual()):
        known = claimed_values(compute_bounds(network, box, method))
        assert bool((claimed_values(bounds) >= known - 1e-12 * (1 + known.abs())).all())


def test_hidden_bounds_are_the_best_of_three() -> None:
    """Each of the three is the best somewhere, and the proof says by which lines."""
    found = set()
    for seed in range(4):
        network = mlp("relu", seed)
        box = around(network, seed)
        proof = compute_bounds(network, box, Lp(), proof=True).certificate
        live = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
        ends = [
            flat_bounds(method.pre_activations(live, box), box.batch)
            for method in (Crown(), LpDual(), Ibp())
        ]
        for side, stored in ((0, proof.hidden.lower), (1, -proof.hidden.upper)):
            each = np.stack([(low, -high)[side] for low, high in ends])
            best = each.max(axis=0)
            np.testing.assert_allclose(stored, best, rtol=1e-11, atol=1e-11)
            found |= set(np.flatnonzero((each > np.sort(each, axis=0)[-2] + 1e-6).any(axis=(1, 2))))
        own = proof.hidden
        for set_, entry, side in zip(own.own_set, own.own_entry, own.own_side, strict=True):
            end = 0 if side < 0 else 1
            best, second = (values[end][set_, entry] for values in (ends[0], ends[1]))
            assert (second > best) if side < 0 else (second < best)
    assert found == {0, 1, 2}


@pairwise(
    garbage=["nan", "infinite", "short", "none", "noise", "huge"],
    name=["relu", "tanh", "clip"],
    make=[mlp, conv],
)
def test_garbage_costs_tightness_only(
    garbage: str, name: str, make: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the duals are, no error comes, and what CROWN proves is proven."""
    minimise = Highs.minimise
    rng = np.random.default_rng(0)

    def spoiled(self: Highs, *args: object, **keywords: object) -> Solution:
        solution = minimise(self, *args, **keywords)
        good = solution.multipliers
        bad = {
            "nan": np.full_like(good, np.nan),
            "infinite": np.full_like(good, np.inf),
            "short": good[:-1],
            "none": None,
            "noise": good + rng.normal(size=good.shape),
            "huge": 1e300 * rng.normal(size=good.shape),
        }[garbage]
        return replace(solution, multipliers=bad)

    monkeypatch.setattr(Highs, "minimise", spoiled)
    network = make(name, 0)
    box = around(network, 0)
    bounds = compute_bounds(network, box, Lp(), proof=True)
    crown = claimed_values(compute_bounds(network, box, Crown()))
    found = proven_values(network, bounds)
    assert bool((found >= crown - 1e-9 * (1 + crown.abs())).all())
    lines = bounds.certificate.lines
    assert np.isfinite(lines.lower).all()
    assert np.isfinite(lines.upper).all()
    # Multipliers are nothing but slopes: what they prove is true.
    values = attained(network, box)[0]
    true = torch.cat([values.amin(dim=0), -values.amax(dim=0)], dim=1)
    assert bool((found <= true + 1e-9 * (1 + true.abs())).all())


def test_rows_remember_what_enters_nonlinear_nodes() -> None:
    """``y = relu(x)`` on [-1, 1]: minus the part below zero, plus the part above, less x, is 0."""
    builder = NetworkBuilder((1,))
    network = builder.build(builder.add(Relu(), builder.add(Affine(np.eye(1)), builder.input)))
    ends = np.array([-1.0]), np.array([1.0])
    encoding = Encoder(network).encode(*ends, {2: ends}, Form.RELAXED)
    known = encoding.inputs_in_rows
    assert [list(part) for part in (known.node, known.entry, known.factor)] == [[2], [0], [1.0]]
    row = encoding.problem.matrix[known.row].toarray()[0]
    assert row[encoding.inputs[0]] == -1.0
    # Neurons that are linear on their interval have no row.
    decided = Encoder(network).encode(
        np.array([1.0]), np.array([2.0]), {2: (np.array([1.0]), np.array([2.0]))}, Form.RELAXED
    )
    assert len(decided.inputs_in_rows.row) == 0
