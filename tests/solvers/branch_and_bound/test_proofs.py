"""Proofs: evaluated by somebody else, they give what the search has claimed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sensverify.bounds import forward_pass
from sensverify.core.box import Box
from sensverify.core.proof import NONE, RULE, Proof
from sensverify.core.queries import Query, Verdict
from sensverify.core.results import Enclosure
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Abs, Affine, Elementwise, LeakyRelu, Max, Relu, Reshape
from sensverify.solvers.branch_and_bound import BranchAndBound, input_splitting, method
from tests.solvers.branch_and_bound.cases import (
    exact_ends,
    least_violation,
    query,
    random_chain,
    tensors,
    unit_box,
)
from tests.solvers.branch_and_bound.evaluator import Evaluator, assert_covers


def pooled(seed: int, features: int = 3) -> Network:
    """Affine, ReLU, affine, the larger of each two, affine."""
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((features,))
    hidden = builder.add(Affine(rng.normal(size=(6, features)), rng.normal(size=6)), builder.input)
    hidden = builder.add(Affine(rng.normal(size=(8, 6)), None), builder.add(Relu(), hidden))
    hidden = builder.add(Max(), builder.add(Reshape((4, 2)), hidden))
    return builder.build(builder.add(Affine(rng.normal(size=(2, 4)), None), hidden))


def prove(network: Network, box: Box, **more: Any) -> tuple[Enclosure, Evaluator]:
    """Both ends of all outputs with their proof, and who evaluates it."""
    live, live_box = tensors(network, box)
    rows = torch.eye(network.output_shape[0], dtype=torch.float64)[None]
    found = BranchAndBound(**more).prove(live, live_box, rows)
    assert isinstance(found.certificate, Proof)
    both = torch.cat([rows, -rows], dim=1).numpy()
    return found, Evaluator(network, box, both)


def claims(found: Enclosure) -> np.ndarray:
    return torch.cat([found.lower, -found.upper], dim=1).numpy()


def scale(found: Enclosure) -> float:
    return float(np.abs(claims(found)).max())


def assert_proves(found: Enclosure, evaluator: Evaluator) -> None:
    """All that is claimed follows from the proof, and no more than is true."""
    proof = found.certificate
    assert_covers(proof, evaluator.box)
    lower, upper = evaluator.hidden_sets(proof)
    slack = 1e-12 * scale(found)
    assert (proof.hidden.lower <= lower + slack).all()
    assert (proof.hidden.upper >= upper - slack).all()
    proven = evaluator.proven(proof)
    assert (proven >= claims(found) - 1e-7 * scale(found)).all()
    assert found.inner is not None
    attained = torch.cat([found.inner.lower, -found.inner.upper], dim=1).numpy()
    assert (proven <= attained + 1e-7 * scale(found)).all()


@pytest.mark.parametrize("activation", [None, LeakyRelu(np.array(0.2)), Abs()])
@pytest.mark.parametrize("seed", range(2))
def test_fixed_signs_prove_all_that_is_claimed(seed: int, activation: Elementwise | None) -> None:
    network = random_chain(seed, 4, 6, 6, 2, activation=activation)
    found, evaluator = prove(network, unit_box(4, 0.6, batch=2), split="neurons", seconds=60.0)
    assert_proves(found, evaluator)
    proof = found.certificate
    if activation is None:
        assert bool(found.optimal.all())
        assert len(proof.hidden.own_set) > 0
        assert len(proof.multiplier) > 0
        assert proof.lines.upper is None
        # Where the best step was not the last one, these differ from where a search goes on.
        assert ((proof.lines.lower >= 0) & (proof.lines.lower <= 1)).all()


@pytest.mark.parametrize("seed", range(2))
def test_a_network_of_several_kinds(seed: int) -> None:
    box = unit_box(3, 0.5, batch=2)
    found, evaluator = prove(pooled(seed), box, split="neurons", seconds=0.5)
    assert_proves(found, evaluator)
    assert len(found.certificate.cells) > 10


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.3])
def test_a_search_that_was_stopped(seconds: float) -> None:
    network = random_chain(5, 6, 14, 14, 2)
    found, evaluator = prove(network, unit_box(6, batch=2), split="neurons", seconds=seconds)
    assert not bool(found.optimal.any())
    assert_proves(found, evaluator)


def test_what_is_given_up() -> None:
    network = random_chain(5, 6, 10, 10, 2)
    more = {"batch": 8, "memory": 4000, "seconds": 1.0}
    found, evaluator = prove(network, unit_box(6), split="neurons", **more)
    # There was no memory for a record of all that was bounded: it proves less.
    proof = found.certificate
    assert_covers(proof, evaluator.box)
    proven = evaluator.proven(proof)
    assert (proven <= claims(found) + 1e-7 * scale(found)).all()
    assert np.isfinite(proven).all()


def test_leaves_of_a_linear_program() -> None:
    """Along a valley only the program's multipliers reach the least value."""
    network = random_chain(2, 2, 3, 3, 1)
    box = unit_box(2, batch=1)
    found, evaluator = prove(network, box, split="neurons", gap=0.0, seconds=60.0)
    assert_proves(found, evaluator)
    least = exact_ends(network, box, [[1.0]])[0, 0]
    proven = evaluator.proven(found.certificate)[0]
    np.testing.assert_allclose(proven, [least[0], -least[1]], atol=1e-7 * scale(found))


