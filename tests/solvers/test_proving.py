"""What solvers have found is proven again by branch and bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sensverify.bounds import compute_bounds
from sensverify.bounds.method import ProvingMethod
from sensverify.core.proof import Proof
from sensverify.core.results import Bounds
from sensverify.network import Network
from sensverify.network.operators import Abs
from sensverify.solvers.bisection import Bisection
from sensverify.solvers.exact import Exact
from sensverify.solvers.milp import Milp
from sensverify.solvers.proving import SLACK
from tests.solvers.branch_and_bound.cases import random_chain, unit_box
from tests.solvers.branch_and_bound.evaluator import Evaluator, assert_covers

METHODS = [Milp(), Bisection(oracle=Milp(), gap=1e-2), Exact(), Milp(gap=1e-3, seconds=20.0)]


def proven(network: Network, method: Any, features: int) -> tuple[Bounds, np.ndarray, np.ndarray]:
    """Bounds; the ends that they claim as minima, and those that follow from their proof."""
    box = unit_box(features, 0.5, batch=2)
    found = compute_bounds(network, box, method, proof=True)
    assert isinstance(found.certificate, Proof)
    assert_covers(found.certificate, box)
    one = np.eye(network.output_shape[0])[None]
    evaluator = Evaluator(network, box, np.concatenate([one, -one], axis=1))
    ends = torch.cat([found.outer.lower, -found.outer.upper], dim=1).double().numpy()
    return found, ends, evaluator.proven(found.certificate)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_the_proof_reaches_what_was_found(method: Any) -> None:
    assert isinstance(method, ProvingMethod)
    found, ends, reached = proven(random_chain(1, 13, 3, 3, 2), method, 13)
    assert bool(found.optimal.all())
    slack = 2 * max(SLACK, method.gap) * np.abs(ends).max()
    assert (reached >= ends - slack).all()
    assert (reached <= ends + slack).all()


def test_the_guarantee_stays_that_of_the_bounds() -> None:
    network = random_chain(1, 13, 3, 3, 2)
    for method in (Milp(), Exact()):
        plain = compute_bounds(network, unit_box(13, 0.5), method)
        assert plain.certificate is None
        proof = compute_bounds(network, unit_box(13, 0.5), method, proof=True)
        assert proof.guarantee is plain.guarantee


def test_what_only_a_program_ends_is_proven_as_far_as_time_goes() -> None:
    """Many features and kinks other than ReLUs: branch and bound has no good split for them."""
    network = random_chain(2, 14, 6, 2, activation=Abs())
    found, _, reached = proven(network, Exact(seconds=0.3), 14)
    assert np.isfinite(reached).all()
    # Which of the two ends is farther depends on who had the time; none is beyond what is attained.
    assert found.inner is not None
    attained = torch.cat([found.inner.lower, -found.inner.upper], dim=1).double().numpy()
    assert (reached <= attained + 1e-6 * np.abs(attained).max()).all()


def test_without_time_something_is_proven_and_nothing_false() -> None:
    network, box = random_chain(2, 14, 8, 8, 2), unit_box(14, 0.5, batch=2)
    crown = compute_bounds(network, box, Milp(seconds=0.0))
    _, _, reached = proven(network, Milp(seconds=0.0), 14)
    assert np.isfinite(reached).all()
    assert crown.inner is not None
    attained = torch.cat([crown.inner.lower, -crown.inner.upper], dim=1).double().numpy()
    assert (reached <= attained + 1e-6 * np.abs(attained).max()).all()
    assert not bool(crown.optimal.any())
