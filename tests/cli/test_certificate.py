"""Certificates: `verify --certificate` and `--rigorous`, and `sensverify check`."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from sensverify.certificates import check_certificate, read_certificate
from sensverify.models import resolve

Run = Callable[..., Result]
Save = Callable[..., Path]
SAMPLING = ("--method", "sampling")


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a certificate whose arrays and header somebody has changed."""
    with zipfile.ZipFile(path) as archive:
        header = json.loads(archive.read("header.json"))
        arrays = {
            name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)))
            for name in archive.namelist()
            if name != "header.json"
        }
    arrays["header"] = header
    change(arrays)
    other = path.with_name("changed.cert")
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("header.json", json.dumps(arrays.pop("header")))
        for name, values in arrays.items():
            stream = io.BytesIO()
            np.save(stream, values)
            archive.writestr(f"{name}.npy", stream.getvalue())
    return other


@pytest.fixture
def wiggly(tmp_path: Path, save_mlp: Save) -> Path:
    """A model of two inputs and outputs, with ReLUs."""
    rng = np.random.default_rng(1)
    sizes = ((8, 2), (8, 8), (2, 8))
    layers = [(rng.normal(size=size), rng.normal(size=size[0])) for size in sizes]
    return save_mlp(tmp_path / "wiggly.onnx", *layers)


@pytest.fixture
def bounds(run: Run, tmp_path: Path) -> Path:
    """A certificate about two samples of Iris."""
    path = tmp_path / "iris.cert"
    done = run("verify", "iris", "--samples", "0:2", "--certificate", path)
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Path]:
    """Writes a property over inputs in [0, 1] x [-1, 1], or in the boxes given."""

    def write(asserted: str, *, box: str = "(and (<= 0 X_0 1) (<= -1 X_1 1))") -> Path:
        names = ("X_0", "X_1", "Y_0", "Y_1")
        declared = "".join(f"(declare-const {name} Real)\n" for name in names)
        path = tmp_path / f"p{len(list(tmp_path.glob('*.vnnlib')))}.vnnlib"
        path.write_text(f"{declared}(assert {box})\n(assert {asserted})\n")
        return path

    return write


Ask = Callable[..., Path]


def test_bounds_are_re_derived_written_and_checked(run: Run, tmp_path: Path) -> None:
    path, page = tmp_path / "iris.cert", tmp_path / "iris.html"
    options = ("--samples", "0:5", "--certificate", path, "--report", page, "--json", "-")
    done = run("verify", "iris", *options)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["guarantee"] == "CERTIFIED"
    assert found["certificate"] == {
        "path": str(path),
        "sha256": sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "arithmetic": "rigorous",
        "check_seconds": found["certificate"]["check_seconds"],
    }
    assert found["certificate"]["check_seconds"] > 0
    certificate = read_certificate(path)
    assert certificate.provenance["method"] == "crown"
    assert certificate.provenance["samples"] == [0, 1, 2, 3, 4]
    # The claims are the outputs and the label's margins over both others, then all negated.
    limits = certificate.claims.limits
    assert limits.shape == (5, 10)
    for sample, own in zip(found["samples"], limits, strict=True):
        assert sample["outer"]["lower"] == own[:3].tolist()
        assert sample["outer"]["upper"] == (-own[5:8]).tolist()
        assert sample["label_kept"] == ("certified" if (own[3:5] > 0).all() else "undecided")
        assert [each for each in sample["margins"] if each is not None] == own[3:5].tolist()
        proposed = sample["proposed"]
        assert proposed["lower"] == pytest.approx(sample["outer"]["lower"], abs=1e-4)
        assert proposed["lower"] != sample["outer"]["lower"]
        assert len(sample["float32_margin"]) == 3
        assert all(0 < margin < 1e-2 for margin in sample["float32_margin"])
    text = " ".join(done.stderr.split())
    assert "CERTIFIED. Proven and checked" in text
    assert "Evaluating it in float32 can add up to" in text
    assert "real-valued function of the file's stored weights" in text
    assert f"({path.stat().st_size:,} bytes), checked in" in text
    assert "Certificate" in page.read_text()
    assert "CERTIFIED" in page.read_text()


