"""`sensverify calibrate`: what it prints, and that it changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from tests.report.schemas import check_result

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


def test_the_result_is_kept_as_json_and_as_a_page(
    run: Run, asked: list[object], tmp_path: Path
) -> None:
    files = {name: tmp_path / f"found.{name}" for name in ("json", "report")}
    targets = [part for name, path in files.items() for part in (f"--{name}", path)]
    done = run(*asked, "--fit-share", "25%", *targets)
    assert done.exit_code == 0, done.output
    found = json.loads(files["json"].read_text())
    check_result(found)
    assert (found["fitted"], found["judged"], found["data"]["samples"]) == (10, 30, 40)
    assert found["before"]["cross_entropy"] > found["after"]["cross_entropy"]
    # Logits 3 and 0 that are right in four of five: softmax(3 / T) is 0.8 at T = 3 / log 4.
    assert found["temperature"] == pytest.approx(3 / np.log(4), rel=0.15)
    page = files["report"].read_text()
    assert page.count("<svg") >= 2
    assert "temperature" in page
    again = run(*asked, *targets)
    assert again.exit_code == 2
    assert json.loads(files["json"].read_text()) == found
    assert run(*asked, *targets, "--force").exit_code == 0


def test_json_alone_is_on_standard_output(run: Run, asked: list[object]) -> None:
    done = run(*asked, "--json", "-")
    assert done.exit_code == 0
    check_result(json.loads(done.stdout))
    assert "temperature" in done.stderr


def test_what_it_reads_is_never_overwritten(run: Run, asked: list[object], tmp_path: Path) -> None:
    for read in (asked[1], asked[3]):
        before = Path(str(read)).read_bytes()
        for option in ("--json", "--report"):
            done = run(*asked, option, read, "--force")
            assert done.exit_code == 2, done.output
            assert Path(str(read)).read_bytes() == before
    assert run(*asked, "--json", tmp_path / "no" / "folder.json").exit_code == 2


def test_names_are_escaped(run: Run, save_mlp: Callable[..., Path], tmp_path: Path) -> None:
    x, y = np.tile([[3.0, 0.0]], (40, 1)).astype(np.float32), np.zeros(40, int)
    y[::5] = 1
    np.savez(tmp_path / "<b>data.npz", x=x, y=y)
    net = save_mlp(tmp_path / "<i>net.onnx", (np.eye(2), np.zeros(2)))
    target = tmp_path / "page.html"
    done = run("calibrate", net, "--data", tmp_path / "<b>data.npz", "--report", target)
    assert done.exit_code == 0, done.output
    page = target.read_text()
    assert "&lt;i&gt;net" in page
    assert "<i>net" not in page
    assert "<b>data" not in page
