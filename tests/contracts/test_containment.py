"""Soundness: whatever an input in the box gives lies inside the bounds, for every method."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from sensverify.bounds import compute_bounds
from tests.contracts.attained import TOLERANCE, attained, exact_range, largest_violation
from tests.contracts.methods import METHODS
from tests.contracts.networks import NETWORKS, Case, cases, mlps


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("family", NETWORKS)
def test_attained_values_are_contained(family: str, dtype: torch.dtype) -> None:
    @given(cases(NETWORKS[family]))
    @settings(max_examples=12)
    def check(case: Case) -> None:
        values, magnitude = attained(case.network, case.box_of(torch.float64))
        for method in METHODS:
            outer = compute_bounds(case.network, case.box_of(dtype), method).outer
            outside = largest_violation(outer, values) / magnitude
            assert bool((outside <= TOLERANCE[dtype]).all()), (method, outside)

    check()


@given(cases(mlps(relu_only=True, inputs=2, width=4)))
@settings(max_examples=12)
def test_the_exact_box_is_contained(case: Case) -> None:
    box = case.box_of(torch.float64)[:1]
    exact = exact_range(case.network, box)
    # The linear programs are solved to 1e-7.
    slack = 1e-6 * (1 + abs(exact.lower) + abs(exact.upper))
    for method in METHODS:
        outer = compute_bounds(case.network, box, method).outer
        assert (outer.lower.numpy() <= exact.lower + slack).all(), method
        assert (outer.upper.numpy() >= exact.upper - slack).all(), method
    values, _ = attained(case.network, box)
    # The oracle itself: it contains what is attained.
    assert (values.amin(0).numpy() >= exact.lower - slack).all()
    assert (values.amax(0).numpy() <= exact.upper + slack).all()
