"""Shards of a study, in any order, killed and resumed: the table of one undisturbed process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sensverify.errors import InputError, InUse
from sensverify.runs.progress import Progress
from sensverify.runs.shards import Shard
from sensverify.runs.watch import Watch
from sensverify.scores.read import read_scores
from sensverify.studies.collect import collect, write_report
from sensverify.studies.entries import read_entries
from sensverify.studies.folder import load_study
from sensverify.studies.run import run_study
from sensverify.studies.study import Study

ROOT = Path(__file__).parents[2]

KILLED = """
import os, signal, sys
from pathlib import Path
from sensverify.runs.shards import Shard
from sensverify.studies.files import parse_study
from sensverify.studies.run import run_study
from tests.studies.conftest import TINY

def kill(state):
    if any(share >= 0.5 for share in state.running.values()):
        os.kill(os.getpid(), signal.SIGKILL)

run_study(parse_study(TINY), Path(sys.argv[1]), shard=Shard(2, 3), progress=kill)
"""


def tables(folder: Path) -> dict[str, bytes]:
    """The tables of a report, byte for byte, and the analyses' view of the study."""
    write_report(folder)
    found = {path.name: path.read_bytes() for path in sorted(folder.glob("report/*.csv"))}
    assert set(found) >= {"table_test.csv", "table_train.csv"}
    return found


def weights(folder: Path) -> dict[str, str]:
    return {
        path.parent.name: json.loads(path.read_text())["weights_sha256"]
        for path in sorted(folder.glob("runs/*/result.json"))
    }


@pytest.fixture(scope="module")
def whole(tiny: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, run by one process that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    run_study(tiny, folder)
    return folder


def test_shards_make_the_same_table(tiny: Study, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.run(
        [sys.executable, "-c", KILLED, out], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert process.returncode == -signal.SIGKILL
    assert read_entries(out) == []
    for number in (3, 1):
        outcome = run_study(tiny, out, shard=Shard(number, 3))
        assert (outcome.left, outcome.complete) == (0, False)
    assert not collect(out).complete
    outcome = run_study(tiny, out, shard=Shard(2, 3), resume=True)
    assert outcome.complete
    assert collect(out).complete
    assert weights(out) == weights(whole)
    assert tables(out) == tables(whole)
    mine, single = read_scores([out]), read_scores([whole])
    assert [each.name for each in mine.networks] == [each.name for each in single.networks]
    # Every training once, in one journal.
    names = [
        each["run"] + str(each["seed"])
        for path in out.glob("shards/*/journal.jsonl")
        for each in map(json.loads, path.read_text().splitlines())
    ]
    assert len(names) == len(set(names)) == len(tiny.trainings)


def test_what_is_missing_is_said(tiny: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_study(tiny, out, shard=Shard(1, 2))
    report = collect(out)
    assert not report.complete
    assert "2 of 4 trainings are not done: base-seed1, sm-seed1" in report.warnings
    assert "shard 2/2 was not begun; it has 2 of 2: base-seed1, sm-seed1" in report.warnings
    # Without a shard the rest is done, and nothing of it twice.
    told: list[Progress] = []
    assert run_study(tiny, out, resume=True, progress=told.append).complete
    assert (told[0].done, told[0].total) == (2, 4)
    assert {each.row.key for each in told if each.row} == {"base-seed1", "sm-seed1"}
    assert len((out / "journal.jsonl").read_text().splitlines()) == 2


def test_a_shard_of_more_than_there_are(tiny: Study, tmp_path: Path) -> None:
    outcome = run_study(tiny, tmp_path / "out", shard=Shard(5, 5))
    assert (outcome.asked, outcome.left, outcome.complete) == (0, 0, False)


def test_shards_stand_beside_each_other_and_nothing_else(tiny: Study, tmp_path: Path) -> None:
    out, stopped = tmp_path / "out", Watch()
    stopped.stop()

    def intrude(state: Progress) -> None:
        assert run_study(tiny, out, shard=Shard(2, 2), watch=stopped, resume=True).left == 2
        for shard, resume in ((Shard(1, 2), True), (None, True)):
            with pytest.raises(InUse):
                run_study(tiny, out, shard=shard, resume=resume)

    assert run_study(tiny, out, shard=Shard(1, 2), progress=intrude).left == 0
    for refused in (
        {"shard": Shard(1, 2)},
        {"shard": Shard(1, 3), "resume": True},
        {},
    ):
        with pytest.raises(InputError):
            run_study(tiny, out, **refused)  # type: ignore[arg-type]


def test_another_plan_is_refused(tiny: Study, tmp_path: Path) -> None:
    out, stopped = tmp_path / "out", Watch()
    stopped.stop()
    run_study(tiny, out, shard=Shard(1, 2), watch=stopped)
    other = replace(tiny, seeds=(0, 1, 2))
    with pytest.raises(InputError, match="holds another study: seeds"):
        run_study(other, out, shard=Shard(2, 2))
    # Of other machines, put together by hand.
    run_study(other, tmp_path / "other", shard=Shard(2, 2), watch=stopped)
    (tmp_path / "other/shards/2-of-2").rename(out / "shards/2-of-2")
    with pytest.raises(InputError, match="is of another plan"):
        collect(out)


def test_threads_are_those_of_who_came_first(tiny: Study, tmp_path: Path) -> None:
    free = replace(
        tiny, runs=tuple(replace(e, settings=replace(e.settings, threads=None)) for e in tiny.runs)
    )
    stopped = Watch()
    stopped.stop()
    for number, cores in ((1, 3), (2, 5)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sensverify.studies.run.cores", lambda cores=cores: cores)
            patch.setattr(
                "sensverify.runs.shards.machine_facts",
                lambda cores=cores: {"processor": f"P{cores}", "cores": cores},
            )
            run_study(free, tmp_path, shard=Shard(number, 2), watch=stopped)
    study, machines = load_study(tmp_path)
    assert {each.settings.threads for each in study.runs} == {3}
    assert [each["cores"] for each in machines] == [3, 5]
