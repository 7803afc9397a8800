"""Certificates about input sets: derived, checked, and refused once anything in them is changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.certificates import (
    Certificate,
    StoredModel,
    certificate_bytes,
    check_certificate,
    read_certificate,
)
from sensverify.certificates.check.arithmetic import Exact, Rigorous
from sensverify.certificates.check.coverage import covers
from sensverify.certificates.check.sets import InputSets
from sensverify.certificates.sets import sets_of
from sensverify.errors import BadCertificate, BadSetting, CertificateRejected
from tests.core.sets.examples import SETS, X

REFUSED = (BadCertificate, CertificateRejected)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 2))
    path = tmp_path_factory.mktemp("sets") / "net.onnx"
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(net, torch.zeros(1, 6), str(path), dynamo=False, **names)
    return path


@pytest.fixture(scope="module")
def model(file: Path) -> StoredModel:
    return StoredModel.read(file)


def read(data: bytes, folder: Path) -> Certificate:
    path = folder / "net.cert"
    path.write_bytes(data)
    return read_certificate(path)


@pytest.mark.parametrize("method", ["ibp", "crown", "alpha-crown(steps=3)"])
@pytest.mark.parametrize("name", SETS)
def test_bounds_over_sets_are_certified_in_both_arithmetics(
    name: str, method: str, file: Path, model: StoredModel, tmp_path: Path
) -> None:
    inside = SETS[name][:2]
    found = sv.certify(file, inside, method)
    certificate = read(found.data, tmp_path)
    for arithmetic in ("rigorous", "exact"):
        checked = check_certificate(certificate, model, arithmetic=arithmetic)
        assert checked.slack is not None
        assert checked.slack >= 0
        assert inside.kind in checked.summary
    network = sv.load(file)
    proposed = sv.compute_bounds(network, inside, sv.make_method(method))
    assert bool((found.bounds.outer.widths <= (1 + 1e-8) * proposed.outer.widths).all())
    values = sv.forward_pass(network, torch.from_numpy(inside.sample(200)).flatten(0, 1))
    values = values.reshape(200, 2, -1)
    assert bool((found.bounds.outer.lower <= values.amin(0) + 1e-12).all())
    assert bool((found.bounds.outer.upper >= values.amax(0) - 1e-12).all())


@pytest.mark.parametrize("name", SETS)
def test_rounded_least_values_are_never_above_exact_ones(name: str) -> None:
    inside = SETS[name]
    sets = sets_of(inside)
    assert sets is not None
    assert sets.problem(6, 4) is None
    random = np.random.default_rng(3)
    low, high = (np.asarray(end).reshape(4, 1, 6) for end in (inside.lower, inside.upper))
    for scale in (1.0, 1e-160, 1e150):
        rows = random.normal(size=(4, 3, 6)) * scale
        chosen = sets.chosen(rows, low, high)
        for multipliers in (chosen, chosen * 0, chosen * 1.7, chosen + 0.1):
            total, lost = sets.least_value(Rigorous(), rows, low, high, multipliers)
            exact = Exact()
            numbers = [exact.numbers(values) for values in (rows, low, high)]
            true, nothing = sets.least_value(exact, *numbers, multipliers)
            gap = exact.floats(true - exact.numbers(total), -1)
            assert (gap >= -np.asarray(lost)).all()
            assert (exact.floats(exact.numbers(np.zeros(1)) + nothing, 1) == 0).all()
            values = np.einsum("sbn,brn->sbr", inside.sample(50).reshape(50, 4, 6), rows)
            assert (total - lost <= values.min(axis=0) + 1e-9 * scale).all()


def sums(certificate: Certificate, **arrays: Any) -> Certificate:
    sets = dataclasses.replace(certificate.claims.sets, **arrays)
    return changed(certificate, sets=sets)


def changed(certificate: Certificate, **fields: Any) -> Certificate:
    claims = dataclasses.replace(certificate.claims, **fields)
    return dataclasses.replace(certificate, claims=claims)


def forged(certificate: Certificate, factor: float) -> np.ndarray:
    """The multipliers with the largest of every row times a factor."""
    values = certificate.claims.multipliers.copy()
    place = abs(values).argmax(axis=-1)[..., None]
    largest = np.take_along_axis(values, place, axis=-1)
    np.put_along_axis(values, place, factor * largest, axis=-1)
    return values


Change = Callable[[Certificate], Certificate]
CHANGES: dict[str, tuple[str, Change]] = {
    "larger ball": ("euclidean", lambda c: sums(c, reach=c.claims.sets.reach * 1.01)),
    "another norm": ("sum", lambda c: sums(c, order=c.claims.sets.order + 1)),
    "no norm": ("sum", lambda c: sums(c, order=c.claims.sets.order + 2)),
    "radius below 0": ("sum", lambda c: sums(c, reach=-c.claims.sets.reach)),
    "nan radius": ("sum", lambda c: sums(c, reach=c.claims.sets.reach * np.nan)),
    "moved point": ("euclidean", lambda c: sums(c, point=c.claims.sets.point + 0.01)),
    "more pixels": ("pixels", lambda c: sums(c, count=c.claims.sets.count + 1)),
    "too many pixels": ("pixels", lambda c: sums(c, count=c.claims.sets.count + 9)),
    "larger window": (
        "window",
        lambda c: sums(c, window=c.claims.sets.window + np.array([0, 1, 0, 0])),
    ),
    "another image": (
        "window",
        lambda c: sums(c, window=c.claims.sets.window + np.array([0, 0, 1, 0])),
    ),
    "wider limits": ("inequality", lambda c: sums(c, limits=c.claims.sets.limits + 0.01)),
    "another row": ("inequality", lambda c: sums(c, matrix=c.claims.sets.matrix * 0.9)),
    "equal": ("mixed", lambda c: sums(c, equal=c.claims.sets.equal * 0)),
    "two equal": ("mixed", lambda c: sums(c, equal=c.claims.sets.equal + 1)),
    "more brightness": ("varied", lambda c: sums(c, most=c.claims.sets.most * 1.01)),
    "crossed": ("varied", lambda c: sums(c, most=c.claims.sets.least - 1)),
    "another pattern": ("varied", lambda c: sums(c, patterns=c.claims.sets.patterns * 1.01)),
    "wider range": (
        "brightness in a range",
        lambda c: sums(c, cut=c.claims.sets.cut + np.array([-0.1, 0.1])),
    ),
    "no range": ("brightness in a range", lambda c: sums(c, cut=None)),
    "crossed range": (
        "brightness in a range",
        lambda c: sums(c, cut=c.claims.sets.cut[:, ::-1].copy()),
    ),
    "nan range": ("brightness in a range", lambda c: sums(c, cut=c.claims.sets.cut * np.nan)),
    "one end": ("brightness in a range", lambda c: sums(c, cut=c.claims.sets.cut[:, :1])),
    "brighter": ("brightness in a range", lambda c: sums(c, most=c.claims.sets.most * 1.1)),
    "darker": ("brightness in a range", lambda c: sums(c, least=c.claims.sets.least * 1.1)),
    "huge": ("brightness in a range", lambda c: sums(c, patterns=c.claims.sets.patterns * 1e308)),
    "no sets": ("euclidean", lambda c: changed(c, sets=None, multipliers=None)),
    "multipliers alone": ("euclidean", lambda c: changed(c, sets=None)),
    "no multipliers": ("euclidean", lambda c: changed(c, multipliers=None)),
    "other multipliers": ("euclidean", lambda c: changed(c, multipliers=c.claims.multipliers * 2)),
    "all zero": ("inequality", lambda c: changed(c, multipliers=c.claims.multipliers * 0)),
    "below 0": ("inequality", lambda c: changed(c, multipliers=-c.claims.multipliers - 0.1)),
    "nan": ("inequality", lambda c: changed(c, multipliers=c.claims.multipliers * np.nan)),
    "few": ("mixed", lambda c: changed(c, multipliers=c.claims.multipliers[..., :1])),
    "forged": ("five", lambda c: changed(c, multipliers=forged(c, 1.3))),
    "one below 0": ("five", lambda c: changed(c, multipliers=forged(c, -1.0))),
    "of another constraint": (
        "five",
        lambda c: changed(c, multipliers=np.roll(c.claims.multipliers, 1, axis=-1)),
    ),
    "constraints in another order": (
        "five",
        lambda c: sums(c, matrix=np.roll(c.claims.sets.matrix, 1, axis=1)),
    ),
    "one constraint less": (
        "five",
        lambda c: changed(
            sums(
                c,
                matrix=c.claims.sets.matrix[:, 1:],
                limits=c.claims.sets.limits[:, 1:],
                equal=c.claims.sets.equal[1:],
            ),
            multipliers=c.claims.multipliers[..., 1:],
        ),
    ),
    "one limit wider": (
        "five",
        lambda c: sums(c, limits=c.claims.sets.limits + 0.05 * (np.arange(6) == 0)),
    ),
    "other kind": ("euclidean", lambda c: sums(c, least=np.zeros((2, 1)))),
    "raised limit": ("pixels", lambda c: changed(c, limits=c.claims.limits + 1e-3)),
    "groups": ("pixels", lambda c: changed(c, groups=np.zeros(c.claims.limits.shape, np.int64))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_certificates_are_refused(
    name: str, file: Path, model: StoredModel, tmp_path: Path
) -> None:
    kind, change = CHANGES[name]
    certificate = read(sv.certify(file, SETS[kind][:2], "crown").data, tmp_path)
    check_certificate(certificate, model)
    with pytest.raises(REFUSED):
        check_certificate(change(certificate), model)
    with pytest.raises(REFUSED):
        check_certificate(read(certificate_bytes(change(certificate)), tmp_path), model)


def test_smaller_sets_need_no_other_proof(file: Path, model: StoredModel, tmp_path: Path) -> None:
    certificate = read(sv.certify(file, SETS["euclidean"][:2], "crown").data, tmp_path)
    smaller = sums(certificate, reach=certificate.claims.sets.reach * 0.9)
    assert check_certificate(smaller, model).slack > 0


def test_multipliers_of_several_constraints_are_the_best(tmp_path: Path) -> None:
    torch.manual_seed(2)
    linear = nn.Linear(6, 3)
    path = tmp_path / "linear.onnx"
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(linear, torch.zeros(1, 6), str(path), dynamo=False, **names)
    inside = SETS["five"]
    found = sv.certify(path, inside, "crown")
    best = sv.compute_bounds(sv.load(path), inside, sv.Crown(), dtype="float64")
    assert torch.allclose(found.bounds.outer.lower.double(), best.outer.lower, atol=1e-9)
    assert torch.allclose(found.bounds.outer.upper.double(), best.outer.upper, atol=1e-9)
    certificate = read(found.data, tmp_path)
    assert (abs(certificate.claims.multipliers) > 1e-6).sum(axis=-1).max() > 1
    for arithmetic in ("rigorous", "exact"):
        check_certificate(certificate, StoredModel.read(path), arithmetic=arithmetic)


def test_a_certificate_about_a_set_answers_no_property(file: Path, tmp_path: Path) -> None:
    certificate = read(sv.certify(file, SETS["pixels"][:1], "crown").data, tmp_path)
    asked: Any = None
    with pytest.raises(CertificateRejected, match="input sets"):
        covers(certificate, asked)


def test_arrays_of_no_kind_are_no_sets() -> None:
    assert InputSets(point=X).problem(6, 4) is not None
    assert InputSets(point=X, reach=np.ones(3), order=np.ones(4, int)).problem(6, 4) is not None


def test_methods_without_such_proofs_say_so(file: Path) -> None:
    for method in ("milp", "lp"):
        with pytest.raises(BadSetting, match="no proofs over input sets of the kind 'varied'"):
            sv.certify(file, SETS["varied"], method)
    with pytest.raises(BadSetting, match="no proofs over input sets of the kind 'patch'"):
        sv.certify(file, SETS["pixels"], "exact")
    with pytest.raises(BadSetting, match="no proofs over the parameters"):
        sv.certify(file, SETS["varied"], "branch-and-bound")


def test_verify_writes_them(file: Path, tmp_path: Path) -> None:
    report = sv.verify(file, X, radius=0.2, norm=2, rigorous=True)
    assert report.certification is not None
    checked = report.certification.checked
    assert checked.sets == "ball"
    assert checked.problems == 4
