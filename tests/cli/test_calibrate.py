"""`sensverify calibrate`: what it prints, and that it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def asked(tmp_path: Path, identity: Path) -> list[object]:
    """Ten samples with logits 3 and 0, of which eight are right in either half."""
    x, y = np.tile([[3.0, 0.0]], (40, 1)).astype(np.float32), np.zeros(40, int)
    y[::5] = 1
    np.savez(tmp_path / "held-out.npz", x=x, y=y)
    return ["calibrate", identity, "--data", tmp_path / "held-out.npz"]


def test_errors_before_and_after(run: Run, asked: list[object], identity: Path) -> None:
    before = identity.read_bytes()
    done = run(*asked)
    assert done.exit_code == 0, done.stderr
    assert "temperature" in done.stdout
    for line in ("accuracy", "mean confidence", "expected calibration error", "cross-entropy"):
        assert line in done.stdout
    assert identity.read_bytes() == before
    assert sorted(path.name for path in identity.parent.iterdir()) == [
        "held-out.npz",
        identity.name,
    ]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--fit-share", "0%"], "--fit-share"),
        (["--fit-share", "100%"], "--fit-share"),
        (["--fit-share", "many"], "--fit-share"),
        (["--bins", "0"], "--bins"),
    ],
)
def test_bad_input(run: Run, asked: list[object], options: list[str], named: str) -> None:
    done = run(*asked, *options)
    assert done.exit_code == 2
    assert named in done.stderr
