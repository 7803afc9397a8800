"""Roots are split for some time before hidden layers are bounded again: proofs hold either way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.certificates import certify_query
from sensverify.core.box import Box
from sensverify.core.proof import Proof
from sensverify.core.queries import Query, Verdict
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import BranchAndBound, neuron_splitting
from sensverify.solvers.branch_and_bound import method as method_of_search
from tests.contracts.certified import stored
from tests.solvers.branch_and_bound.cases import exact_ends, query, random_chain, unit_box
from tests.solvers.branch_and_bound.evaluator import Evaluator, assert_covers
from tests.ticks import Ticks

TIMES = (0.0, 3.0, 1e9)
"""Of bounding: never, for a few steps, to the end."""


def ticking(looks: int = 100_000) -> Watch:
    return Watch(1e-3 * looks, clock=Ticks())


def several(seed: int) -> tuple[Network, Box, Query]:
    """Alternatives of which some take one step and others many."""
    network, box = random_chain(seed, 3, 6, 5, 2), unit_box(3)
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 1.0]])
    ends = exact_ends(network, box, rows)[0]
    far = np.array([0.001, 0.5, 0.01, 0.1])
    limits = ends[:, 0] - far * (ends[:, 1] - ends[:, 0])
    return network, box, query(box, rows, limits, [[0], [1], [2], [3]])


@pytest.mark.parametrize("times", TIMES)
def test_proofs_hold(times: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_of_search, "_BEFORE", times)
    monkeypatch.setattr(neuron_splitting, "FIRST", 1e9)
    for seed in range(4):
        network, box, asked = several(seed)
        method = BranchAndBound(split="neurons", proof=True)
        decision = method.decide(network, asked, watch=ticking())
        assert decision.verdict is Verdict.UNSAT
        proof = decision.certificate
        assert isinstance(proof, Proof)
        assert_covers(proof, box)
        groups = tuple((row,) for row in range(4))
        evaluator = Evaluator(network, box, asked.rows[None])
        assert evaluator.refuted(proof, asked.limits, groups)
        assert certify_query(stored(network), asked, proof) is not None


@given(seed=st.integers(0, 999), times=st.sampled_from(TIMES), looks=st.integers(5, 400))
@settings(max_examples=15)
def test_nothing_false_is_refuted(seed: int, times: float, looks: int) -> None:
    network, box = random_chain(seed, 3, 6, 5, 1), unit_box(3)
    least = float(exact_ends(network, box, [[1.0]])[0, 0, 0])
    asked = query(box, [[1.0]], [least + 1e-3], [[0]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(method_of_search, "_BEFORE", times)
        patch.setattr(neuron_splitting, "FIRST", 1e9)
        method = BranchAndBound(split="neurons", without=("attack",))
        decision = method.decide(network, asked, watch=ticking(looks))
    assert decision.verdict in (Verdict.SAT, Verdict.TIMEOUT)


def test_what_a_few_splits_decide_is_not_refined(monkeypatch: pytest.MonkeyPatch) -> None:
    refined: list[Any] = []
    original = neuron_splitting.refine

    def spy(*given: Any, **more: Any) -> Any:
        refined.append(given)
        return original(*given, **more)

    monkeypatch.setattr(neuron_splitting, "refine", spy)
    monkeypatch.setattr(neuron_splitting, "FIRST", 1e9)
    network, _, asked = several(0)
    for times, count in ((1e9, 0), (0.0, 1)):
        refined.clear()
        monkeypatch.setattr(method_of_search, "_BEFORE", times)
        decision = BranchAndBound(split="neurons").decide(network, asked, watch=ticking())
        assert decision.verdict is Verdict.UNSAT
        assert len(refined) == count


def test_what_was_proven_before_layers_are_refined_stays_proven(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More looks at the watch, and never a larger distance from the limit."""
    monkeypatch.setattr(neuron_splitting, "FIRST", 1e9)
    network, box = random_chain(0, 8, 16, 16, 1), unit_box(8)
    asked = query(box, [[1.0]], [-40.0], [[0]])
    last = np.inf
    for looks in (20, 60, 100, 140, 180, 240, 320):
        method = BranchAndBound(split="neurons", without=("attack",))
        decision = method.decide(network, asked, watch=ticking(looks))
        if decision.verdict is not Verdict.TIMEOUT:
            break
        assert decision.shortfall is None or decision.shortfall <= last + 1e-9
        last = decision.shortfall or last
    assert last < np.inf
