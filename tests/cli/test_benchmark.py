"""`sensverify benchmark`: what it prints, its exit status, and Ctrl-C."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from sensverify.verification.benchmark import COLUMNS

pytestmark = pytest.mark.usefixtures("fake_deciders")

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, identity: Path) -> Path:
    declared = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0", "Y_1"))
    for name, asserted in (("sat", "(<= Y_0 Y_1)"), ("unsat", "(>= Y_0 2)")):
        text = f"{declared}(assert (<= 0 X_0 1))(assert (<= -1 X_1 1))(assert {asserted})"
        (tmp_path / f"{name}.vnnlib").write_text(text)
    lines = [f"{identity.name},{name}.vnnlib,30\n" for name in ("sat", "unsat")]
    (tmp_path / "instances.csv").write_text("".join(lines))
    return tmp_path


def write_results(folder: Path, *lines: str) -> None:
    """Results of an earlier run: nothing, or not everything, is left to run."""
    rows = [f"identity.onnx,{line},0.2,30,1,,,,,,,sampling," for line in lines]
    (folder / "out.csv").write_text("\n".join([",".join(COLUMNS), *rows, ""]))


SAT, UNSAT = "sat.vnnlib,sat,0.25", "unsat.vnnlib,unsat,0.5"


def known(folder: Path, second: str) -> None:
    (folder / "verdicts.csv").write_text(
        "onnx,vnnlib,verdict,ce_replayed\nidentity.onnx,sat.vnnlib,sat,strict\n"
        f"identity.onnx,unsat.vnnlib,{second}\n"
    )


def test_a_folder(run: Run, folder: Path) -> None:
    known(folder, "unsat,")
    out = folder / "out.csv"
    done = run("benchmark", folder, "--out", out, "--method", "sampling", "--jobs", 1)
    assert done.exit_code == 0, done.output
    for words in ("2 of 2 within", "1 sat, 1 unsat", "2 right, 0 wrong, of 2", "median"):
        assert words in done.stdout
    # Nothing is left to do; what was wrong is said again.
    known(folder, "sat,strict")
    again = run("benchmark", folder, "--out", out, "--method", "sampling", "--jobs", 1)
    assert again.exit_code == 1
    assert "1 right, 1 wrong" in again.stdout
    assert "WRONG: identity.onnx unsat.vnnlib: unsat, expected sat" in again.stdout
    known(folder, "sat,majority")
    again = run("benchmark", folder, "--out", out, "--method", "sampling", "--jobs", 1)
    assert again.exit_code == 0
    assert "1 not compared" in again.stdout


@pytest.mark.parametrize(
    ("words", "status"),
    [((), 0), (("sat",), 1), (("timeout", "unknown", "error"), 0), (("error", "sat"), 1)],
)
def test_verdicts_that_fail(run: Run, folder: Path, words: tuple[str, ...], status: int) -> None:
    write_results(folder, SAT, UNSAT)
    options = [part for word in words for part in ("--fail-on", word)]
    question = ("benchmark", folder, "--out", folder / "out.csv", "--method", "sampling")
    done = run(*question, "--jobs", 1, *options)
    assert done.exit_code == status, done.output
    assert ("failed: 1 of 2 ended with sat" in done.stdout) == bool(status)


def test_an_instance_that_died_or_was_late_fails(run: Run, folder: Path) -> None:
    (folder / "broken.vnnlib").write_text("(assert")
    with (folder / "instances.csv").open("a") as file:
        file.write("identity.onnx,broken.vnnlib,30\n")
    question = ("benchmark", folder, "--out", folder / "out.csv", "--method", "sampling")
    assert run(*question, "--jobs", 1).exit_code == 0
    done = run(*question, "--fail-on", "error")
    assert done.exit_code == 1
    assert "failed: 1 of 3 ended with error" in done.stdout
    # Whatever it would have ended with: an error is no answer.
    done = run(*question, "--fail-on", "unknown")
    assert done.exit_code == 3
    assert "undecided: 1 of 3 ended with error" in done.stdout
    lines = (folder / "out.csv").read_text().splitlines()
    seconds = lines[0].split(",").index("seconds")
    late = [line.split(",") for line in lines]
    late[1][seconds] = "31"
    (folder / "out.csv").write_text("\n".join(map(",".join, late)) + "\n")
    assert run(*question, "--fail-on", "timeout").exit_code == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "out.csv", "--fail-on", "unsat"), "--fail-on"),
        (("--out", "out.csv", "--method", "crown"), "'crown'"),
        (("--out", "out.csv", "--filter", "nothing"), "'nothing'"),
        (("--out", "out.csv", "--jobs", 0), "--jobs"),
        (("--out", "out.csv", "--timeout", -1), "--timeout"),
        (("--out", "out.csv", "--compare", "nowhere.csv"), "--compare"),
        (("--out", "out.csv", "--compare", "instances.csv"), "instances.csv"),
        (("--out", "out.csv", "--compare", "out.csv"), "--compare"),
        (("--out", "out.csv", "--no-run"), "out.csv"),
        (("--out", "out.csv", "--report", "-"), "--report"),
        (("--out", "out.csv", "--report", "instances.csv", "--force"), "instances.csv"),
        (("--out", "out.csv", "--report", "identity.onnx", "--force"), "identity.onnx"),
        (("--out", "out.csv", "--report", "sat.vnnlib"), "sat.vnnlib"),
        (("--out", "out.csv", "--report", "no/page.html"), "no"),
        (("--out", "out.csv", "--json", "out.csv"), "out.csv"),
        (("--out", "out.csv", "--json", "a.x", "--report", "a.x"), "a.x"),
        ((), "--out"),
    ],
)
def test_bad_input(
    run: Run,
    folder: Path,
    options: tuple[object, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    done = run("benchmark", folder, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "out.csv").exists()


def ask(run: Run, folder: Path, *options: object, out: str = "out.csv") -> Result:
    question = ("benchmark", folder, "--out", folder / out, "--method", "sampling")
    return run(*question, "--jobs", 1, *options)


def test_a_page_and_json(run: Run, folder: Path) -> None:
    known(folder, "unsat,")
    write_results(folder, SAT, UNSAT)
    page = folder / "page.html"
    done = ask(run, folder, "--report", page, "--json", "-")
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    assert values["schema"] == "sensverify.benchmark/2"
    assert [each["verdict"] for each in values["instances"]] == ["sat", "unsat"]
    assert values["command"].startswith("sensverify benchmark")
    digest = hashlib.sha256((folder / "instances.csv").read_bytes()).hexdigest()
    assert values["instances_sha256"] == digest
    assert "2 right" in done.stderr
    text = page.read_text(encoding="utf-8")
    assert "Passed" in text
    assert digest in text
    before = page.read_bytes()
    assert ask(run, folder, "--report", page).exit_code == 2
    assert page.read_bytes() == before
    assert ask(run, folder, "--report", page, "--force").exit_code == 0


def test_a_part_is_reported_without_running_the_rest(run: Run, folder: Path) -> None:
    known(folder, "unsat,")
    write_results(folder, UNSAT)
    before = (folder / "out.csv").read_bytes()
    done = ask(run, folder, "--no-run", "--json", "-")
    assert done.exit_code == 0, done.output
    assert [each["verdict"] for each in json.loads(done.stdout)["instances"]] == [None, "unsat"]
    assert (folder / "out.csv").read_bytes() == before
    # What has not run has not passed.
    assert ask(run, folder, "--no-run", "--fail-on", "sat").exit_code == 3
    assert (folder / "out.csv").read_bytes() == before


def test_two_runs(run: Run, folder: Path) -> None:
    write_results(folder, SAT, UNSAT)
    text = (folder / "out.csv").read_text()
    other = folder / "other.csv"
    other.write_text(text.replace(",sampling,", ",another,"))
    done = ask(run, folder, "--compare", other)
    assert done.exit_code == 0, done.output
    assert "another" in done.stdout
    other.write_text(text.replace(",sampling,", ",another,").replace("unsat,0", "sat,0"))
    done = ask(run, folder, "--compare", other)
    assert done.exit_code == 1
    assert "CONTRADICTS: identity.onnx unsat.vnnlib: unsat, sat in" in done.stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("identity.onnx,nothing.vnnlib,sat,1,1,30,1,,,,,,,x,", "nothing.vnnlib"),
        ("identity.onnx,sat.vnnlib,sat,nan,1,30,1,,,,,,,x,", "line 2"),
        ("identity.onnx,sat.vnnlib,sat,-1,1,30,1,,,,,,,x,", "line 2"),
        ("identity.onnx,sat.vnnlib,sat,1,nan,30,1,,,,,,,x,", "line 2"),
        ("identity.onnx,sat.vnnlib,maybe,1,1,30,1,,,,,,,x,", "line 2"),
        ("identity.onnx,sat.vnnlib,sat,1,inf,1,,,,,,,x,", "line 2"),
        ("", "none of these instances"),
        (
            "identity.onnx,sat.vnnlib,sat,1,1,30,1,,,,,,,x,\nidentity.onnx,unsat.vnnlib,sat,1,1,30,1,,,,,,,y,",
            "several methods",
        ),
    ],
)
def test_other_results_that_are_of_no_use(run: Run, folder: Path, line: str, words: str) -> None:
    other = folder / "other.csv"
    other.write_text(f"{','.join(COLUMNS)}\n{line}\n" if line else f"{','.join(COLUMNS)}\n")
    done = ask(run, folder, "--compare", other)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
    assert "--out" not in done.stderr
    assert not (folder / "out.csv").exists()
