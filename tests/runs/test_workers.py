"""Workers: a row for each task, whatever becomes of the process that does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sensverify.errors import BackendFailure, BadData
from sensverify.runs.watch import TimeUp, Watch
from sensverify.runs.workers import Ended, Here, Processes, Task, Workers
from tests.runs.tasks import task

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _tasks_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # Processes get the path of modules from here, and `pytest` alone has not this folder on it.
    monkeypatch.syspath_prepend(str(ROOT))


def quiet(task: Task, share: float) -> None: ...


def ends(workers: Workers, *tasks: Task, watch: Watch | None = None) -> dict[str, Ended]:
    return {each.task.key: each for each in workers.run(tasks, watch or Watch(), quiet)}


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("workers", [Here(), Processes(2, reuse=True)], ids=["here", "processes"])
def test_rows_and_refusals_come_back(workers: Workers) -> None:
    heard: list[tuple[str, float]] = []
    tasks = [task(str(number), number=number) for number in range(4)]
    found = {
        each.task.key: each
        for each in workers.run(
            [*tasks, task("bad", "refuse")],
            Watch(),
            lambda task, share: heard.append((task.key, share)),
        )
    }
    rows = [(found[each.key].row or {})["twice"] for each in tasks]
    assert rows == [0, 2, 4, 6]
    error = found["bad"].error
    assert isinstance(error, BadData)
    assert (error.problem, error.remedy) == ("the data are bad", "give better data")
    assert found["bad"].row is None
    assert ("0", 0.5) in heard


def test_processes_are_kept_or_not() -> None:
    tasks = [task(str(number), number=number) for number in range(2)]
    for reuse, runs in ((True, {1, 2}), (False, {1})):
        found = ends(Processes(1, reuse=reuse), *tasks)
        assert {(each.row or {})["runs"] for each in found.values()} == runs


def test_processes_are_kept_from_run_to_run_as_long_as_it_is_asked_for() -> None:
    with Processes(2, reuse=True) as workers:
        first = ends(workers, task("0", number=0), task("1", number=1))
        ids = {(each.row or {})["process"] for each in first.values()}
        again = [
            ends(workers, task(str(number), number=number))[str(number)] for number in range(3)
        ]
        assert {(each.row or {})["process"] for each in again} <= ids
        # One that dies meanwhile costs nothing.
        for each in ids:
            os.kill(each, signal.SIGKILL)
            until(lambda each=each: not alive(each))  # type: ignore[misc]
        (row,) = (each.row or {} for each in ends(workers, task("5", number=5)).values())
        assert row["process"] not in ids
    until(lambda: not alive(row["process"]))


def test_a_death_costs_one_task() -> None:
    found = ends(
        Processes(1, reuse=True),
        *(task("before", number=1), task("dies", "die"), task("wrong", "defect")),
        task("after", number=2),
    )
    assert [each.row is None for each in found.values()] == [False, True, True, False]
    assert isinstance(found["dies"].error, BackendFailure)
    assert "its process died (exit code -9; out of memory?)" in str(found["dies"].error)
    assert "ZeroDivisionError: of the program" in str(found["wrong"].error)


def test_what_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    file = tmp_path / "processes"
    found = ends(Processes(1, grace=0.1), task("a", "hang", file=str(file), seconds=2.0))
    assert isinstance(found["a"].error, TimeUp)
    assert 2.0 <= found["a"].seconds < 60
    until(lambda: not any(alive(int(process)) for process in file.read_text().split()))


@pytest.mark.parametrize("row", [False, True])
def test_a_stop_is_heard_and_waited_for(tmp_path: Path, row: bool) -> None:
    watch, told = Watch(), []
    tasks = [task(str(n), "wait", file=str(tmp_path / str(n)), row=row) for n in range(3)]

    def report(task: Task, share: float) -> None:
        told.append(share)
        watch.stop()

    found = list(Processes(1).run(tasks, watch, report))
    assert [each.task.key for each in found] == ["0"]
    assert (found[0].row, found[0].error) == ({"late": True} if row else None, None)
    assert (tmp_path / "0").read_text() == "stopped"
    assert set(told) == {0.25}


def test_a_stop_without_patience_ends_at_once(tmp_path: Path) -> None:
    file = tmp_path / "processes"
    workers = Processes(1, patience=0.0)
    watch = Watch(clock=lambda: time.perf_counter() + (1e6 if file.exists() else 0)).within(1e5)
    assert ends(workers, task("a", "hang", file=str(file)), watch=watch) == {}
    until(lambda: len(file.read_text().split()) == 2)
    until(lambda: not any(alive(int(process)) for process in file.read_text().split()))


def test_who_runs_them_can_stop_them(tmp_path: Path) -> None:
    for workers in (Here(), Processes(1)):
        found = []
        for each in workers.run([task(str(n), number=n) for n in range(3)], Watch(), quiet):
            found.append(each.task.key)
            workers.stop()
        assert found == ["0"]


def test_nobody_asks_a_worker_that_cannot_start() -> None:
    with pytest.raises(BackendFailure, match="died while it started"):
        ends(Processes(1), Task("a", "tests.runs.nowhere:nothing"))


ORPHAN = """
import sys
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Processes
from tests.runs.tasks import task
if __name__ == "__main__":
    list(Processes(1).run([task("a", "wait", file=sys.argv[1])], Watch(), lambda *_: None))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_ends_itself_when_its_parent_is_gone(tmp_path: Path, how: signal.Signals) -> None:
    script, file = tmp_path / "script.py", tmp_path / "file"
    script.write_text(ORPHAN)
    process = subprocess.Popen(
        [sys.executable, script, file], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    until(lambda: file.exists() and file.read_text() != "")
    worker = int(file.read_text())
    # A terminal's signals reach its whole group: the worker waits for what its parent says.
    os.kill(worker, signal.SIGTERM)
    process.send_signal(how)
    assert process.wait(60) == -how
    until(lambda: file.read_text() == "stopped" and not alive(worker))
