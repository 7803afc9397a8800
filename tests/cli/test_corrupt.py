"""`sensverify corrupt`: what it prints and writes, and its exit status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from sensverify.data.corrupted import find_corrupted
from sensverify.runs.watch import Watch

Run = Callable[..., Result]


@pytest.fixture
def asked(tmp_path: Path) -> list[object]:
    x = np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)
    np.savez(tmp_path / "images.npz", x=x, y=np.array([0, 1, 1, 0]))
    return ["corrupt", tmp_path / "images.npz", "--out", tmp_path / "set"]


def test_a_set_is_made_and_read_back(run: Run, asked: list[object], tmp_path: Path) -> None:
    done = run(*asked, "--corruptions", "contrast", "--seed", 7)
    assert done.exit_code == 0, done.output
    assert "contrast.npy" in done.stdout
    assert "seed 7" in done.stdout
    assert find_corrupted(tmp_path / "set").corruptions == {"contrast": 5}


def test_severities_are_told_where_readers_count_others(run: Run, asked: list[object]) -> None:
    done = run(*asked, "--corruptions", "contrast", "--severities", "2,5")
    assert done.exit_code == 0
    assert "severities 2, 5 are 1 to 2" in done.stderr


def test_of_a_group_what_is_left_out_is_told(run: Run, asked: list[object]) -> None:
    done = run(*asked, "--corruptions", "additions")
    assert done.exit_code == 0
    assert "greyscale" in done.stdout.partition("left out")[2]


def test_a_stop_says_how_to_go_on(
    run: Run, asked: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "over", property(lambda _: True))
    done = run(*asked, "--corruptions", "contrast")
    assert done.exit_code == 3
    assert "--resume" in done.stderr
    assert "not yet" in done.stdout
    monkeypatch.undo()
    assert run(*asked, "--corruptions", "contrast", "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--corruptions", "none"], "--corruptions"),
        (["--corruptions", "contrasts"], "contrast"),
        (["--corruptions", "colour-distortion"], "colour-distortion"),
        (["--severities", "1,x"], "--severities"),
        (["--severities", "3,1"], "--severities"),
        (["--clip", "1", "0"], "--clip"),
        (["--resume", "--force"], "--resume"),
    ],
)
def test_bad_input(run: Run, asked: list[object], options: list[str], named: str) -> None:
    done = run(*asked, *options)
    assert done.exit_code == 2
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_set_that_is_there_is_kept(run: Run, asked: list[object], tmp_path: Path) -> None:
    assert run(*asked, "--corruptions", "contrast").exit_code == 0
    before = (tmp_path / "set" / "contrast.npy").read_bytes()
    done = run(*asked, "--corruptions", "contrast", "--seed", 1)
    assert done.exit_code == 2
    assert "--resume" in done.stderr
    assert (tmp_path / "set" / "contrast.npy").read_bytes() == before
    assert run(*asked, "--corruptions", "flip", "--force").exit_code == 0
    assert find_corrupted(tmp_path / "set").corruptions == {"flip": 3}
