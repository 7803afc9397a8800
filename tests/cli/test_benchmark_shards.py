"""A benchmark in shards: every instance once, whoever was killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.contracts.test_kill_and_resume import timeless, write_benchmark

Run = Callable[..., Result]
COMMAND = ("benchmark", "bench", "--out", "out.csv", "--jobs", "1", "--no-runtime-check")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_benchmark(tmp_path)
    lines = (tmp_path / "bench" / "instances.csv").read_text().splitlines()
    # One of them twice.
    (tmp_path / "bench" / "instances.csv").write_text("\n".join([*lines[:5], lines[1]]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(path: Path) -> Any:
    found = timeless(json.loads(path.read_text()))
    found["summary"] = {k: v for k, v in found["summary"].items() if "seconds" not in k}
    return {key: value for key, value in found.items() if key not in ("out", "record", "machine")}


def test_shards_make_the_same_report(run: Run, folder: Path) -> None:
    single = run(*COMMAND[:3], "single.csv", *COMMAND[4:], "--json", "single.json")
    assert single.exit_code == 0, single.output
    assert run(*COMMAND, "--shard", "3/3").exit_code == 0
    assert run(*COMMAND, "--shard", "1/3").exit_code == 0
    part = run(*COMMAND, "--no-run", "--fail-on", "unknown")
    assert part.exit_code == 3
    assert "2 of 6 instances are not done: instance 2 (again0.vnnlib), instance 5" in part.stderr
    assert "shard 2/3 was not begun; it has 2 of 2" in part.stderr
    assert run(*COMMAND, "--no-run").exit_code == 3
    # A last line that a kill has cut off.
    run(*COMMAND, "--shard", "2/3")
    results = folder / "out.csv.shards" / "2-of-3" / "results.csv"
    whole = results.read_bytes()
    results.write_bytes(whole[:-9])
    assert "1 of 6 instances are not done" in run(*COMMAND, "--no-run").stderr
    assert run(*COMMAND, "--shard", "2/3").exit_code == 0
    assert not (folder / "out.csv").exists()
    merged = run(*COMMAND, "--no-run", "--json", "merged.json")
    assert (merged.exit_code, merged.stderr) == (0, "")
    assert report(folder / "merged.json") == report(folder / "single.json")


def test_without_a_shard_the_rest_is_done(run: Run, folder: Path) -> None:
    run(*COMMAND, "--shard", "1/2")
    assert run(*COMMAND).exit_code == 0
    assert len((folder / "out.csv").read_text().splitlines()) == 1 + 3
    # And nothing is left for the other one.
    done = run(*COMMAND, "--shard", "2/2")
    assert (done.exit_code, done.stdout) == (0, "shard 2/2: no instance is left for it\n")
    assert len((folder / "out.csv.shards/2-of-2/results.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shard", "2/2", "--timeout", "5"), "another plan"),
        (("--shard", "2/2", "--filter", "again"), "another plan"),
        (("--shard", "2/3"), "shards of 2"),
        (("--no-run", "--timeout", "5"), "another plan"),
        (("--timeout", "5"), "another plan"),
        (("--shard", "1/2", "--json", "part.json"), "--json is about the whole"),
        (("--shard", "1/2", "--no-run"), "--no-run is about the whole"),
        (("--shard", "0/2"), "there is no shard 0 of 2"),
        (("--shard", "1/2", "--workers", "ray"), "give one of the two"),
    ],
)
def test_what_does_not_belong_together(
    run: Run, folder: Path, options: tuple[str, ...], words: str
) -> None:
    # As if it had been begun.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sensverify.runs.watch.Watch.over", True)
        assert run(*COMMAND, "--shard", "1/2").exit_code == 3
    done = run(*COMMAND, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
