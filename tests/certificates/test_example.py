"""The short checker of the examples beside ours: it accepts and refuses what it should."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from sensverify.bounds import compute_bounds
from sensverify.bounds.method import make_method
from sensverify.certificates import (
    Certificate,
    StoredModel,
    certificate_bytes,
    certify_bounds,
    check_certificate,
)
from sensverify.cli.main import main
from sensverify.core.box import Box
from sensverify.core.proof import RULE
from sensverify.errors import CertificateRejected
from sensverify.models import resolve
from tests.certificates.example import EXAMPLE, asked

METHODS = ("lp-dual", "crown", "alpha-crown")


@cache
def certificate_of(method: str) -> Certificate:
    """Of two boxes for the network that is shipped for iris."""
    stored = StoredModel.read(resolve("iris").path)
    torch.manual_seed(0)
    centre = torch.rand(2, 4, dtype=torch.float64)
    box = Box(centre - 0.05, centre + 0.05)
    with torch.no_grad():
        bounds = compute_bounds(stored.network, box, make_method(method), proof=True)
    assert bounds.certificate is not None
    lower, upper = (end.numpy() for end in (box.lower, box.upper))
    rows = np.concatenate([np.eye(3), -np.eye(3)])[None]
    certified = certify_bounds(stored, lower, upper, rows, bounds.certificate)
    return certified.certificate(stored, {"method": method})


def checked(certificate: Certificate, model: Path, folder: Path) -> tuple[str | None, str]:
    """Why the example refuses, or None; and what it prints."""
    return asked(certificate_bytes(certificate), model.read_bytes(), folder)


def refused(certificate: Certificate, folder: Path, why: str, model: str = "iris") -> None:
    """By the example, and by ours."""
    path = Path(resolve(model).path)
    assert why in str(checked(certificate, path, folder)[0])
    for arithmetic in ("rigorous", "exact"):
        with pytest.raises(CertificateRejected):
            check_certificate(certificate, path, arithmetic=arithmetic)


@pytest.mark.parametrize("method", METHODS)
def test_what_methods_find_is_accepted(method: str, tmp_path: Path) -> None:
    path = Path(resolve("iris").path)
    found = checked(certificate_of(method), path, tmp_path)
    assert found == (None, "12 bounds on 2 boxes hold\n")
    check_certificate(certificate_of(method), path, arithmetic="exact")


@pytest.mark.parametrize(("method", "step"), [*zip(METHODS, (1e-6, 1.0, 1e-6), strict=True)])
def test_a_raised_limit_is_refused(method: str, step: float, tmp_path: Path) -> None:
    certificate = certificate_of(method)
    limits = certificate.claims.limits.copy()
    limits[1, 4] += step
    claims = replace(certificate.claims, limits=limits)
    refused(replace(certificate, claims=claims), tmp_path, "claims that do not follow: [[1, 4]]")


@pytest.mark.parametrize("radius", [1e-3, 1.0])
def test_a_wider_box_is_refused(radius: float, tmp_path: Path) -> None:
    """Its hidden bounds, and those of the output, are then others."""
    certificate = certificate_of("crown")
    lower = certificate.claims.lower.copy()
    lower[1] -= radius
    claims = replace(certificate.claims, lower=lower)
    refused(replace(certificate, claims=claims), tmp_path, "of hidden set 1 does not follow")


def test_narrower_hidden_bounds_are_refused(tmp_path: Path) -> None:
    certificate = certificate_of("crown")
    hidden = certificate.proof.hidden
    lower = hidden.lower.copy()
    lower[1, 3] += 0.1 * (hidden.upper - lower)[1, 3]
    proof = replace(certificate.proof, hidden=replace(hidden, lower=lower))
    refused(replace(certificate, proof=proof), tmp_path, "bound 3 of hidden set 1 does not follow")


def test_hidden_bounds_of_another_box_are_refused(tmp_path: Path) -> None:
    certificate = certificate_of("crown")
    cells = certificate.proof.cells
    changed = replace(cells, hidden=cells.hidden[::-1].copy())
    proof = replace(certificate.proof, cells=changed)
    refused(replace(certificate, proof=proof), tmp_path, "hidden bounds of another problem")


def test_another_model_is_refused(tmp_path: Path) -> None:
    refused(certificate_of("crown"), tmp_path, "another model", model="digits")


def test_the_digest_of_another_model_does_not_help(tmp_path: Path) -> None:
    """A certificate that names the model, whose weights are not those it was made for."""
    data = bytearray(Path(resolve("iris").path).read_bytes())
    stored = StoredModel.read(resolve("iris").path)
    weight = np.asarray(stored.network.nodes[1].operator.weight, "<f4").tobytes()
    place = bytes(data).find(weight)
    assert place >= 0
    first = np.frombuffer(weight, "<f4").copy()
    data[place : place + len(weight)] = (first * np.float32(1.01)).tobytes()
    path = tmp_path / "other.onnx"
    path.write_bytes(data)
    certificate = replace(certificate_of("crown"), model_sha256=StoredModel.read(path).sha256)
    assert "does not follow" in str(checked(certificate, path, tmp_path)[0])
    with pytest.raises(CertificateRejected):
        check_certificate(certificate, path)


def test_slopes_by_rule_are_not_for_the_example(tmp_path: Path) -> None:
    certificate = certificate_of("crown")
    cells = certificate.proof.cells
    proof = replace(certificate.proof, cells=replace(cells, lines=np.full(len(cells), RULE)))
    why, _ = checked(replace(certificate, proof=proof), Path(resolve("iris").path), tmp_path)
    assert "slopes by rule" in str(why)


def test_the_commands_of_its_docstring(tmp_path: Path) -> None:
    """Some hidden bounds of these samples come from interval arithmetic."""
    file, model = tmp_path / "iris.cert", str(resolve("iris").path)
    verify = ["verify", "iris", "--samples", "0:5", "--certificate", str(file)]
    assert CliRunner().invoke(main, verify).exit_code == 0
    command = [sys.executable, str(EXAMPLE), str(file), model]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "50 bounds on 5 boxes hold\n"
    command[-1] = str(resolve("digits").path)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "another model" in done.stderr
