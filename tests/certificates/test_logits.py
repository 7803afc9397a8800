"""Certificates of files whose end makes probabilities or a label: they are about the logits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from sensverify.certificates import (
    Certificate,
    Ending,
    StoredModel,
    certificate_bytes,
    check_certificate,
    read_about,
    read_certificate,
)
from sensverify.cli.main import main
from sensverify.core.box import Box
from sensverify.errors import BadCertificate, BadModelFile, CertificateRejected
from sensverify.formats.onnx.ends import exposing
from sensverify.formats.vnnlib.loading import parse_property
from sensverify.verification import certify
from tests.certificates.example import asked
from tests.certificates.mutations import packed, unpacked
from tests.formats.onnx.conftest import session
from tests.formats.onnx.test_heads import FILES, classifier

BOX = Box.around(np.random.default_rng(0).normal(size=(2, 4)), 0.1)
PLAIN = "a plain file"


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str], Path]:
    """The path of a file of a kind of end, or of one that ends in the logits themselves."""

    def save(name: str) -> Path:
        model = classifier("softmax" if name == PLAIN else name)
        if name == PLAIN:
            del model.graph.node[-1]
            model.graph.output[0].name = "z"
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, path)
        return path

    return save


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="sensverify")


def certified(path: Path, folder: Path, **more: Any) -> Certificate:
    file = folder / "some.cert"
    certify(path, BOX, **more).write(str(file))
    return read_certificate(file)


def forged(
    certificate: Certificate, folder: Path, change: Callable[[dict[str, Any]], None]
) -> Path:
    """A file with a changed header."""
    header, arrays = unpacked(certificate_bytes(certificate))
    change(header)
    path = folder / "forged.cert"
    path.write_bytes(packed(header, arrays))
    return path


def check(file: Path, model: Path) -> None:
    """Both ways in: a model that was read before the certificate, and after it."""
    stored = StoredModel.read_for(read_about(file)[0], model)
    check_certificate(read_certificate(file, model=stored), stored)


@pytest.mark.parametrize("name", FILES)
def test_claims_hold_of_what_onnxruntime_computes_before_the_end(
    name: str, saved: Callable[[str], Path], tmp_path: Path
) -> None:
    path = saved(name)
    found = certify(path, BOX, logits=True)
    found.write(tmp_path / "some.cert")
    certificate = read_certificate(tmp_path / "some.cert")
    ending = certificate.ending
    assert ending is not None
    assert ending == StoredModel.read(path, logits=True).ending
    assert not set(ending.operators) & {"MatMul"}
    for arithmetic in ("rigorous", "exact"):
        assert check_certificate(certificate, path, arithmetic=arithmetic).problems == 2
    if "/" in ending.value:
        return  # the scores of a linear classifier, which are no value of the file
    runtime = session(exposing(onnx.load(path), [ending.value]))
    share = np.random.default_rng(1).random((2, 50, 4))
    low, high = (each[:, None] for each in (BOX.lower, BOX.upper))
    points = (low + share * (high - low)).astype(np.float32)
    # The corners are as far as a linear function goes.
    corners = np.array(np.meshgrid(*[[0, 1]] * 4)).reshape(4, -1).T
    points = np.concatenate([points, np.where(corners[None], high, low).astype(np.float32)], axis=1)
    for box in range(2):
        (values,) = runtime.run([ending.value], {"x": points[box]})
        if ending.halves:
            values = np.concatenate([-values, values], axis=1) / 2
        outer = found.bounds.outer
        assert (values >= outer.lower[box].numpy() - 1e-5).all()
        assert (values <= outer.upper[box].numpy() + 1e-5).all()
        # Linear networks: the ends are attained.
        assert np.allclose(values.min(axis=0), outer.lower[box], atol=1e-4)
        assert np.allclose(values.max(axis=0), outer.upper[box], atol=1e-4)


def test_they_have_a_version_of_their_own(saved: Callable[[str], Path], tmp_path: Path) -> None:
    plain = certified(saved(PLAIN), tmp_path)
    logits = certified(saved("softmax"), tmp_path, logits=True)
    assert plain.ending is None
    assert certified(saved(PLAIN), tmp_path, logits=True).ending is None
    assert logits.ending == Ending("z", ("Softmax",))
    schemas = [unpacked(certificate_bytes(each))[0]["schema"][-2:] for each in (plain, logits)]
    assert schemas == ["/1", "/2"]
    assert certificate_bytes(replace(logits, ending=None)) != certificate_bytes(logits)
    # Who knows the first version alone refuses the second.
    refused, _ = asked(certificate_bytes(logits), saved("softmax").read_bytes(), tmp_path)
    assert refused == "not checked: another schema"


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "another value": lambda end: end.update(value="p"),
    "the input": lambda end: end.update(value="x"),
    "no value": lambda end: end.update(value=""),
    "another operator": lambda end: end.update(operators=["LogSoftmax"]),
    "more operators": lambda end: end.update(operators=["MatMul", "Softmax"]),
    "no operator": lambda end: end.update(operators=[]),
    "halves": lambda end: end.update(halves=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_end_than_the_file_has_is_rejected(
    change: Callable[[dict[str, Any]], None], saved: Callable[[str], Path], tmp_path: Path
) -> None:
    path = saved("softmax")
    certificate = certified(path, tmp_path, logits=True)
    file = forged(certificate, tmp_path, lambda header: change(header["model"]["ending"]))
    with pytest.raises(CertificateRejected, match="the certificate is about"):
        check(file, path)
    with pytest.raises(CertificateRejected, match="the certificate is about"):
        check_certificate(read_certificate(file), path)


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "a list": lambda model: model.update(ending=["z", ["Softmax"], False]),
    "nothing": lambda model: model.update(ending=None),
    "a field less": lambda model: model["ending"].pop("halves"),
    "a field more": lambda model: model["ending"].update(also=1),
    "a number": lambda model: model["ending"].update(value=1),
    "a word": lambda model: model["ending"].update(operators="Softmax"),
    "numbers": lambda model: model["ending"].update(operators=[1]),
    "no truth": lambda model: model["ending"].update(halves=1),
    "left out": lambda model: model.pop("ending"),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_an_end_that_is_not_described_as_one_is_refused(
    change: Callable[[dict[str, Any]], object], saved: Callable[[str], Path], tmp_path: Path
) -> None:
    path = saved("softmax")
    certificate = certified(path, tmp_path, logits=True)
    file = forged(certificate, tmp_path, lambda header: change(header["model"]))
    for read in (read_certificate, read_about):
        with pytest.raises(BadCertificate):
            read(file)


def test_a_claim_about_logits_is_none_about_probabilities(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    """The first version, with the same claims: they would be about the file's own output."""
    refused = {
        # Probabilities are a network of their own, of more nonlinear entries than the proof has.
        "softmax": ("0 entries of nonlinear functions; the model has 4, 3, 6", 2, "does not fit"),
        "label and map": ("about the file's own output", 1, "rejected"),
        "linear": ("about the file's own output", 1, "rejected"),
    }
    for name, (why, status, word) in refused.items():
        path = saved(name)
        certificate = certified(path, tmp_path, logits=True)
        about_output = replace(certificate, ending=None)
        with pytest.raises(CertificateRejected, match=why):
            check_certificate(about_output, path)
        file = tmp_path / "forged.cert"
        file.write_bytes(certificate_bytes(about_output))
        done = run("check", file, path)
        assert (done.exit_code, word in done.output) == (status, True)


