"""What a proof proves is never above an attained value, however absurd the proof is.

Attained values are computed without rounding, in rational numbers or balls.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from flint import fmpq
from hypothesis import given, settings

from sensverify.certificates import Claims
from sensverify.certificates.check.program import program_of
from sensverify.certificates.leaves import best
from sensverify.network import Network
from tests.certificates.divided_networks import divided_networks
from tests.certificates.exact_values import rational, row_values_at
from tests.certificates.random_proofs import evaluated, random_proof
from tests.contracts.networks import NETWORKS, Case, cases, numbers, random_generators

FAMILIES = NETWORKS | {"divided": divided_networks()}
POINTS = {"mlp": 24, "conv": 6, "residual": 4, "divided": 6}
EXAMPLES = {"mlp": 30, "conv": 15, "residual": 10, "divided": 30}


def claims_of(case: Case, rng: np.random.Generator) -> Claims:
    lower, upper = (end.reshape(case.box.batch, -1) for end in (case.box.lower, case.box.upper))
    rows = numbers(rng, int(rng.choice([1, case.box.batch])), int(rng.integers(1, 4)), case.outputs)
    if rng.random() < 0.4:
        identity = np.eye(case.outputs)
        rows = np.concatenate([identity, -identity])[None]
    return Claims(lower, upper, rows, np.full((case.box.batch, rows.shape[1]), -np.inf))


def inputs_of(case: Case, rng: np.random.Generator, count: int) -> np.ndarray:
    """Corners, random points and where gradients lead to, ``[count, batch, features]``."""
    lower, upper = case.box.lower, case.box.upper
    corners = np.where(rng.random((count, *lower.shape)) < 0.5, lower, upper)
    inside = lower + rng.random((count, *lower.shape)) * (upper - lower)
    found = np.concatenate([corners, np.clip(inside, lower, upper)])
    climbed = climb(case, rng, count)
    found = np.concatenate([found, np.clip(climbed, lower, upper)])
    chosen = rng.permutation(len(found))[:count]
    return found[chosen].reshape(len(chosen), len(lower), -1)


def climb(case: Case, rng: np.random.Generator, count: int) -> np.ndarray:
    """Points that projected gradient steps lead to."""
    from tests.contracts.attained import _climb

    points = _climb(case.network, case.box_of(torch.float64)).detach().numpy()
    return points[rng.permutation(len(points))[:count]]


def smallest(network: Network, points: np.ndarray, rows: np.ndarray) -> list[fmpq]:
    """The least upper end of every row's balls."""
    found = row_values_at(network, points, rows)
    return [min(values[row][1] for values in found) for row in range(len(rows))]


def assert_no_proof_proves_too_much(family: str, examples: int) -> None:
    @given(cases(FAMILIES[family]), random_generators())
    @settings(max_examples=examples)
    def check(case: Case, rng: np.random.Generator) -> None:
        program, claims = program_of(case.network), claims_of(case, rng)
        proof = random_proof(rng, claims, program)
        values = best(claims, proof, evaluated(program, claims, proof))
        points = inputs_of(case, rng, POINTS[family])
        for problem in range(claims.problems):
            rows = claims.rows[problem if len(claims.rows) > 1 else 0]
            least = smallest(case.network, points[:, problem], rows)
            for row, value in enumerate(values[problem]):
                assert value < np.inf
                assert value == -np.inf or rational(value) <= least[row]

    check()


@pytest.mark.parametrize("family", FAMILIES)
def test_no_proof_proves_more_than_an_attained_value(family: str) -> None:
    assert_no_proof_proves_too_much(family, EXAMPLES[family])


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("family", FAMILIES)
def test_none_of_many_proofs_proves_more_than_an_attained_value(family: str) -> None:
    assert_no_proof_proves_too_much(family, 40 * EXAMPLES[family])
