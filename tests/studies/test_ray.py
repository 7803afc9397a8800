"""A study on two nodes of a Ray cluster, of which a worker is killed: the table of one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sensverify.runs.progress import Progress
from sensverify.runs.ray_workers import Ray
from sensverify.runs.watch import Watch
from sensverify.studies.entries import read_entries
from sensverify.studies.files import parse_study
from sensverify.studies.run import run_study
from sensverify.studies.study import Study
from tests.runs.ray_nodes import joined, kill_workers, nodes
from tests.studies.conftest import TINY
from tests.studies.test_shards import tables, weights


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with nodes(2) as found, joined(found):
        yield found


@pytest.fixture(scope="module")
def longer() -> Study:
    """Long enough to be met in the middle."""
    settings = TINY["settings"] | {"epochs": 200, "metric_samples": 0}
    return parse_study(TINY | {"settings": settings})


@pytest.fixture(scope="module")
def whole(longer: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "out"
    run_study(longer, folder)
    return folder


@pytest.mark.slow
def test_a_killed_worker_and_a_stop_change_nothing(
    cluster: Any, longer: Study, whole: Path, tmp_path: Path
) -> None:
    out, killed, watch = tmp_path / "out", [], Watch()

    def disturb(state: Progress) -> None:
        if not killed and any(0 < share < 1 for share in state.running.values()):
            killed.extend(kill_workers(1))
        elif killed and state.done:
            watch.stop()

    first = run_study(longer, out, workers=Ray(), progress=disturb, watch=watch)
    assert killed
    assert not first.complete
    again = run_study(longer, out, workers=Ray(), resume=True)
    assert again.complete
    assert weights(out) == weights(whole)
    assert tables(out) == tables(whole)
    keys = [entry.key for entry in read_entries(out)]
    assert sorted(keys) == sorted(each.key for each in longer.trainings)
    assert len((out / "journal.jsonl").read_text().splitlines()) == len(keys)
