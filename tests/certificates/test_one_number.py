"""Certificates of functions of one number: checked, contained, and refused once changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sensverify.bounds import Crown, compute_bounds, forward_pass
from sensverify.certificates import check_claims, float32_margin
from sensverify.core.box import Box
from sensverify.errors import CertificateRejected
from sensverify.network.operators import Smooth, Steps
from tests.certificates.exact_values import row_values_at
from tests.contracts.certified import certified_of, stored
from tests.contracts.operators import FORMS, PLACES

NAMES = [name for name, form in FORMS.items() if issubclass(form.operator, Smooth | Steps)]


@pytest.mark.parametrize("name", NAMES)
def test_certificates_hold_and_changed_ones_are_refused(name: str) -> None:
    rng = np.random.default_rng(3)
    network = PLACES["inside"](FORMS[name], rng)
    centre = rng.normal(size=(1, 2))
    box = Box(torch.from_numpy(centre - 0.3), torch.from_numpy(centre + 0.3))
    bounds = compute_bounds(network, box, Crown(), proof=True)
    model = stored(network)
    _, found = certified_of(model, box, bounds)
    points = rng.uniform(centre - 0.3, centre + 0.3, (5, 2))
    values = row_values_at(network, points, found.claims.rows[0])
    for row, limit in enumerate(found.lower[0]):
        assert all(float(value[row][1]) >= limit for value in values)
    for arithmetic in ("rigorous", "exact"):
        check_claims(model.program, found.claims, found.proof, arithmetic=arithmetic)
    for row in range(found.lower.shape[1]):
        limits = found.claims.limits.copy()
        # Above what is attained, or above what the proof comes to.
        limits[0, row] += 1e-3 * (1 + abs(limits[0, row]))
        with pytest.raises(CertificateRejected):
            check_claims(model.program, replace(found.claims, limits=limits), found.proof)


@pytest.mark.parametrize("name", [n for n in NAMES if issubclass(FORMS[n].operator, Smooth)])
def test_float32_evaluations_are_within_their_margin(name: str) -> None:
    rng = np.random.default_rng(4)
    network = PLACES["inside"](FORMS[name], rng)
    centre = rng.normal(size=(1, 2))
    lower, upper = centre - 0.1, centre + 0.1
    rows = np.ones((1, 1, 1))
    margin = float32_margin(stored(network).program, lower, upper, rows)
    assert 0 < margin[0, 0] < 0.1
    points = torch.from_numpy(rng.uniform(lower, upper, (200, 2)).astype(np.float32))
    single = forward_pass(network, points).double()
    double = forward_pass(network, points.double())
    assert float((single - double).abs().max()) <= margin[0, 0]
