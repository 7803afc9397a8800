"""`sensverify benchmark`: what it prints, its exit status, and Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

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
