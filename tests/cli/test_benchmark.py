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
    ("options", "words"),
    [
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
