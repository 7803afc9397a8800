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