def test_a_proof_comes_with_the_bounds_that_there_are_without_it() -> None:
    network, box = random_chain(3, 2, 4, 3, 2), unit_box(2, 0.6, batch=2)
    for split in ("inputs", "neurons"):
        found, _ = prove(network, box, split=split, gap=1e-3)
        live, live_box = tensors(network, box)
        rows = torch.eye(2, dtype=torch.float64)[None]
        plain = BranchAndBound(split=split, gap=1e-3).bound(live, live_box, rows)
        assert plain.certificate is None
        spare = 2e-3 * scale(found)
        np.testing.assert_allclose(claims(plain), claims(found), atol=spare)
        assert bool((plain.optimal & found.optimal).all())


@pytest.mark.parametrize("name", ["relu", "leaky", "max"])
@pytest.mark.parametrize("seed", range(2))
def test_cells_of_sub_boxes(name: str, seed: int) -> None:
    """Leaves are a little larger than what was bounded, and without its better slopes."""
    leaky = LeakyRelu(np.array(0.2)) if name == "leaky" else None
    network = pooled(seed, 2) if name == "max" else random_chain(seed, 2, 6, 6, 2, activation=leaky)
    box = unit_box(2, batch=2)
    found, evaluator = prove(network, box, split="inputs", gap=1e-2, seconds=5.0)
    proof = found.certificate
    assert_covers(proof, box)
    assert len(proof.hidden) == 0
    assert (evaluator.proven(proof) <= claims(found) + 2e-2 * scale(found)).all()
    leaves = np.flatnonzero(proof.cells.split == NONE)
    assert len(leaves) > 4
    values = evaluator.leaf_values(proof)[leaves]
    wanted = claims(found)[proof.cells.problem[leaves]]
    holds = (values >= wanted - 1e-7 * scale(found)).all(axis=1)
    assert holds.mean() >= 0.8


def test_sub_boxes_that_are_still_open() -> None:
    network, box = random_chain(1, 6, 20, 20, 2), unit_box(6)
    found, evaluator = prove(network, box, split="inputs", seconds=0.1)
    assert not bool(found.optimal.all())
    proven = evaluator.proven(found.certificate)
    assert_covers(found.certificate, box)
    width = (found.upper - found.lower).numpy()
    short = (claims(found) - proven)[0].reshape(2, 2).max(axis=0) / width[0]
    assert (short <= 0.25).all(), short


def test_a_record_without_memory_has_larger_cells() -> None:
    network, box = random_chain(1, 2, 6, 6, 2), unit_box(2)
    found, evaluator = prove(network, box, split="inputs", memory=2000, batch=16, seconds=1.0)
    proof = found.certificate
    assert_covers(proof, box)
    assert 1 <= len(proof.cells) < 40
    assert np.isfinite(evaluator.proven(proof)).all()


@pytest.mark.parametrize("seed", range(3))
def test_signs_after_sub_boxes(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(method, "_PATIENCE", 16)
    network, box = random_chain(seed, 3, 4, 4, 2), unit_box(3, batch=2)
    found, evaluator = prove(network, box, seconds=60.0)
    assert bool(found.optimal.all())
    proof = found.certificate
    assert (proof.cells.group >= 0).any()
    # What sub-boxes had closed is proven again by signs: they are not needed any more.
    assert (proof.cells.split[proof.cells.group == NONE] == NONE).all()
    assert_proves(found, evaluator)


def test_sub_boxes_stay_where_signs_prove_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "_PATIENCE", 64)
    monkeypatch.setattr(method, "_ENOUGH", 64)
    network, box = random_chain(1, 3, 12, 12, 2), unit_box(3)
    found, evaluator = prove(network, box, seconds=0.15)
    assert_covers(found.certificate, box)
    assert np.isfinite(evaluator.proven(found.certificate)).all()


def refute(
    network: Network, asked: Query, split: str, **more: Any
) -> tuple[Proof, dict[int, bool], bool]:
    """The proof of a no, its leaves, and whether they refute all alternatives."""
    decision = BranchAndBound(split=split, seconds=60.0, proof=True, **more).decide(network, asked)
    assert decision.verdict is Verdict.UNSAT
    proof = decision.certificate
    assert isinstance(proof, Proof)
    assert_covers(proof, asked.box)
    evaluator = Evaluator(network, asked.box, asked.rows[None])
    groups = [list(part) for part in asked.alternatives]
    closed = evaluator.closed_leaves(proof, asked.limits, groups)
    return proof, closed, evaluator.refuted(proof, asked.limits, groups)


