"""Files are whole or not there, and never overwritten unasked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sensverify.errors import InputError
from sensverify.runs.outputs import Kind, check_folder, check_targets, write_files, write_folder


def test_writes(tmp_path: Path) -> None:
    check_targets([tmp_path / "a"], force=False)
    write_files({tmp_path / "a": "é"}, force=False)
    assert (tmp_path / "a").read_text(encoding="utf-8") == "é"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_files({tmp_path / "a": b"\x00\n\xff", tmp_path / "b": "text\n"}, force=False)
    assert (tmp_path / "a").read_bytes() == b"\x00\n\xff"
    assert (tmp_path / "b").read_text() == "text\n"


def test_refuses_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(InputError, match="not overwritten"):
        check_targets([tmp_path / "a"], force=False)
    # It may also appear while the bounds are computed.
    with pytest.raises(InputError, match="cannot write"):
        write_files({tmp_path / "a": "new"}, force=False)
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_force(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    check_targets([tmp_path / "a"], force=True)
    write_files({tmp_path / "a": "new"}, force=True)
    assert (tmp_path / "a").read_text() == "new"


def test_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        check_targets([tmp_path], force=True)


def test_one_file_under_two_names(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    same = [tmp_path / "a", tmp_path / "folder" / ".." / "a"]
    with pytest.raises(InputError, match="two different outputs"):
        check_targets(same, force=True)


def test_names_as_long_as_they_can_be(tmp_path: Path) -> None:
    longest = tmp_path / ("a" * 255)
    check_targets([longest], force=False)
    write_files({longest: "text"}, force=False)
    assert longest.read_text() == "text"
    with pytest.raises(InputError, match="cannot write"):
        check_targets([tmp_path / ("a" * 256)], force=False)


def test_text_from_a_file_name_that_is_no_utf8(tmp_path: Path) -> None:
    write_files({tmp_path / "a": "\udcff"}, force=False)
    assert (tmp_path / "a").read_text() == "\\udcff"


@pytest.mark.parametrize("force", [False, True])
def test_all_files_or_none(tmp_path: Path, force: bool) -> None:
    (tmp_path / "taken").mkdir()
    texts = {tmp_path / "a": "new", tmp_path / "taken": "new"}
    with pytest.raises(InputError, match="cannot write"):
        write_files(texts, force=force)
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, calls = os.replace, []

    def interrupted(*names: Path) -> None:
        calls.append(names)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(*names)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_files({tmp_path / "a": "new", tmp_path / "b": "new"}, force=False)
    assert not list(tmp_path.iterdir())


def test_an_old_file_stays_when_the_other_cannot_be_drafted(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(InputError, match="cannot write"):
        write_files({tmp_path / "a": "new", tmp_path / "gone" / "b": "new"}, force=True)
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_what_is_read_is_never_overwritten(tmp_path: Path, link: str) -> None:
    given = tmp_path / "net.onnx"
    given.write_text("precious")
    getattr(tmp_path / "other", link)(given)
    for target in (given, tmp_path / "other", tmp_path / ".." / tmp_path.name / "net.onnx"):
        with pytest.raises(InputError, match="what this run reads"):
            check_targets([target], inputs=[given], force=True)
    check_targets([tmp_path / "new"], inputs=[given, tmp_path / "missing"], force=True)


def test_a_folder_that_cannot_be_filled_keeps_what_it_has(tmp_path: Path) -> None:
    ours = Kind(lambda name: name.endswith(".x"), lambda path: True)
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "old.x").write_text("old")
    (folder / "b.x").write_text("old")
    for where in (folder, tmp_path / "new"):
        contents = {"a.x": "new", "none/b.x": "new"}
        with pytest.raises(InputError):
            write_folder(where, contents, ours, force=True)
    assert (folder / "old.x").read_text() == "old"
    assert {path.name for path in folder.iterdir()} == {"old.x", "b.x"}
    assert not (tmp_path / "new").exists()


def test_nothing_makes_no_folder_and_takes_the_place_of_earlier_files(tmp_path: Path) -> None:
    ours = Kind(lambda name: True, lambda path: True)
    write_folder(tmp_path / "new", {}, ours, force=False)
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").write_text("old")
    with pytest.raises(InputError, match="not overwritten"):
        check_folder(tmp_path, ours, force=False)
    check_folder(tmp_path, ours, force=True)
    write_folder(tmp_path, {}, ours, force=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["another's", "a folder", "a link"])
def test_what_no_earlier_run_has_made_is_not_replaced(tmp_path: Path, there: str) -> None:
    ours = Kind(lambda name: name.endswith(".x"), lambda path: path.read_text() == "made")
    folder, place = tmp_path / "there", tmp_path / "there" / "b.x"
    folder.mkdir()
    (folder / "a.x").write_text("made")
    if there == "another's":
        place.write_text("mine")
    elif there == "a folder":
        place.mkdir()
    else:
        place.symlink_to(folder / "a.x")
    with pytest.raises(InputError, match=r"b\.x.*no file of an earlier run"):
        check_folder(folder, ours, force=True)
    with pytest.raises(InputError, match=r"b\.x.*no file of an earlier run"):
        write_folder(folder, {"a.x": "new"}, ours, force=True)
    assert (folder / "a.x").read_text() == "made"
    assert {path.name for path in folder.iterdir()} == {"a.x", "b.x"}
