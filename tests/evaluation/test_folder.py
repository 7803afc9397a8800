"""The folder of an evaluation keeps its tasks, and refuses what does not belong to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sensverify.errors import InputError
from sensverify.evaluation.folder import JOURNAL, FinishedTask, open_evaluation
from sensverify.evaluation.results import MeasureRow

DECIDING: dict[str, Any] = {"data": {"name": "mnist", "test_sha256": "1"}, "seed": 0, "clip": None}
DONE = FinishedTask(
    row=MeasureRow(measure="l2", value=0.1, error=None, samples=None, note="", seconds=1.0),
    certainly_wrong=(3,),
)


def fill(folder: Path) -> None:
    with open_evaluation(folder, DECIDING, resume=False) as found:
        found.add("key", "net: measure/l2", DONE)


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    fill(tmp_path / "out")
    with open_evaluation(tmp_path / "out", DECIDING, resume=True) as found:
        assert found.get("key") == DONE
        assert found.get("other") is None


def test_without_a_folder_cells_live_as_long_as_the_process() -> None:
    with open_evaluation(None, DECIDING, resume=False) as found:
        found.add("key", "", DONE)
        assert found.get("key") is DONE


def refused(folder: Path, deciding: dict[str, Any], *, message: str) -> None:
    with pytest.raises(InputError, match=message), open_evaluation(folder, deciding, resume=True):
        pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed is 0 there and 1 now"),
        ({"clip": [0.0, 1.0]}, "clip is None there"),
        ({"data": {"name": "mnist", "test_sha256": "2"}}, "data.test is another one"),
    ],
)
def test_another_setting_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    fill(tmp_path / "out")
    refused(tmp_path / "out", DECIDING | changes, message=message)


@pytest.mark.parametrize("line", ["[]\n", '{"key": "a"}\n', '{"row": {}}\n'])
def test_a_damaged_line(tmp_path: Path, line: str) -> None:
    out = tmp_path / "out"
    fill(out)
    with (out / JOURNAL).open("a") as stream:
        stream.write(line)
    refused(out, DECIDING, message="line 2")
