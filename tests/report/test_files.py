"""Files are whole or not there, and never overwritten unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensverify.errors import InputError
from sensverify.report.files import check_targets, write_text


def test_writes(tmp_path: Path) -> None:
    check_targets([tmp_path / "a"], force=False)
    write_text(tmp_path / "a", "é", force=False)
    assert (tmp_path / "a").read_text(encoding="utf-8") == "é"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_refuses_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(InputError, match="not overwritten"):
        check_targets([tmp_path / "a"], force=False)
    # It may also appear while the bounds are computed.
    with pytest.raises(InputError, match="cannot write"):
        write_text(tmp_path / "a", "new", force=False)
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_force(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    check_targets([tmp_path / "a"], force=True)
    write_text(tmp_path / "a", "new", force=True)
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
    write_text(longest, "text", force=False)
    assert longest.read_text() == "text"
    with pytest.raises(InputError, match="cannot write"):
        check_targets([tmp_path / ("a" * 256)], force=False)


def test_text_from_a_file_name_that_is_no_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "\udcff", force=False)
    assert (tmp_path / "a").read_text() == "\\udcff"
