"""An evaluation that is killed and resumed, at any moment, ends as one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sensverify.evaluation.folder import JOURNAL

COMMAND = (
    *(sys.executable, "-m", "sensverify", "evaluate", "mnist-conv1", "--count", "20"),
    *("--attacks", "fgsm,pgd(steps=5),square(queries=20)", "--sequences", "translation"),
    *("--corruptions", "gaussian-noise,fog", "--severities", "1,3,5"),
    *("--measures", "complexity,input-gradient,jacobian"),
)


def start(out: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, "--out", str(out), *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def found(out: Path) -> Any:
    """What was found, without what a clock says."""

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if k != "seconds"}
        return [timeless(v) for v in value] if isinstance(value, list) else value

    return timeless(json.loads((out / "evaluation.json").read_text()))


def lines(out: Path) -> int:
    path = out / JOURNAL
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_after(out: Path, cells: int, draw: random.Random) -> bool:
    """Go on in another process and kill it some cells later; False where it was done before."""
    process = start(out, "--resume")
    wanted, limit = lines(out) + cells, time.monotonic() + 120
    while process.poll() is None and lines(out) < wanted and time.monotonic() < limit:
        time.sleep(0.001)
    # Into the middle of a cell, or of a line.
    time.sleep(draw.uniform(0, 0.05))
    process.kill()
    return process.wait() == -signal.SIGKILL


def finish(out: Path) -> int:
    return start(out, "--resume").wait(300)


def check_equal(broken: Path, whole: Path) -> None:
    assert finish(broken) == 0
    assert finish(whole) == 0
    assert found(broken) == found(whole)
    keys = [json.loads(line)["key"] for line in (broken / JOURNAL).read_text().splitlines()]
    assert len(keys) == len(set(keys)) == lines(whole)
    assert not list(broken.rglob("*.part"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no such signal")
def test_killed_twice(tmp_path: Path) -> None:
    draw = random.Random(0)
    assert [kill_after(tmp_path / "a", cells, draw) for cells in (4, 12)] == [True, True]
    assert lines(tmp_path / "a") >= 16
    check_equal(tmp_path / "a", tmp_path / "b")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_many_random_moments(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(6):
        kill_after(tmp_path / "a", draw.randint(1, 8), draw)
    check_equal(tmp_path / "a", tmp_path / "b")


@pytest.mark.slow
def test_stopped_by_ctrl_c(tmp_path: Path) -> None:
    out = tmp_path / "a"
    process = start(out)
    while process.poll() is None and lines(out) < 5:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 3
    assert found(out)["interrupted"]
    check_equal(out, tmp_path / "b")
