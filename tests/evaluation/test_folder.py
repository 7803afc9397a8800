"""The folder of an evaluation refuses what does not belong to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sensverify.errors import InputError
from sensverify.evaluation.folder import ASKED, JOURNAL, Finished, Journal
from sensverify.evaluation.results import MeasureRow

DECIDING: dict[str, Any] = {"data": {"name": "mnist", "test_sha256": "1"}, "seed": 0, "clip": None}
DONE = Finished(
    row=MeasureRow(measure="l2", value=0.1, error=None, samples=None, note="", seconds=1.0),
    beyond=(3,),
)


def fill(folder: Path) -> None:
    with Journal(folder, DECIDING, resume=False) as journal:
        journal.add("key", "net: measure/l2", DONE)


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    fill(tmp_path / "out")
    with Journal(tmp_path / "out", DECIDING, resume=True) as journal:
        assert journal.get("key") == DONE
        assert journal.get("other") is None


def test_without_a_folder_cells_live_as_long_as_the_process() -> None:
    with Journal(None, DECIDING, resume=False) as journal:
        journal.add("key", "", DONE)
        assert journal.get("key") is DONE


def test_resuming_what_is_not_there_begins_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "out", DECIDING, resume=True) as journal:
        assert journal.get("key") is None


@pytest.mark.parametrize("kept", [1, 10, 50])
def test_a_line_that_was_cut_off_is_forgotten(tmp_path: Path, kept: int) -> None:
    out = tmp_path / "out"
    fill(out)
    whole = (out / JOURNAL).read_bytes()
    (out / JOURNAL).write_bytes(whole + whole[:kept])
    with Journal(out, DECIDING, resume=True) as journal:
        assert journal.get("key") == DONE
    assert (out / JOURNAL).read_bytes() == whole


def refused(folder: Path, deciding: dict[str, Any], *, resume: bool, message: str) -> None:
    with pytest.raises(InputError, match=message), Journal(folder, deciding, resume=resume):
        pass


def test_a_folder_in_use_or_filled(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out)
    refused(out, DECIDING, resume=False, message="--resume")
    with Journal(out, DECIDING, resume=True):
        refused(out, DECIDING, resume=True, message="another process")
    (tmp_path / "mine.txt").write_text("")
    refused(tmp_path, DECIDING, resume=True, message="holds no evaluation")
    refused(tmp_path / "mine.txt" / "out", DECIDING, resume=False, message="cannot write")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"clip": [0.0, 1.0]}, "clip is None there"),
        ({"data": {"name": "mnist", "test_sha256": "2"}}, "the data test is another one"),
    ],
)
def test_another_setting_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    fill(tmp_path / "out")
    refused(tmp_path / "out", DECIDING | changes, resume=True, message=message)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "sensverify.study/1"}'])
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    fill(out)
    (out / ASKED).write_text(text)
    refused(out, DECIDING, resume=True, message=ASKED)


@pytest.mark.parametrize("line", ["nonsense\n", "[]\n", '{"key": "a"}\n', '{"row": {}}\n'])
def test_a_damaged_line(tmp_path: Path, line: str) -> None:
    out = tmp_path / "out"
    fill(out)
    with (out / JOURNAL).open("a") as stream:
        stream.write(line)
    refused(out, DECIDING, resume=True, message="line 2")
