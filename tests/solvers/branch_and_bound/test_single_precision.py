"""Steps in float32 change what is tried, not what is proven."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.bounds import forward_pass
from sensverify.certificates import StoredModel, check_certificate, read_certificate
from sensverify.formats.modules import from_module
from sensverify.network import Network
from sensverify.solvers.branch_and_bound import BranchAndBound, single_precision
from tests.core.sets.examples import SETS

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
METHOD = "branch-and-bound(split=neurons, seconds=1)"
BOX = sv.Box.around(np.full((1, 6), 0.2), 0.5)


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_precision, "LARGE", 0)


def module(activation: str) -> nn.Module:
    torch.manual_seed(5)
    kind = ACTIVATIONS[activation]
    net = nn.Sequential(nn.Linear(6, 6), kind(), nn.Linear(6, 5), kind(), nn.Linear(5, 2))
    return net.requires_grad_(False)


def network(activation: str) -> Network:
    return from_module(module(activation).double(), (6,))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_ranges_hold_every_output(activation: str) -> None:
    net = network(activation)
    found = sv.compute_bounds(net, BOX, sv.make_method(METHOD))
    random = np.random.default_rng(0).random((4000, 1, 6))
    points = torch.from_numpy(BOX.lower + random * (BOX.upper - BOX.lower))
    values = forward_pass(net, points.flatten(0, 1)).reshape(4000, 1, 2)
    assert bool((found.outer.lower <= values.amin(0) + 1e-12).all())
    assert bool((found.outer.upper >= values.amax(0) - 1e-12).all())
    crown = sv.compute_bounds(net, BOX, sv.Crown())
    assert bool((found.outer.widths <= crown.outer.widths * (1 + 1e-9)).all())
    # The bounds of a root are those of the slopes that were found, in float64.
    assert found.outer.lower.dtype == torch.float64


def test_ranges_are_exact_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("relu")
    single = sv.compute_bounds(net, BOX, BranchAndBound(split="neurons"))
    assert bool(single.optimal.all())
    ball = sv.compute_bounds(net, SETS["euclidean"][:1], BranchAndBound())
    assert bool(ball.optimal.all())
    monkeypatch.setattr(single_precision, "LARGE", 1 << 60)
    double = sv.compute_bounds(net, BOX, BranchAndBound(split="neurons"))
    torch.testing.assert_close(single.outer.lower, double.outer.lower, rtol=3e-6, atol=3e-6)
    torch.testing.assert_close(single.outer.upper, double.outer.upper, rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_proofs_are_certified(activation: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(module(activation), torch.zeros(1, 6), str(path), dynamo=False, **names)
    found = sv.certify(path, BOX, METHOD)
    (tmp_path / "net.cert").write_bytes(found.data)
    certificate = read_certificate(tmp_path / "net.cert")
    assert bool((certificate.proof.cells.split >= 0).any())
    checked = check_certificate(certificate, StoredModel.read(path))
    assert checked.slack is not None
    assert checked.slack >= 0
    crown = sv.certify(path, BOX, "crown")
    assert bool((found.bounds.outer.widths <= crown.bounds.outer.widths * (1 + 1e-9)).all())


def test_networks_with_jumps_and_small_ones_stay_in_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Jumps(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sign(x)

    cpu = torch.device("cpu")
    jumps = from_module(nn.Sequential(nn.Linear(6, 8), Jumps(), nn.Linear(8, 2)), (6,))
    assert single_precision.in_single(jumps, cpu) is None
    assert single_precision.in_single(network("relu"), cpu) is not None
    monkeypatch.setattr(single_precision, "LARGE", 1000)
    assert single_precision.in_single(network("relu"), cpu) is None
