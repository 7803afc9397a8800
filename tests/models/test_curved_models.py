"""The shipped models of curves and products: bounds, proofs and answers of whole networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

from sensverify import models, verify
from sensverify.bounds import Crown, compute_bounds, forward_pass
from sensverify.certificates import check_claims
from sensverify.cli.main import main
from sensverify.core.box import Box
from sensverify.data import read_dataset
from sensverify.errors import CertificateRejected
from sensverify.formats.onnx import load_onnx
from tests.contracts.certified import certified_of, stored

RADII = {"digits-mixer": 2**-9, "power-flow": 0.01}
KINDS = {
    "digits-mixer": {"Gelu", "Square", "Sqrt", "Reciprocal", "Product"},
    "power-flow": {"Sin", "Cos", "Product", "Relu"},
}


def samples(name: str, count: int) -> torch.Tensor:
    path = models.resolve(name).sample_path
    assert path is not None
    return torch.from_numpy(np.asarray(read_dataset(path).x[:count])).double()


@pytest.mark.parametrize("name", RADII)
def test_values_are_those_of_onnxruntime(name: str) -> None:
    network, x = models.load(name), samples(name, 16).float()
    assert KINDS[name] <= {type(node.operator).__name__ for node in network.nodes}
    session = onnxruntime.InferenceSession(
        str(models.resolve(name).path), providers=["CPUExecutionProvider"]
    )
    (theirs,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(forward_pass(network, x).numpy(), theirs, atol=2e-5)


@pytest.mark.parametrize("name", RADII)
def test_bounds_hold_what_is_attained_and_are_certified(name: str) -> None:
    network = load_onnx(models.resolve(name).path, simplified=False)
    middle, bounds = samples(name, 1), []
    for radius in (RADII[name], RADII[name] / 4):
        box = Box(middle - radius, middle + radius)
        bounds.append(compute_bounds(network, box, Crown(), proof=True))
        generator = torch.Generator().manual_seed(0)
        share = torch.rand(200, *network.input_shape, generator=generator, dtype=torch.float64)
        share[::2] = share[::2].round()
        values = forward_pass(network, box.lower + share * (box.upper - box.lower))
        assert bool((values >= bounds[-1].outer.lower - 1e-9).all())
        assert bool((values <= bounds[-1].outer.upper + 1e-9).all())
    wide, narrow = (each.outer.upper - each.outer.lower for each in bounds)
    # Curves are nearly lines nearby: a quarter of the box, less than a quarter of the widths.
    assert bool((narrow < wide / 3.5).all())
    model = stored(network)
    wanted, found = certified_of(model, box, bounds[-1])
    assert (wanted - found.lower).max() <= 1e-9
    check_claims(model.program, found.claims, found.proof)
    beyond = replace(found.claims, limits=found.claims.limits + float(narrow.max()))
    with pytest.raises(CertificateRejected):
        check_claims(model.program, beyond, found.proof)


def test_questions_are_decided() -> None:
    report = verify("power-flow", radius=0.01, samples=(0, 8), method="branch-and-bound")
    kept = [sample.kept for sample in report.samples]
    # Every change is attained, by onnxruntime; of every other sample it is proven there is none.
    assert set(kept) == {True, False}
    mixer = verify("digits-mixer", radius=2**-9, samples=(0, 2), method="crown")
    assert [sample.kept for sample in mixer.samples] == [True, True]


def test_both_are_certified_from_their_files(tmp_path: Path) -> None:
    asked = "--samples 0:1 --radius 0.001 --method crown --certificate"
    for name in ("digits-mixer", "power-flow"):
        out = tmp_path / f"{name}.cert"
        done = CliRunner().invoke(main, ["verify", name, *asked.split(), str(out)])
        assert done.exit_code == 0, done.stderr
        assert CliRunner().invoke(main, ["check", str(out), name]).exit_code == 0
