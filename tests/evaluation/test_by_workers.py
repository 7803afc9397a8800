"""An evaluation by workers of their own: the rows of one process, whoever dies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sensverify.bounds.threads import torch_threads
from sensverify.errors import BackendFailure, BadSetting
from sensverify.evaluation.by_workers import do
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.run import evaluate
from sensverify.runs.progress import Progress
from sensverify.runs.ray_workers import Ray
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Here, Processes, Workers
from tests.evaluation.test_shards import FILES, keys, plain, request
from tests.runs.ray_nodes import joined, kill_workers, nodes


@pytest.fixture(autouse=True)
def _with_files(files: Path) -> None:
    FILES[:] = [files]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with nodes(2) as found, joined(found):
        yield found


def check(workers: Workers, tmp_path: Path) -> None:
    """As one process, and every task once."""
    with torch_threads(1):
        single = evaluate(request(tmp_path / "single"))
    told: list[Progress] = []
    found = evaluate(request(tmp_path / "out"), workers=workers, progress=told.append)
    assert plain(found) == plain(single)
    assert len(keys(tmp_path / "out")) == len(set(keys(tmp_path / "out"))) == told[-1].total
    assert sorted(keys(tmp_path / "out")) == sorted(keys(tmp_path / "single"))


def test_here(tmp_path: Path) -> None:
    with torch_threads(1):
        check(Here(), tmp_path)


def test_processes(tmp_path: Path) -> None:
    check(Processes(1, threads=1, reuse=True), tmp_path)


def test_ray_and_a_worker_that_is_killed(cluster: Any, tmp_path: Path) -> None:
    with torch_threads(1):
        single = evaluate(request(tmp_path / "single"))
    killed: list[int] = []

    def disturb(state: Progress) -> None:
        # Tasks are short: none need be in hand whenever this is called.
        if not killed:
            killed.extend(kill_workers(1))

    found = evaluate(request(tmp_path / "out"), workers=Ray(), progress=disturb)
    assert killed
    assert plain(found) == plain(single)
    assert sorted(keys(tmp_path / "out")) == sorted(keys(tmp_path / "single"))


def test_a_stop_leaves_the_rest_for_later(tmp_path: Path) -> None:
    watch, out = Watch(), tmp_path / "out"

    def stop(state: Progress) -> None:
        if state.done == 5:
            watch.stop()

    with torch_threads(1):
        part = evaluate(request(out), workers=Here(), watch=watch, progress=stop)
        assert part.interrupted
        whole = evaluate(request(out, resume=True), workers=Here())
        assert plain(whole) == plain(evaluate(request(tmp_path / "single")))
    assert len(keys(out)) == len(set(keys(out)))


def test_objects_are_not_sent() -> None:
    with pytest.raises(BadSetting, match="one is an object"):
        evaluate(nn.Linear(4, 3), torch.zeros(2, 4), torch.zeros(2).long(), workers=Here())
    asked = EvaluateRequest(models=("iris",), measures=(lambda model: 1.0,))
    with pytest.raises(BadSetting, match="cannot have what the request holds"):
        evaluate(asked, workers=Here())


def test_other_files_are_noticed(tmp_path: Path) -> None:
    asked = replace(request(tmp_path), out=None)
    data = {"request": asked, "part": 0, "key": "another", "name": "a: clean/test"}
    with pytest.raises(BackendFailure, match="other files"):
        do(data, Watch(), lambda share: None)