def test_certified_bounds_contain_what_onnxruntime_computes(run: Run, tmp_path: Path) -> None:
    import onnxruntime

    done = run("verify", "iris", "--samples", "0:3", "--rigorous", "--json", "-")
    found = json.loads(done.stdout)
    assert found["certificate"]["path"] is None
    assert not list(tmp_path.iterdir())
    model = resolve("iris")
    assert model.sample_path is not None
    session = onnxruntime.InferenceSession(str(model.path))
    with np.load(model.sample_path) as data:
        spread = found["input"]["sigma"] * data["feature_range"]
        points = data["x"][:3]
    rng = np.random.default_rng(0)
    for point, sample in zip(points, found["samples"], strict=True):
        x = point + rng.uniform(-0.999, 0.999, size=(500, 4)) * spread
        (y,) = session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})
        margin = np.array(sample["float32_margin"])
        assert (y >= np.array(sample["outer"]["lower"]) - margin).all()
        assert (y <= np.array(sample["outer"]["upper"]) + margin).all()


def test_without_the_options_nothing_is_added(run: Run) -> None:
    found = json.loads(run("verify", "iris", "--samples", "0:1", "--json", "-").stdout)
    assert found["guarantee"] == "SOUND"
    assert found["certificate"] is None
    (sample,) = found["samples"]
    assert (sample["proposed"], sample["float32_margin"]) == (None, None)


def test_the_box_is_the_one_asked_about(run: Run, identity: Path, tmp_path: Path) -> None:
    """float32 has no 0.1: the method bounds a wider box, the certificate the one of the file."""
    box, path = tmp_path / "box.npz", tmp_path / "a.cert"
    np.savez(box, lower=np.array([[-0.1, 0.1]]), upper=np.array([[0.1, 0.1]]))
    done = run("verify", identity, "--box", box, "--certificate", path, "--json", "-")
    sample = json.loads(done.stdout)["samples"][0]
    claims = read_certificate(path).claims
    assert claims.lower.tolist() == [[-0.1, 0.1]]
    assert claims.upper.tolist() == [[0.1, 0.1]]
    # What float32 has instead of 0.1 is larger.
    assert sample["proposed"]["upper"][0] >= float(np.float32(0.1)) > 0.1
    low, high = sample["outer"]["lower"], sample["outer"]["upper"]
    assert low == pytest.approx([-0.1, 0.1], rel=1e-12)
    assert high == pytest.approx([0.1, 0.1], rel=1e-12)
    assert Fraction(low[0]) <= Fraction(-0.1)
    assert Fraction(high[0]) >= Fraction(0.1)


def test_labels_are_kept_by_margins_above_zero(run: Run, save_mlp: Save, tmp_path: Path) -> None:
    """A margin that float32 cannot tell from rounding is one all the same: float64 tells it."""
    weight = np.array([[1.0], [1.0]])
    model = save_mlp(tmp_path / "m.onnx", (weight, np.array([2.0**-20, 0.0])))
    np.savez(tmp_path / "d.npz", x=np.zeros((1, 1), np.float32), y=np.array([0]))
    question = ("verify", model, "--data", tmp_path / "d.npz", "--radius", 1, "--json", "-")
    assert json.loads(run(*question).stdout)["samples"][0]["label_kept"] == "certified"
    sample = json.loads(run(*question, "--rigorous").stdout)["samples"][0]
    assert sample["label_kept"] == "certified"


def test_exact_boxes_stay_exact(run: Run) -> None:
    options = ("--samples", "0:1", "--method", "branch-and-bound", "--rigorous", "--json", "-")
    found = json.loads(run("verify", "iris", *options).stdout)
    sample = found["samples"][0]
    assert sample["status"] == "OPTIMAL"
    for inner, outer, sign in (("lower", "lower", 1), ("upper", "upper", -1)):
        ends = zip(sample["inner"][inner], sample["outer"][outer], strict=True)
        assert all(sign * (attained - proven) >= 0 for attained, proven in ends)


