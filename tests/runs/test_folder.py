"""The folder of a run is begun once, gone on with by who asks the same, and else left as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sensverify.errors import BadCheckpoint, InputError
from sensverify.runs.folder import RunFolder, differences

ASKED: dict[str, Any] = {"data": "iris", "seed": 0}


def run_folder(path: Path) -> RunFolder:
    return RunFolder(path, "study", "study.json", "test/1", ("result.json",), BadCheckpoint)


def begin(path: Path) -> RunFolder:
    run = run_folder(path)
    with run.open(resume=False) as kept:
        assert kept is None
        run.write(ASKED | {"machine": "here"})
    return run


def refused(path: Path, *, resume: bool, words: str) -> None:
    before = {each.name: each.read_bytes() for each in path.iterdir() if each.is_file()}
    with pytest.raises(InputError, match=words), run_folder(path).open(resume=resume):
        pass
    assert before == {each.name: each.read_bytes() for each in path.iterdir() if each.is_file()}


def test_it_is_gone_on_with(tmp_path: Path) -> None:
    run = begin(tmp_path / "new" / "out")
    with run.open(resume=True) as kept:
        assert kept == ASKED | {"machine": "here"}
        run.compare(kept, ASKED)
    assert run.read() == kept
    assert json.loads((run.path / "study.json").read_text())["schema"] == "test/1"


def test_resuming_where_nothing_is_begins(tmp_path: Path) -> None:
    with run_folder(tmp_path / "out").open(resume=True) as kept:
        assert kept is None
    assert run_folder(tmp_path / "out").read() is None


def test_a_run_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    begin(tmp_path)
    refused(tmp_path, resume=False, words="holds a study already.*`resume`")


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["letter.txt", ".film.mkv.part", ".letter.txt.12.part"])
def test_something_else_is_left_alone(tmp_path: Path, name: str, resume: bool) -> None:
    (tmp_path / name).write_text("mine")
    refused(tmp_path, resume=resume, words=f"not empty and holds no study.*{name}")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "test/2"}', "[" * 9999])
def test_a_damaged_record(tmp_path: Path, text: str) -> None:
    begin(tmp_path)
    (tmp_path / "study.json").write_text(text)
    for resume in (False, True):
        refused(tmp_path, resume=resume, words=r"study\.json")
    with pytest.raises(BadCheckpoint):
        run_folder(tmp_path).read()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    run = begin(tmp_path)
    with run.open(resume=True):
        (tmp_path / ".result.json.77.part").write_text("half of it")
        for resume in (False, True):
            refused(tmp_path, resume=resume, words="another process")
    with run.open(resume=True):
        pass


def test_drafts_of_its_own_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".study.json.12.part").write_text("{")
    run = begin(tmp_path)
    others = [tmp_path / ".film.mkv.part", tmp_path / ".notes.txt.12.part"]
    for path in (*others, tmp_path / ".result.json.12.part"):
        path.write_text("x")
    with run.open(resume=True):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "study.json"])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="cannot write"),
        run_folder(tmp_path / "file" / "out").open(resume=False),
    ):
        pass


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "another study: seed is 0 there and 1 now"),
        ({"data": None}, "data is 'iris' there and None now"),
        ({"more": 1}, "more is None there and 1 now"),
        ({"data_sha256": "1"}, "data is another one"),
        (dict.fromkeys("abcde", 1), "; c is None there and 1 now and 2 more; resume with"),
    ],
)
def test_differences_are_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    run = run_folder(tmp_path)
    with pytest.raises(BadCheckpoint, match=words):
        run.compare(ASKED, ASKED | changes)
    run.compare(ASKED, ASKED | changes, free=list(changes))


def test_differences_are_found_key_by_key() -> None:
    there = {"a": 1, "b": {"c": 2, "d": [1]}, "e": {"f": 0}}
    now = {"a": 1, "b": {"c": 3, "d": [1, 2]}, "e": 5, "g": None, "h": 6}
    assert list(differences(there, there)) == []
    assert list(differences(there, now)) == [
        (("b", "c"), 2, 3),
        (("b", "d"), [1], [1, 2]),
        (("e",), {"f": 0}, 5),
        (("h",), None, 6),
    ]
    assert list(differences(1, 2, "part")) == [(("part",), 1, 2)]


def test_entries_with_names_are_compared_by_name() -> None:
    one, two = {"name": "a", "x": 1}, {"name": "b", "x": 1}
    assert list(differences([one, two], [one, two | {"x": 2}], "runs")) == [
        (("runs", "'b'", "x"), 1, 2)
    ]
    assert list(differences([one, two], [one])) == [((), ["a", "b"], ["a"])]
    assert list(differences([one, 3], [one])) == [((), [one, 3], [one])]
