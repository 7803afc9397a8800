"""``sensverify verify`` about input sets that are no boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sensverify.cli.main import main


def run(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(main, ["verify", "iris", "--samples", "0:3", *arguments])
    return found.exit_code, found.output


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ("--radius 0.3 --norm 2", "ball"),
        ("--radius 0.3 --norm 1", "ball"),
        ("--radius 0.3 --pixels 1", "patch"),
        ("--radius 0.3 --patch 1x2", "patch"),
        ("--vary brightness=0.3 --vary contrast=0.1", "varied"),
    ],
)
def test_sets_are_said_in_the_json(options: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    status, _ = run(*options.split(), "--json", str(path))
    assert status == 0
    assert json.loads(path.read_text())["input"]["set"]["kind"] == kind


def test_constraints_come_from_a_file(tmp_path: Path) -> None:
    limits, path = tmp_path / "sum.npz", tmp_path / "result.json"
    np.savez(limits, equal_matrix=np.ones((1, 4)))
    status, _ = run("--radius", "0.3", "--constraints", str(limits), "--json", str(path))
    assert status == 0
    told = json.loads(path.read_text())["input"]["set"]
    assert told["constraints"] == str(limits)
    assert told["words"] == "1 linear equality"
    status, _ = run("--radius", "0.3", "--constraints", str(limits), "--json", str(limits))
    assert status != 0
    assert np.load(limits)["equal_matrix"].shape == (1, 4)


def test_a_set_is_part_of_what_a_baseline_is_about(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    assert run("--radius", "0.3", "--json", str(path))[0] == 0
    limit = ("--min-certified", "baseline", "--baseline", str(path))
    assert run("--radius", "0.3", *limit)[0] == 0
    status, output = run("--radius", "0.3", "--norm", "2", *limit)
    assert status == 2
    assert "another question" in output


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ("--radius 0.3 --norm 3", "--norm"),
        ("--radius 0.3 --norm 2 --pixels 1", "--pixels"),
        ("--sigma 0.1 --norm 2", "--radius"),
        ("--radius 0.3 --vary brightness=0.1", "--radius"),
        ("--vary blur=0.1", "--vary"),
        ("--radius 0.3 --pixels 9", "9 pixels"),
        ("--radius 0.3 --norm 2 --method bisection", "bisection"),
        ("--radius 0.3 --norm 2 --method branch-and-bound(split=inputs)", "splits no inputs"),
        ("--radius 0.3 --norm 2 --method milp", "Euclidean"),
        ("--property none.vnnlib --norm 2", "--norm"),
        ("--critical-radius --pixels 1", "--pixels"),
    ],
)
def test_bad_questions_are_one_line(options: str, word: str) -> None:
    status, output = run(*options.split())
    assert status == 2
    assert word in output
    assert "Traceback" not in output
