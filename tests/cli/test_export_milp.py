"""``sensverify export-milp``: three files, or one line that says why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import highspy
import numpy as np
import pytest
from click.testing import Result

from tests.report.schemas import check_result

Run = Callable[..., Result]


def test_files_and_what_is_said_of_them(run: Run, tmp_path: Path) -> None:
    asked = ("export-milp", "iris", "--samples", 22, "--sigma", 0.1, "--maximise", 2)
    done = run(*asked, "--out", tmp_path / "net.lp")
    assert done.exit_code == 0, done.stderr
    assert "49 columns, 14 of them binaries, and 45 rows" in done.stdout
    assert "SOUND" in done.stdout
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.readModel(str(tmp_path / "net.lp"))
    assert solver.getNumCol() == 49
    about = json.loads((tmp_path / "net.lp.neurons.json").read_text())
    assert about["schema"] == "sensverify.program/1"
    check_result(about)
    assert about["input"]["sample"] == 22
    assert about["command"].startswith("sensverify")
    assert "input_lower" in np.load(tmp_path / "net.lp.neurons.npz")
    # Both formats stand beside each other; neither is overwritten.
    assert run(*asked, "--out", tmp_path / "net.mps", "-q").stdout == ""
    before = (tmp_path / "net.mps").read_bytes()
    again = run(*asked, "--out", tmp_path / "net.mps")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "--force" in again.stderr
    assert (tmp_path / "net.mps").read_bytes() == before
    assert run(*asked, "--out", tmp_path / "net.mps", "--force").exit_code == 0


def test_a_time_limit_leaves_bounds_that_hold(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "net.mps"
    asked = ("--samples", 22, "--sigma", 0.3, "--tighten", "milp", "--timeout", 1e-3)
    done = run("export-milp", "iris", *asked, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert out.exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("iris", "--samples", 22), "--out"),
        (("iris", "--samples", 22, "--out", "net.txt"), "end --out in .mps or .lp"),
        (("iris", "--out", "net.lp"), "choose one by --samples 0:1"),
        (("iris", "--samples", 22, "--maximise", 3, "--out", "net.lp"), "--maximise from 0 to 2"),
        (("iris", "--samples", 22, "--minimise", -1, "--out", "net.lp"), "--minimise from 0 to 2"),
        (
            ("iris", "--samples", 22, "--minimise", 0, "--maximise", 0, "--out", "net.lp"),
            "two objectives",
        ),
        (("iris", "--samples", 22, "--bounds", "foo", "--out", "net.lp"), "there is no method"),
        (("iris", "--samples", 22, "--bounds", "lp", "--out", "net.lp"), "bounds every layer"),
        (("iris", "--samples", 22, "--tighten", "x", "--out", "net.lp"), "--tighten"),
        (("iris", "--samples", 22, "--timeout", -1, "--out", "net.lp"), "--timeout"),
        (("iris", "--samples", 22, "--radius", "nan", "--out", "net.lp"), "--radius"),
        (("iris", "--samples", 22, "--out", "no-folder/net.lp"), "no-folder"),
        (("nowhere.onnx", "--out", "net.lp"), "nowhere.onnx"),
        (("iris", "--box", "nowhere.npz", "--out", "net.lp"), "nowhere.npz"),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[object, ...],
    named: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("export-milp", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert named in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_curve_is_written_in_segments(
    run: Run, save_mlp: Callable[..., Path], tmp_path: Path
) -> None:
    net = save_mlp(tmp_path / "net.onnx", (np.eye(2), np.zeros(2)), last="Sigmoid")
    np.savez(tmp_path / "box.npz", lower=np.zeros((1, 2)), upper=np.ones((1, 2)))
    # The sigmoid is no head that is cut off here: the network is asked for up to its end.
    asked = (net, "--box", tmp_path / "box.npz", "--output", "last", "--out", tmp_path / "a.lp")
    for options, binaries in ((("--segments", 3), 4), (("--relaxed", "--force"), 0)):
        done = run("export-milp", *asked, *options)
        assert done.exit_code == 0, done.output
        assert f"{binaries} of them binaries" in done.stdout
        check_result(json.loads((tmp_path / "a.lp.neurons.json").read_text()))


def test_an_operator_without_a_program_is_named(
    run: Run, save_mlp: Callable[..., Path], tmp_path: Path
) -> None:
    net = save_mlp(tmp_path / "net.onnx", (np.eye(2), np.zeros(2)), last="Floor")
    np.savez(tmp_path / "box.npz", lower=np.zeros((1, 2)), upper=np.full((1, 2), 1e5))
    asked = (net, "--box", tmp_path / "box.npz", "--output", "last", "--out", tmp_path / "a.lp")
    done = run("export-milp", *asked)
    assert done.exit_code == 2
    assert "Floor of node 'odd one'" in done.stderr
    assert "--relaxed" in done.stderr
    assert not (tmp_path / "a.lp").exists()