@pytest.mark.parametrize("seed", range(4))
def test_the_proof_of_a_no(seed: int) -> None:
    network, box = random_chain(seed, 2, 4, 3, 2), unit_box(2)
    least = float(exact_ends(network, box, [[1.0, -1.0]])[0, 0, 0])
    asked = query(box, [[1.0, -1.0]], [least - 1e-2], [[0]])
    proof, _, all_of_it = refute(network, asked, "neurons")
    assert all_of_it
    assert proof.weights is None
    _, closed, _ = refute(network, asked, "inputs")
    assert np.mean(list(closed.values())) >= 0.6


@pytest.mark.parametrize("seed", [5, 7])
def test_rows_that_hold_alone_and_not_together(seed: int) -> None:
    network, box = random_chain(seed, 3, 4, 3, 3), unit_box(3)
    outputs = forward_pass(network, torch.zeros(1, 3, dtype=torch.float64)).numpy()[0]
    least = least_violation(network, box, np.eye(3), outputs)
    limits = outputs + least - 0.1 * np.abs(outputs).max()
    asked = query(box, np.eye(3), limits, [[0, 1, 2]])
    proof, closed, all_of_it = refute(network, asked, "neurons")
    assert all_of_it
    assert proof.weights is not None
    assert (np.count_nonzero(proof.weights, axis=1) > 1).any()
    proof, closed, _ = refute(network, asked, "inputs")
    assert set(proof.cells.group) == {0}
    assert np.mean(list(closed.values())) >= 0.6


def test_sub_boxes_that_only_several_rows_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """``x + |y| <= .29`` and ``-x + |y| <= -.31``: close to x = .3 no row alone."""
    monkeypatch.setattr(input_splitting, "_PATIENCE", 2)
    builder = NetworkBuilder((2,))
    hidden = builder.add(Affine(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])), builder.input)
    rows = np.array([[1.0, -1, 1, 1], [-1, 1, 1, 1]])
    network = builder.build(builder.add(Affine(rows), builder.add(Relu(), hidden)))
    asked = query(unit_box(2), np.eye(2), [0.29, -0.31], [[0, 1]])
    proof, closed, all_of_it = refute(network, asked, "inputs")
    assert len(proof.lines) > 0
    weighed = np.flatnonzero(proof.cells.lines != RULE)
    assert all(closed[cell] for cell in weighed)
    assert all_of_it


@pytest.mark.parametrize("seed", [1, 3, 7])
def test_several_alternatives(seed: int) -> None:
    network, box = random_chain(seed, 3, 4, 3, 3), unit_box(3)
    rows = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, -1.0]])
    ends = exact_ends(network, box, rows)[0, :, 0]
    # The last alternative's second row is also the first alternative's.
    asked = query(box, rows, ends - 0.3 * np.abs(ends), [[0], [2], [1, 0]])
    proof, _, all_of_it = refute(network, asked, "neurons")
    assert all_of_it
    assert proof.weights is not None
    assert proof.weights.shape == (len(proof.lines), 3)
    assert len(set(proof.cells.group)) > 1
    _, closed, _ = refute(network, asked, "inputs")
    assert np.mean(list(closed.values())) >= 0.6


@pytest.mark.parametrize("split", ["inputs", "neurons"])
def test_what_crown_refutes_is_one_cell(split: str) -> None:
    network, box = random_chain(0, 2, 4, 2), unit_box(2)
    asked = query(box, [[1.0, 0.0]], [-1e3], [[0]])
    proof, _, all_of_it = refute(network, asked, split)
    assert all_of_it
    assert len(proof.cells) == 1
    assert len(proof.lines) == 0


def test_a_query_without_alternatives() -> None:
    asked = query(unit_box(2), [[1.0, 0.0]], [0.0], [])
    decision = BranchAndBound().decide(random_chain(0, 2, 4, 2), asked)
    assert decision.verdict is Verdict.UNSAT
    assert len(decision.certificate.cells) == 1


def test_without_the_setting_signs_are_not_kept() -> None:
    network, box = random_chain(1, 2, 4, 3, 2), unit_box(2)
    least = float(exact_ends(network, box, [[1.0, -1.0]])[0, 0, 0])
    asked = query(box, [[1.0, -1.0]], [least - 1e-2], [[0]])
    for split, kept in (("inputs", True), ("neurons", False)):
        decision = BranchAndBound(split=split, seconds=60.0).decide(network, asked)
        assert decision.verdict is Verdict.UNSAT
        assert isinstance(decision.certificate, Proof) is kept
