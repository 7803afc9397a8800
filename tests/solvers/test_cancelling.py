"""Queries about networks whose products cancel: nothing is refuted that exact arithmetic meets."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from sensverify.bounds import compute_bounds, make_decider
from sensverify.core.box import Box
from sensverify.core.queries import Query, Verdict
from sensverify.runs.watch import Watch
from sensverify.solvers.bisection import Bisection
from tests.contracts.cancelling import Cancelling, cancelling, rounded_up

DECIDERS = ("branch-and-bound", "highs", "marabou")


def query(case: Cancelling, row: list[float], limit: float) -> Query:
    box = Box(*(end[None].astype(np.float64) for end in (case.lower, case.upper)))
    return Query(box, np.array([row]), np.array([limit]), ((0,),))


def refuse(point: np.ndarray) -> bool:
    """Nothing is believed: whoever cannot tell has to say so."""
    return False


def least(case: Cancelling, row: list[float]) -> Fraction:
    """The smallest value of a row at the known points of the box."""
    values = (case.exact(point) for point in case.points)
    return min(Fraction(row[0]) * a + Fraction(row[1]) * b for a, b in values)


@pytest.mark.parametrize("name", DECIDERS)
@pytest.mark.parametrize("row", [[1.0, 0.0], [1.0, -1.0]])
def test_what_an_input_attains_is_never_refuted(name: str, row: list[float]) -> None:
    for seed in range(8):
        case = cancelling(seed)
        limit = rounded_up(least(case, row))
        decider = make_decider(name)
        given = decider.decide(
            case.network, query(case, row, limit), watch=Watch(0.2), accept=refuse
        )
        assert given.verdict is not Verdict.UNSAT, seed


def products(seed: int) -> Cancelling:
    """``y = d c b a x - c d a b x``, zero for every x, with factors up to 1e4."""
    a, b, c, d = (10 ** np.random.default_rng(seed).uniform(2, 4, 4)).astype(np.float32)
    weights = [[[a], [b]], [[b, 0], [0, a]], [[c, 0], [0, d]], [[d, -c], [0, 0]]]
    layers = [(np.array(w, np.float32), np.zeros(2, np.float32)) for w in weights]
    one = np.ones(1, np.float32)
    return Cancelling(layers, one, one, one[None])


@pytest.mark.parametrize("name", DECIDERS)
def test_products_that_are_equal_refute_nothing(name: str) -> None:
    for seed in range(6):
        case = products(seed)
        decider = make_decider(name)
        assert least(case, [1.0, 0.0]) == 0
        for limit in (0.0, 1e-300, 2.0**-20):
            given = decider.decide(case.network, query(case, [1.0, 0.0], limit), accept=refuse)
            assert given.verdict is not Verdict.UNSAT, (seed, limit)
        # What is far beyond rounding is refuted all the same.
        for limit in (-1e6, -1e3):
            given = decider.decide(case.network, query(case, [1.0, 0.0], limit), accept=refuse)
            assert given.verdict is Verdict.UNSAT, (seed, limit)


@pytest.mark.parametrize("name", DECIDERS)
def test_a_constant_output_is_not_decided_on_its_last_bit(name: str) -> None:
    seen = set()
    for seed in range(8):
        factors = np.random.default_rng(seed).uniform(1, 2, 4).astype(np.float32)
        layers = [(np.array([[f]], np.float32), np.zeros(1, np.float32)) for f in factors[:3]]
        layers.append((np.array([[factors[3]], [0]], np.float32), np.zeros(2, np.float32)))
        one = np.ones(1, np.float32)
        case = Cancelling(layers, one, one, one[None])
        value = least(case, [1.0, 0.0])
        decider = make_decider(name)
        for limit in (rounded_up(value), np.nextafter(rounded_up(value), 9.0)):
            given = decider.decide(
                case.network, query(case, [1.0, 0.0], float(limit)), accept=refuse
            )
            assert given.verdict is not Verdict.UNSAT, seed
        below = float(value) - 1e-5
        given = decider.decide(case.network, query(case, [1.0, 0.0], below), accept=refuse)
        seen.add(given.verdict)
    # Where the limit is further off, there is an answer.
    assert Verdict.UNSAT in seen


def test_bisection_proves_no_more_than_is_true() -> None:
    for seed in range(6):
        case = cancelling(seed)
        box = Box(*(torch.from_numpy(end)[None].double() for end in (case.lower, case.upper)))
        rows = torch.tensor([[1.0, 0.0], [1.0, -1.0]], dtype=torch.float64)
        found = compute_bounds(case.network, box, Bisection(seconds=0.5), rows)
        size = float(found.outer.lower.abs().maximum(found.outer.upper.abs()).amax())
        for k, row in enumerate(rows.tolist()):
            low = Fraction(float(found.outer.lower[0, k]))
            assert low <= least(case, row) + Fraction(1e-9 * (1e-6 + size))