def test_check(run: Run, bounds: Path) -> None:
    for arithmetic in ("rigorous", "exact"):
        done = run("check", bounds, "iris", "--arithmetic", arithmetic)
        assert done.exit_code == 0, done.output
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        assert lines[0].startswith("certificate")
        assert "2 boxes of 4 inputs, 20 lower bounds" in done.stdout
        assert "<= y0 - y1 <=" in done.stdout
        assert "found by crown" in done.stdout
        assert f"{arithmetic} arithmetic" in done.stdout
        assert lines[-1].startswith("CERTIFIED: every claim holds")


def test_check_as_json(run: Run, bounds: Path) -> None:
    done = run("check", bounds, "iris", "--json", "-")
    found = json.loads(done.stdout)
    assert found["schema"] == "sensverify.check/2"
    assert (found["holds"], found["reason"], found["guarantee"]) == (True, None, "CERTIFIED")
    assert (found["claim"], found["claims"], found["leaves"]) == ("bounds", 20, 2)
    certificate = read_certificate(bounds)
    assert [box["lower"] for box in found["boxes"]] == certificate.claims.lower.tolist()
    assert [box["limits"] for box in found["boxes"]] == certificate.claims.limits.tolist()
    assert found["slack"] >= 0
    assert "CERTIFIED" in done.stderr
    target = bounds.with_name("check.json")
    assert run("check", bounds, "iris", "--json", target).exit_code == 0
    assert json.loads(target.read_text())["holds"] is True
    again = run("check", bounds, "iris", "--json", target)
    assert (again.exit_code, "not overwritten" in again.stderr) == (2, True)
    over = run("check", bounds, "iris", "--json", bounds, "--force")
    assert (over.exit_code, "is what this run reads" in over.stderr) == (2, True)


def test_check_imports_no_solver(bounds: Path) -> None:
    """What checks has nothing in common with what found the proof."""
    code = (
        "import sys\nfrom sensverify.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n"
        "    print(end.code, *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "check", bounds, "iris"],
        check=True,
        capture_output=True,
        text=True,
    )
    status, *loaded = done.stdout.splitlines()[-1].split()
    assert status == "0", done.stderr
    assert "sensverify.certificates.check.run" in loaded
    unwanted = ("torch", "highspy", "scipy", "cvxpy", "sensverify.bounds", "sensverify.solvers")
    assert not [name for name in unwanted if name in loaded]
    assert "sensverify.verification" not in loaded


def test_a_claim_that_does_not_follow_is_rejected(run: Run, bounds: Path) -> None:
    def raise_limit(arrays: dict[str, Any]) -> None:
        limits = arrays["claims.limits"].copy()
        limits[1, 2] += 1e-3
        arrays["claims.limits"] = limits

    changed = rewritten(bounds, raise_limit)
    target = changed.with_name("check.json")
    done = run("check", changed, "iris", "--json", target)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("rejected: ")
    assert done.stderr.count("\n") == 1
    assert "row 2 of problem 1" in done.stderr
    found = json.loads(target.read_text())
    assert (found["holds"], found["guarantee"]) == (False, None)
    assert found["reason"] in done.stderr


def test_a_wider_box_is_rejected(run: Run, bounds: Path) -> None:
    def widen(arrays: dict[str, Any]) -> None:
        arrays["claims.upper"] = arrays["claims.upper"] + 0.01

    assert run("check", rewritten(bounds, widen), "iris").exit_code == 1


def test_unchanged_arrays_are_not_rejected(run: Run, bounds: Path) -> None:
    assert run("check", rewritten(bounds, lambda arrays: None), "iris").exit_code == 0


def test_another_model_is_rejected(run: Run, bounds: Path, identity: Path) -> None:
    for model in ("digits", identity):
        done = run("check", bounds, model)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "rejected: the certificate is about another model file" in done.stderr
        assert done.stderr.count("\n") == 1


