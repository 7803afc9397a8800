"""Many queries at once: what bounds on whole boxes refute, nothing else, with a proof each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sensverify.bounds import forward_pass
from sensverify.bounds.method import Refuter
from sensverify.core.box import Box
from sensverify.core.queries import Query, Verdict
from sensverify.network.operators import Abs
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.milp import Milp
from tests.solvers.branch_and_bound.cases import chain, query, random_chain, unit_box
from tests.solvers.branch_and_bound.evaluator import Evaluator

ROWS = [[1.0, -1.0], [0.5, 1.0], [-1.0, 0.0]]


def asked_at(centre: np.ndarray, limits: list[float], alternatives: list[list[int]]) -> Query:
    return query(Box(centre - 0.05, centre + 0.05), ROWS, limits, alternatives)


@pytest.mark.parametrize("activation", [None, Abs()])
@pytest.mark.parametrize("batch", [3, 2048])
def test_refuted_are_those_that_one_at_a_time_are(activation: Abs | None, batch: int) -> None:
    network = random_chain(4, 3, 8, 8, 2, activation=activation)
    rng = np.random.default_rng(0)
    asked = []
    for number in range(20):
        centre = rng.uniform(-1, 1, size=(1, 3))
        at = np.array(ROWS) @ forward_pass(network, torch.tensor(centre)).numpy()[0]
        # Far from what can be, near it, and what some input meets.
        limits = (at - [3.0, 0.05, -0.5][number % 3]).tolist()
        alternatives = ([[0], [1, 2]], [[0, 1]])[number % 2]
        asked.append(asked_at(centre, limits, alternatives))
    method = BranchAndBound(batch=batch, proof=True)
    found = method.refute(network, asked)
    refuted = [number for number, answer in enumerate(found) if answer is not None]
    assert set(range(0, 20, 3)) <= set(refuted)
    assert not set(range(2, 20, 3)) & set(refuted)
    for number, answer in enumerate(found):
        alone = method.decide(network, asked[number])
        if answer is None:
            # Whoever refutes it needs more than one bound.
            assert alone.verdict is Verdict.SAT or alone.explored > 1
            continue
        assert (alone.verdict, alone.explored) == (Verdict.UNSAT, 1)
        assert answer.verdict is Verdict.UNSAT
        assert answer.clearance is not None
        box, limits = asked[number].box, asked[number].limits
        points = torch.tensor(rng.uniform(box.lower[0], box.upper[0], size=(200, 3)))
        rows = forward_pass(network, points).numpy() @ np.array(ROWS).T
        assert (rows >= limits + answer.clearance - 1e-9).all()
        proof = Evaluator(network, box, np.array(ROWS)[None])
        assert proof.refuted(answer.certificate, limits, asked[number].alternatives)


def test_an_overflow_leaves_all_to_the_search() -> None:
    network = chain(([[1e200]], [0.0]), ([[1e200]], [0.0]))
    asked = [query(unit_box(1, size), [[1.0]], [-1.0], [[0]]) for size in (1e-300, 1.0)]
    assert BranchAndBound().refute(network, asked) == [None, None]


def test_no_time_and_empty_alternatives_refute_nothing() -> None:
    network = random_chain(1, 2, 3, 2)
    far = query(unit_box(2), [[1.0, 0.0]], [-1e6], [[0]])
    everything = query(unit_box(2), [[1.0, 0.0]], [-1e6], [[]])
    assert BranchAndBound().refute(network, [everything, far])[0] is None
    assert BranchAndBound().refute(network, [far], watch=Watch(0.0)) == [None]


def test_who_can() -> None:
    assert isinstance(BranchAndBound(), Refuter)
    assert not isinstance(Milp(), Refuter)
