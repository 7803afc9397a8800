"""Running a landscape: nothing overwritten, and the same database however often it is stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sensverify.errors import BadSetting, InputError
from sensverify.landscape import Landscape, LandscapeRequest, Search, Settings, run_landscape
from sensverify.landscape.folder import JOURNAL
from sensverify.landscape.relu import Continuation, shortest_combination
from sensverify.landscape.saddles import Climb
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Ended, Here, Task
from tests.test_layers import ROOT

REQUEST = LandscapeRequest(
    data="iris",
    model="mlp-2",
    activation="softplus(beta=5)",
    standardise=True,
    l2=0.01,
    relu=True,
    settings=Settings(
        search=Search(starts=4, batch=2, rounds=1, climbs=2),
        climb=Climb(steps=30),
        relu=Continuation(last=1e3, steps=100, gradients=20, polish=1),
    ),
)


class Backwards:
    """Does the last task first, and stops after some."""

    def __init__(self, count: int) -> None:
        self._count = count

    def run(
        self, tasks: Iterable[Task], watch: Watch, report: Callable[[Task, float], None]
    ) -> Generator[Ended, None, None]:
        for ended in Here().run(list(tasks)[::-1], watch, report):
            if self._count == 0:
                return
            self._count -= 1
            yield ended

    def stop(self) -> None:
        self._count = 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("landscape") / "out"
    assert run_landscape(REQUEST, out).complete
    return out


def same(first: Landscape, second: Landscape) -> bool:
    ours, theirs = first.database.points, second.database.points
    links = [(link.saddle, link.minima) for link in first.database.links]
    return (
        list(ours) == list(theirs)
        and all(np.array_equal(ours[key].weights, theirs[key].weights) for key in ours)
        and links == [(link.saddle, link.minima) for link in second.database.links]
        and first.database.seen == second.database.seen
    )


def test_a_folder_is_read_as_it_was_found(folder: Path) -> None:
    found = Landscape.read(folder)
    assert found.complete
    assert found.request == REQUEST
    assert found.database.minima
    for point in found.database.points.values():
        values, gradients = found.energy.gradient(torch.tensor(point.weights)[None])
        assert float(values[0]) == pytest.approx(point.energy, abs=1e-12)
        assert float(gradients[0].norm()) <= 1e-8
    assert all(point.negative == 1 for point in found.database.saddles)
    assert all(point.relu is not None for point in found.database.minima)


def test_ends_are_those_of_the_relu_network(folder: Path) -> None:
    found = Landscape.read(folder)
    for point in found.database.minima:
        assert point.relu is not None
        module = found.module(point.key)
        outputs = module(found.energy.inputs)
        y = torch.tensor(found.split.train.y)
        loss = torch.nn.functional.cross_entropy(outputs, y)
        penalty = 0.01 * sum(p.square().sum() for p in module.parameters())
        assert (loss + penalty).item() == pytest.approx(point.relu.energy, abs=1e-9)
        assert point.relu.passed == (point.relu.stationarity <= 1e-3)


def test_stopped_and_resumed_in_another_order_it_is_the_same(folder: Path, tmp_path: Path) -> None:
    whole, out = Landscape.read(folder), tmp_path / "out"
    for count in (1, 1, 2, 9):
        resume = out.exists()
        found = run_landscape(REQUEST, out, resume=resume, workers=Backwards(count))
    while not found.complete:
        found = run_landscape(REQUEST, out, resume=True)
    assert same(whole, found)


def test_a_killed_run_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_landscape(REQUEST, out, workers=Backwards(2))
    with (out / JOURNAL).open("ab") as stream:
        # As a process leaves it that dies while it writes.
        stream.write(b'{"key": "starts-0-')
    assert same(Landscape.read(folder), run_landscape(REQUEST, out, resume=True))


SLOWLY = """
import sys, time
from pathlib import Path

from sensverify.landscape import run_landscape
from tests.landscape.test_run import REQUEST

run_landscape(REQUEST, Path(sys.argv[1]), progress=lambda state: time.sleep(0.2))
"""


def test_a_process_that_is_killed_in_the_midst_of_it_loses_only_the_task_in_hand(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", SLOWLY, out]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})
    until = time.monotonic() + 120
    while not (out / JOURNAL).exists() or not (out / JOURNAL).read_bytes().count(b"\n"):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    kept = (out / JOURNAL).read_bytes()
    assert not Landscape.read(out).complete
    assert same(Landscape.read(folder), run_landscape(REQUEST, out, resume=True))
    assert (out / JOURNAL).read_bytes().startswith(kept[: kept.rindex(b"\n") + 1])


def test_jobs_change_nothing(tmp_path: Path) -> None:
    request = replace(REQUEST, relu=False)
    one, two = (run_landscape(request, tmp_path / str(jobs), jobs=jobs) for jobs in (1, 2))
    assert two.complete
    assert same(one, two)


def test_a_watch_that_is_over_keeps_nothing_half(tmp_path: Path) -> None:
    watch = Watch()
    watch.stop()
    found = run_landscape(REQUEST, tmp_path / "out", watch=watch)
    assert not found.complete
    assert not found.database.points


def test_another_landscape_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="already"):
        run_landscape(REQUEST, folder)
    other = LandscapeRequest.of(
        {**REQUEST.as_dict(), "landscape": {**REQUEST.as_dict()["landscape"], "l2": 0.5}}
    )
    with pytest.raises(InputError, match="l2"):
        run_landscape(other, folder, resume=True)
    with pytest.raises(BadSetting):
        run_landscape(REQUEST, folder, resume=True, jobs=0)


def test_a_network_that_is_too_large_begins_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="7,123 weights are too many"):
        run_landscape(replace(REQUEST, model="mlp-80-80"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_no_landscape(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no landscape"):
        Landscape.read(tmp_path)


def test_the_shortest_combination_is_that_of_the_plane() -> None:
    for rows, wanted in (
        ([[1, 2], [1, -2], [3, 0]], [1, 0]),
        ([[1, 2], [-1, -2], [3, 0]], [0, 0]),
        ([[2, 2], [4, 0]], [2, 2]),
        ([[0.5, 0.25]], [0.5, 0.25]),
    ):
        found = shortest_combination(torch.tensor(rows, dtype=torch.float64))
        torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))