def test_a_claim_about_an_output_is_none_about_logits(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    # Of this file both can be claimed: probabilities of two classes, and their logits.
    path = saved("two probabilities")
    own, logits = (certified(path, tmp_path, logits=each) for each in (False, True))
    assert (own.ending, own.outputs) == (None, logits.outputs)
    for certificate in (own, logits):
        check_certificate(certificate, path)
    # Logits of some units are no probabilities, and a margin of 1 between probabilities is none.
    with pytest.raises(CertificateRejected):
        check_certificate(replace(logits, ending=None), path)
    with pytest.raises(CertificateRejected):
        check_certificate(replace(own, ending=logits.ending), path)


def test_a_file_without_such_an_end_has_no_logits(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    path = saved(PLAIN)
    certificate = replace(certified(path, tmp_path), ending=Ending("z", ("Softmax",)))
    with pytest.raises(CertificateRejected, match="read up to the file's own output"):
        check_certificate(certificate, path)
    # About another file, that is said first.
    other = replace(certificate, model_sha256="ab" * 32)
    with pytest.raises(CertificateRejected, match="another model file"):
        check_certificate(other, path)


def test_false_claims_about_logits_are_rejected(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    path = saved("label and map")
    certificate = certified(path, tmp_path, logits=True)
    limits = certificate.claims.limits
    for place in np.ndindex(limits.shape):
        more = limits.copy()
        more[place] += 1e-4
        claims = replace(certificate.claims, limits=more)
        for arithmetic in ("rigorous", "exact"):
            with pytest.raises(CertificateRejected, match="claims that row"):
                check_certificate(replace(certificate, claims=claims), path, arithmetic=arithmetic)


def property_of(*constraints: str) -> Any:
    lines = [f"(declare-const X_{k} Real)" for k in range(4)]
    lines += [f"(declare-const Y_{k} Real)" for k in range(3)]
    for k in range(4):
        low, high = (float(end[0, k]) for end in (BOX.lower, BOX.upper))
        lines += [f"(assert (>= X_{k} {low!r}))", f"(assert (<= X_{k} {high!r}))"]
    return "\n".join([*lines, *(f"(assert {each})" for each in constraints)])


def test_properties_that_compare_outputs_are_certified(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    order = np.argsort(certified(saved(PLAIN), tmp_path).claims.limits[0, :3])
    least, most = int(order[0]), int(order[2])
    asked, file = tmp_path / "order.vnnlib", tmp_path / "order.cert"
    asked.write_text(property_of(f"(>= Y_{least} Y_{most})"))
    for name in ("softmax", "logarithm"):
        path = saved(name)
        done = run("verify", path, "--property", asked, "--certificate", file, "--force")
        assert (done.exit_code, done.stdout.split()[0]) == (0, "unsat"), done.output
        assert run("check", file, path, "--property", asked).exit_code == 0
        certificate = read_certificate(file)
        for text in (f"(>= Y_{least} 0.5)", f"(>= (+ Y_{least} Y_{most}) 0.0)"):
            with pytest.raises(CertificateRejected, match="asks more"):
                check_certificate(certificate, path, property=parse_property(property_of(text)))


def test_probabilities_that_are_no_softmax_are_in_no_order(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    path = saved("linear, one against the rest")
    certificate = certified(path, tmp_path, logits=True)
    with pytest.raises(CertificateRejected, match="not in their order"):
        check_certificate(certificate, path, property=parse_property(property_of("(>= Y_0 Y_1)")))


def test_commands(saved: Callable[[str], Path], tmp_path: Path) -> None:
    path, file, data = saved("label and map"), tmp_path / "some.cert", tmp_path / "x.npz"
    np.savez(data, x=BOX.center.astype(np.float32))
    done = run("verify", path, "--data", data, "--radius", 0.01, "--certificate", file)
    assert (done.exit_code, "CERTIFIED" in done.output) == (0, True), done.output
    done = run("check", file, path)
    assert done.exit_code == 0
    assert "the logits: the value 'z' before Softmax" in " ".join(done.output.split())
    about = json.loads(run("check", file, path, "--json", "-").stdout)["about"]
    assert about["ending"]["value"] == "z"
    assert about["ending"]["operators"][0] == "Softmax"


def test_a_batch_of_n_is_refused(tmp_path: Path) -> None:
    model = classifier("softmax")
    for item in (*model.graph.input, *model.graph.output):
        item.type.tensor_type.shape.dim[0].dim_value = 8
    onnx.save(model, tmp_path / "batch.onnx")
    with pytest.raises(BadModelFile, match="8 samples at once"):
        StoredModel.read(tmp_path / "batch.onnx", logits=True)