def test_files_that_cannot_be_used(run: Run, bounds: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.cert"
    cut.write_bytes(bounds.read_bytes()[:-200])
    (tmp_path / "text.cert").write_text("no certificate")

    def rename(arrays: dict[str, Any]) -> None:
        arrays["header"]["schema"] = "sensverify.certificate/99"

    cases = (
        (cut, "iris", "cut.cert"),
        (tmp_path / "text.cert", "iris", "text.cert"),
        (tmp_path / "missing.cert", "iris", "missing.cert"),
        (tmp_path, "iris", "cannot read"),
        (rewritten(bounds, rename), "iris", "expected the schema sensverify.certificate/1"),
        (bounds, "nonsense", "there is no model 'nonsense'"),
        (bounds, tmp_path / "missing.onnx", "missing.onnx"),
    )
    for certificate, model, words in cases:
        done = run("check", certificate, model)
        assert (done.exit_code, done.stdout) == (2, ""), done.output
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_certificate_cannot_steer_the_terminal(run: Run, bounds: Path) -> None:
    def colour(arrays: dict[str, Any]) -> None:
        arrays["header"]["provenance"] = {"method": "\x1b[31mred\nCERTIFIED: nothing"}

    done = run("check", rewritten(bounds, colour), "iris")
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert sum(line.startswith("CERTIFIED") for line in done.stdout.splitlines()) == 1


def test_targets_of_certificates(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "a.cert"
    target.write_text("precious")
    question = ("verify", "iris", "--samples", "0:1", "--certificate", target)
    done = run(*question)
    assert (done.exit_code, "not overwritten" in done.stderr) == (2, True)
    assert target.read_text() == "precious"
    assert run(*question, "--force").exit_code == 0
    assert read_certificate(target).claims.problems == 1
    # All files or none.
    (tmp_path / "folder").mkdir()
    done = run(*question, "--force", "--json", tmp_path / "folder" / "gone" / "a.json")
    assert done.exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.cert", "folder"]


BOTH = "(or (and (<= 0 X_0 0.3) (<= -1 X_1 0.1)) (and (<= 0.3 X_0 1) (<= -1 X_1 1)))"


def test_a_property(run: Run, wiggly: Path, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "p.cert"
    asked = ask("(or (>= Y_0 1.3) (and (>= Y_1 2.5) (<= Y_0 0.1)))", box=BOTH)
    done = run("verify", wiggly, "--property", asked, "--certificate", path, "--json", "-")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["verdict"], found["guarantee"]) == ("unsat", "CERTIFIED")
    assert found["certificate"]["path"] == str(path)
    assert found["certificate"]["bytes"] == path.stat().st_size
    assert found["unsat_cases"] == 2
    assert "guarantee CERTIFIED" in done.stderr
    certificate = read_certificate(path)
    assert certificate.claims.problems == 2
    assert certificate.provenance["property"] == {
        "path": str(asked),
        "sha256": found["property"]["sha256"],
    }
    # No float64 number is 0.3 or 0.1: the certified boxes contain the exact ones.
    upper = [[Fraction(end) for end in row] for row in certificate.claims.upper.tolist()]
    lower = [[Fraction(end) for end in row] for row in certificate.claims.lower.tolist()]
    assert upper[0][0] >= Fraction(3, 10) >= lower[1][0]
    assert upper[0][1] >= Fraction(1, 10)
    checked = run("check", path, wiggly, "--property", asked)
    assert checked.exit_code == 0, checked.output
    assert checked.stdout.splitlines()[-1].startswith("CERTIFIED: no input meets the property")


def test_the_first_line_is_the_verdict(run: Run, wiggly: Path, ask: Ask) -> None:
    done = run("verify", wiggly, "--property", ask("(>= Y_0 1.3)"), "--rigorous")
    assert (done.exit_code, done.stdout) == (0, "unsat\n")


def test_cases_with_unlike_numbers_of_constraints(
    run: Run, wiggly: Path, ask: Ask, tmp_path: Path
) -> None:
    first = "(and (<= 0 X_0 0.3) (<= -1 X_1 1) (>= Y_0 1.3))"
    second = "(and (<= 0.3 X_0 1) (<= -1 X_1 1) (or (>= Y_0 1.3) (and (>= Y_1 3) (<= Y_0 -5))))"
    asked = ask(f"(or {first} {second})", box="(<= 0 X_0 1)")
    path = tmp_path / "p.cert"
    done = run("verify", wiggly, "--property", asked, "--certificate", path)
    assert (done.exit_code, done.stdout) == (0, "unsat\n"), done.output
    assert read_certificate(path).claims.rows.shape == (2, 3, 2)
    assert run("check", path, wiggly, "--property", asked).exit_code == 0


@pytest.mark.parametrize(
    ("asserted", "box", "words"),
    [
        ("(>= Y_0 1.2)", None, "input box 1"),
        ("(or (>= Y_0 1.3) (>= Y_1 5))", None, "input box 1"),
        ("(>= Y_0 1.3)", "(and (<= -0.1 X_0 1) (<= -1 X_1 1))", "input box 1"),
    ],
)
def test_another_property_is_not_covered(
    run: Run, wiggly: Path, ask: Ask, tmp_path: Path, asserted: str, box: str | None, words: str
) -> None:
    path = tmp_path / "p.cert"
    question = ("verify", wiggly, "--property", ask("(>= Y_0 1.3)"), "--certificate", path)
    assert run(*question).exit_code == 0
    other = ask(asserted) if box is None else ask(asserted, box=box)
    done = run("check", path, wiggly, "--property", other)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"rejected: the certificate does not refute {words}" in done.stderr
    # What it claims holds all the same, and so does what follows from it.
    assert run("check", path, wiggly).exit_code == 0
    weaker = ask("(and (>= Y_0 1.4) (<= Y_1 7))", box="(and (<= 0.1 X_0 1) (<= -1 X_1 0.5))")
    assert run("check", path, wiggly, "--property", weaker).exit_code == 0


def test_bounds_answer_no_property(run: Run, bounds: Path, tmp_path: Path) -> None:
    path, inputs = tmp_path / "p.vnnlib", [f"X_{i}" for i in range(4)]
    names = [*inputs, "Y_0", "Y_1", "Y_2"]
    lines = [f"(declare-const {name} Real)" for name in names]
    lines += [f"(assert (<= 0 {name} 1))" for name in inputs]
    path.write_text("\n".join([*lines, "(assert (>= Y_0 1))"]))
    done = run("check", bounds, "iris", "--property", path)
    assert done.exit_code == 1
    assert "does not refute a property" in done.stderr


def test_a_tampered_refutation(run: Run, wiggly: Path, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "p.cert"
    question = ("verify", wiggly, "--property", ask("(>= Y_0 1.3)"), "--certificate", path)
    assert run(*question).exit_code == 0

    def weaken(arrays: dict[str, Any]) -> None:
        # As if Y_0 >= 0.5 had been refuted, which inputs meet.
        arrays["claims.limits"] = np.array([[-0.5]])

    done = run("check", rewritten(path, weaken), wiggly)
    assert done.exit_code == 1
    assert "does not refute alternative 0 of problem 0" in done.stderr


def test_a_violated_property_has_no_certificate(
    run: Run, identity: Path, ask: Ask, tmp_path: Path
) -> None:
    path = tmp_path / "p.cert"
    done = run("verify", identity, "--property", ask("(<= Y_0 Y_1)"), "--certificate", path)
    assert done.exit_code == 1
    assert done.stdout.startswith("sat\n")
    assert "met by an input, and that needs no proof; no certificate is made" in done.stderr
    assert not path.exists()


@pytest.mark.usefixtures("fake_deciders")
def test_an_answer_without_a_proof_is_proven_again(
    run: Run, identity: Path, ask: Ask, tmp_path: Path
) -> None:
    path, asked = tmp_path / "p.cert", ask("(>= Y_0 1.5)")
    question = ("verify", identity, "--property", asked, *SAMPLING)
    assert run(*question).stdout == "unsat\n"
    done = run(*question, "--certificate", path)
    assert (done.exit_code, done.stdout) == (0, "unsat\n"), done.output
    assert run("check", path, identity, "--property", asked).exit_code == 0


@pytest.mark.usefixtures("fake_deciders")
def test_a_wrong_unsat_is_unknown(run: Run, identity: Path, ask: Ask, tmp_path: Path) -> None:
    """Sampling misses the few inputs that meet it, and the method then calls it unsat."""
    path = tmp_path / "p.cert"
    asked = ask("(and (>= Y_0 0.2500001) (<= Y_0 0.2500002))")
    options = ("--method", "faulty", "--setting", "how=unsat-with-witness")
    question = ("verify", identity, "--property", asked, *options)
    assert run(*question).stdout == "unsat\n"
    done = run(*question, "--certificate", path)
    assert (done.exit_code, done.stdout) == (3, "unknown\n"), done.output
    assert "warning: the method calls input box 1 of 1 unsat, but that could not be" in done.stderr
    assert "no certificate is made" in done.stderr
    assert not path.exists()


def test_constraints_that_float64_does_not_hold(
    run: Run, identity: Path, ask: Ask, tmp_path: Path
) -> None:
    path = tmp_path / "p.cert"
    factors = ("0.123456789012345678901", "0.3333333333333333333333")
    asked = ask(f"(>= (+ (* {factors[0]} Y_0) (* {factors[1]} Y_1)) 9)")
    done = run("verify", identity, "--property", asked, "--certificate", path)
    assert (done.exit_code, done.stdout) == (3, "unknown\n"), done.output
    assert "no float64 numbers stand for the factors" in done.stderr
    assert not path.exists()


def test_a_property_without_a_case(run: Run, identity: Path, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "p.cert"
    asked = ask("(>= Y_0 1)", box="(and (<= 2 X_0 1) (<= 0 X_1 1))")
    done = run("verify", identity, "--property", asked, "--certificate", path)
    assert (done.exit_code, done.stdout) == (0, "unsat\n"), done.output
    assert "contradicts itself, whatever the model; no certificate is made" in done.stderr
    assert not path.exists()


@pytest.mark.parametrize("target", ["property", "model"])
def test_the_inputs_of_a_property_are_never_overwritten(
    run: Run, identity: Path, ask: Ask, target: str
) -> None:
    asked = ask("(>= Y_0 1.5)")
    path = {"property": asked, "model": identity}[target]
    done = run("verify", identity, "--property", asked, "--certificate", path, "--force")
    assert (done.exit_code, "is what this run reads" in done.stderr) == (2, True)


def test_a_page_of_what_holds(run: Run, bounds: Path, tmp_path: Path) -> None:
    page = tmp_path / "check.html"
    done = run("check", bounds, "iris", "--report", page, "--json", "-")
    assert done.exit_code == 0, done.output
    found, text = json.loads(done.stdout), page.read_text(encoding="utf-8")
    for words in ("Certified", "What may be relied on", "not checked", "All of them: 10 rows"):
        assert words in text
    for part in (found["certificate"], found["model"]):
        assert part["sha256"] in text
    assert found["certificate"]["sha256"] == sha256(bounds.read_bytes()).hexdigest()
    assert found["model"]["sha256"] == found["about"]["sha256"]
    assert found["runtime_check"] is True
    before = page.read_bytes()
    again = run("check", bounds, "iris", "--report", page)
    assert (again.exit_code, page.read_bytes()) == (2, before)
    done = run("check", bounds, "iris", "--report", page, "--no-runtime-check", "--force")
    assert done.exit_code == 0
    assert "it was not compared with onnxruntime" in page.read_text(encoding="utf-8")


def test_a_check_tells_how_far_it_is(bounds: Path) -> None:
    told: list[tuple[int, int]] = []
    path = resolve("iris").path
    checked = check_certificate(
        read_certificate(bounds), path, progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (checked.cells, checked.cells)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_a_page_of_what_is_rejected(run: Run, bounds: Path, tmp_path: Path) -> None:
    page = tmp_path / "check.html"
    assert run("check", bounds, "digits", "--report", page).exit_code == 1
    text = page.read_text(encoding="utf-8")
    assert "Rejected" in text
    assert "another model file" in text
    assert "Certified" not in text
    assert "Claims" not in text


@pytest.mark.parametrize("target", ["-", "iris.cert", "no/page.html"])
def test_pages_that_cannot_be_written(run: Run, bounds: Path, target: str) -> None:
    before = bounds.read_bytes()
    path = target if target == "-" else bounds.parent / target
    done = run("check", bounds, "iris", "--report", path, "--force")
    assert (done.exit_code, done.stdout) == (2, "")
    assert bounds.read_bytes() == before
