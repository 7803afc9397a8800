"""A function's enclosure is all that the checker needs: a class, and a line of one table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sensverify.bounds import Crown, compute_bounds, forward_pass
from sensverify.certificates import StoredModel, certify_bounds, check_claims, float32_margin
from sensverify.certificates.check import functions
from sensverify.certificates.check.program import program_of
from sensverify.core.box import Box
from sensverify.errors import CertificateRejected
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, PiecewiseLinear, Relu


class Ramp(PiecewiseLinear):
    """``x / 4 + 1/2``, kept in [0, 1]."""

    kinks = (-2.0, 2.0)
    slopes = (0.0, 0.25, 0.0)

    def value(self, x: Any, xp: Any) -> Any:
        return xp.clip(x / 4 + 0.5, 0.0, 1.0)


class RampEnclosure(functions.Piecewise):
    kinks = (-2.0, 2.0)
    pieces = (0.0, 0.25)

    def apply(self, x: Any, numbers: Any) -> Any:
        return np.minimum(np.maximum(x / 4 + numbers(0.5)[()], 0), 1)

    def error(self, x: np.ndarray) -> np.ndarray:
        return np.full(x.shape, 2.0**-52)


def ramps(rng: np.random.Generator) -> Network:
    builder = NetworkBuilder((3,))
    node = builder.add(Affine(rng.normal(size=(5, 3)), rng.normal(size=5)), builder.input)
    node = builder.add(Ramp(), node)
    return builder.build(builder.add(Affine(rng.normal(size=(2, 5)), None), node))


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(functions.ENCLOSURES, Ramp, RampEnclosure)


@pytest.mark.parametrize("seed", range(3))
def test_one_more_is_proven_and_checked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = ramps(rng)
    centre, radius = rng.normal(size=(2, 3)), rng.uniform(0.1, 1.0, (2, 1))
    box = Box(centre - radius, centre + radius)
    rows = np.concatenate([np.eye(2), -np.eye(2)])[None]
    proof = compute_bounds(network, box, Crown(), proof=True).certificate
    model = StoredModel(network, program_of(network), "", {})
    found = certify_bounds(model, box.lower, box.upper, rows, proof)
    for arithmetic in ("rigorous", "exact"):
        check_claims(model.program, found.claims, found.proof, arithmetic=arithmetic)
    points = rng.uniform(box.lower, box.upper, (200, 2, 3))
    outputs = np.stack([forward_pass(network, torch.from_numpy(x)).numpy() for x in points])
    values = (rows @ outputs[..., None])[..., 0]
    least = values.min(axis=0)
    assert (found.lower <= least).all()
    assert (found.lower >= least - 3 * radius).all()
    margin = float32_margin(model.program, box.lower, box.upper, rows)
    assert ((margin > 0) & (margin < 1e-4)).all()


def test_a_wrong_enclosure_proves_what_it_says() -> None:
    """The table is what is asked: with another function in it, the same claims do not follow."""
    network = ramps(np.random.default_rng(0))
    box = Box(np.full((1, 3), -0.5), np.full((1, 3), 0.5))
    proof = compute_bounds(network, box, Crown(), proof=True).certificate
    model = StoredModel(network, program_of(network), "", {})
    found = certify_bounds(model, box.lower, box.upper, np.eye(2)[None], proof)
    functions.ENCLOSURES[Ramp] = functions.ENCLOSURES[Relu]
    with pytest.raises(CertificateRejected):
        check_claims(program_of(network), found.claims, found.proof)
