"""The scripts of VNN-COMP's interface, on small instances."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sensverify.models import resolve

SCRIPTS = Path(__file__).parents[2] / "examples" / "vnncomp"
Script = Callable[..., subprocess.CompletedProcess[str]]

INPUTS = ((4.9, 5.3), (3.3, 3.7), (1.2, 1.6), (0.1, 0.3))


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Runs one of the scripts with the `sensverify` of these tests on the path."""
    command = tmp_path / "bin" / "sensverify"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sensverify "$@"\n')
    command.chmod(0o755)

    def call(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [str(SCRIPTS / name), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        )

    return call


def written(path: Path, *, far: bool) -> Path:
    lines = [f"(declare-const X_{k} Real)" for k in range(4)]
    lines += [f"(declare-const Y_{k} Real)" for k in range(3)]
    for k, (low, high) in enumerate(INPUTS):
        top = high + (2.4 if k == 2 else 1.5) if far and k > 1 else high
        lines += [f"(assert (>= X_{k} {low}))", f"(assert (<= X_{k} {top}))"]
    path.write_text("\n".join([*lines, "(assert (or (>= Y_1 Y_0) (>= Y_2 Y_0)))"]))
    return path


def test_scripts_are_there_to_be_run() -> None:
    found = sorted(SCRIPTS.glob("*.sh"))
    assert [path.name for path in found] == [
        *("install_tool.sh", "prepare_instance.sh", "run_instance.sh")
    ]
    for path in found:
        assert os.access(path, os.X_OK)


def test_a_tool_that_is_there_is_not_installed_again(script: Script) -> None:
    done = script("install_tool.sh", "v1")
    assert done.returncode == 0, done.stderr
    assert "is there" in done.stdout
    assert script("install_tool.sh", "v2").returncode == 1


@pytest.mark.parametrize(("far", "answer"), [(False, "unsat"), (True, "sat")])
def test_an_instance_is_answered(far: bool, answer: str, script: Script, tmp_path: Path) -> None:
    net = resolve("iris").path
    asked = written(tmp_path / "asked.vnnlib", far=far)
    results = tmp_path / "results.txt"
    done = script("prepare_instance.sh", "v1", "iris", net, asked)
    assert done.returncode == 0, done.stderr
    done = script("run_instance.sh", "v1", "iris", net, asked, results, 60)
    assert done.returncode == 0, done.stderr
    first, *witness = results.read_text().splitlines()
    assert first == answer
    variables = [re.sub(r"[()]", "", line).split() for line in witness]
    names = [*(f"X_{k}" for k in range(4)), *(f"Y_{k}" for k in range(3))]
    assert [name for name, _ in variables] == (names if far else [])
    if far:
        outputs = [float(value) for name, value in variables if name[0] == "Y"]
        assert max(outputs[1:]) >= outputs[0]


def test_what_cannot_be_run_is_an_error(script: Script, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    asked = written(tmp_path / "asked.vnnlib", far=False)
    results = tmp_path / "results.txt"
    done = script("run_instance.sh", "v1", "iris", broken, asked, results, 10)
    assert done.returncode == 0
    assert results.read_text() == "error\n"
    assert "error: " in done.stderr
    missing = script("prepare_instance.sh", "v1", "iris", tmp_path / "none.onnx", asked)
    assert missing.returncode == 1
    assert "none.onnx" in missing.stderr
    assert script("run_instance.sh", "v1", "iris").returncode == 1
