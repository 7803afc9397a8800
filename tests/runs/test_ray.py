"""Workers on a Ray cluster: a row for each task, whatever becomes of workers and nodes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sensverify.errors import BackendFailure, BadData
from sensverify.runs.ray_workers import Ray
from sensverify.runs.watch import TimeUp, Watch
from sensverify.runs.workers import Ended, Task
from tests.runs.ray_nodes import ROOM, joined, nodes
from tests.runs.tasks import task
from tests.runs.test_workers import alive, ends, until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        # Where the tasks of tests are found, by the nodes too.
        patch.setenv("PYTHONPATH", str(ROOT))
        with nodes(2) as found, joined(found):
            yield found


@pytest.fixture(autouse=True)
def _tasks_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@contextmanager
def when(true: Callable[[], bool], act: Callable[[], None]) -> Iterator[None]:
    """Meanwhile, something is done as soon as something is true."""

    def wait() -> None:
        until(true)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


def test_rows_refusals_and_defects_come_back_from_actors_that_stay(
    cluster: Any, tmp_path: Path
) -> None:
    heard: list[tuple[str, float]] = []
    go = tmp_path / "go"
    tasks = [task(str(n), "wait_for", file=str(tmp_path / str(n)), go=str(go)) for n in range(6)]
    workers = Ray(cluster.address)
    found = {}
    with when(lambda: len(list(tmp_path.iterdir())) == 2, go.touch):
        for each in workers.run(
            [*tasks, task("bad", "refuse"), task("wrong", "defect")],
            Watch(),
            lambda task, share: heard.append((task.key, share)),
        ):
            assert each.task.key not in found
            found[each.task.key] = each
    # One actor for each CPU, that does one task after another.
    processes = [(found[str(number)].row or {})["process"] for number in range(6)]
    assert len(set(processes)) == 2
    assert os.getpid() not in processes
    assert (found["0"].task.key, found["0"].error) == ("0", None)
    assert ("0", 0.5) in heard
    error = found["bad"].error
    assert isinstance(error, BadData)
    assert (error.problem, error.remedy) == ("the data are bad", "give better data")
    assert "ZeroDivisionError: of the program" in str(found["wrong"].error)


def test_a_worker_that_is_killed_costs_nothing(cluster: Any, tmp_path: Path) -> None:
    """Its task is done again by another one."""
    file = tmp_path / "first"
    tasks = [task("a", "die_once", file=str(file)), *(task(str(n), number=n) for n in range(3))]
    found = ends(Ray(cluster.address), *tasks)
    assert {key: each.error for key, each in found.items()} == dict.fromkeys("a012")
    assert (found["a"].row or {})["process"] != int(file.read_text())


def test_a_task_that_always_dies_is_given_up(cluster: Any) -> None:
    found = ends(Ray(cluster.address, retries=1), task("a", "die"), task("b", number=1))
    assert isinstance(found["a"].error, BackendFailure)
    assert "its worker died 2 times" in str(found["a"].error)
    assert (found["b"].row or {})["twice"] == 2


def test_a_node_that_is_lost_costs_nothing(cluster: Any, tmp_path: Path) -> None:
    """Its task goes to another node, which goes on with what is on the common disk."""
    node = cluster.add_node(num_cpus=1, object_store_memory=ROOM)
    files = [tmp_path / str(number) for number in range(3)]
    tasks = [
        task(str(n), "wait_for", file=str(files[n]), go=str(tmp_path / "go")) for n in range(3)
    ]
    found: dict[str, Ended] = {}

    def lose() -> None:
        cluster.remove_node(node, allow_graceful=False)
        until(lambda: not all(alive(int(file.read_text().split()[0])) for file in files))
        (tmp_path / "go").touch()

    with when(lambda: all(file.exists() for file in files), lose):
        for each in Ray(cluster.address).run(tasks, Watch(), lambda *_: None):
            assert each.task.key not in found
            found[each.task.key] = each
    assert [found[str(n)].error for n in range(3)] == [None] * 3
    # The one that was lost was begun twice.
    assert sorted(len(file.read_text().split()) for file in files) == [1, 1, 2]


def test_what_hangs_is_ended(cluster: Any, tmp_path: Path) -> None:
    file = tmp_path / "processes"
    workers = Ray(cluster.address, count=1, grace=0.1)
    found = ends(workers, task("a", "hang", file=str(file), seconds=2.0), task("b", number=1))
    assert isinstance(found["a"].error, TimeUp)
    assert (found["b"].row or {})["twice"] == 2


def test_a_stop_is_heard_and_waited_for(cluster: Any, tmp_path: Path) -> None:
    watch, told = Watch(), []
    tasks = [task(str(n), "wait", file=str(tmp_path / str(n)), row=n == 0) for n in range(4)]

    def report(task: Task, share: float) -> None:
        told.append(share)
        if share == 0.25 and all((tmp_path / str(n)).exists() for n in range(2)):
            watch.stop()

    found = {each.task.key: each for each in Ray(cluster.address).run(tasks, watch, report)}
    assert set(found) == {"0", "1"}
    assert (found["0"].row, found["0"].error) == ({"late": True}, None)
    assert (found["1"].row, found["1"].error) == (None, None)
    assert all((tmp_path / str(n)).read_text() == "stopped" for n in range(2))


def test_workers_share_what_they_need(cluster: Any, tmp_path: Path) -> None:
    """Two on each node, where a worker takes half of a CPU."""
    go = tmp_path / "go"
    tasks = [task(str(n), "wait_for", file=str(tmp_path / str(n)), go=str(go)) for n in range(4)]
    with when(lambda: len(list(tmp_path.iterdir())) == 4, go.touch):
        found = ends(Ray(cluster.address, cpus=0.5), *tasks)
    assert len({(each.row or {})["process"] for each in found.values()}) == 4


def test_a_folder_that_a_node_has_not(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensverify.runs.ray_workers.os.getcwd", lambda: "/nowhere/at/all")
    with pytest.raises(BackendFailure, match=r"cannot work in '/nowhere/at/all'.*common file"):
        ends(Ray(cluster.address), task("a", number=1))


def test_tasks_that_no_node_knows(cluster: Any) -> None:
    with pytest.raises(BackendFailure, match=r"No module named 'tests\.runs\.nowhere'"):
        ends(Ray(cluster.address), Task("a", "tests.runs.nowhere:nothing"))


def test_nobody_has_room(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensverify.runs.ray_workers.START", 1.0)
    with pytest.raises(BackendFailure, match=r"had 1 CPUs and 0\.5 GPUs for a worker within 1 s"):
        ends(Ray(cluster.address, gpus=0.5), task("a", number=1))
