"""What a run keeps is whole after a kill, and is compared key by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensverify.errors import InputError
from sensverify.runs.files import JsonLines, differences, read_lines, replace_file


def test_a_line_without_its_end_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with JsonLines(path, "study") as journal:
        journal.add({"a": 1})
    path.write_bytes(path.read_bytes() + b'{"a": 2')
    assert read_lines(path, "study") == [{"a": 1}]
    with JsonLines(path, "study") as journal:
        assert journal.lines == [{"a": 1}]
        journal.add({"a": 3})
    assert read_lines(path, "study") == [{"a": 1}, {"a": 3}]


@pytest.mark.parametrize("line", ["1", "[]", "{", "null"])
def test_what_is_no_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(f'{{"a": 1}}\n{line}\n')
    with pytest.raises(InputError, match="line 2, is no line of the journal of a study"):
        read_lines(path, "study")
    with pytest.raises(InputError, match="line 2"), JsonLines(path, "study"):
        pass


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with JsonLines(path, "study"), pytest.raises(InputError, match="another process"):
        JsonLines(path, "study").__enter__()
    with JsonLines(path, "study") as journal:
        assert journal.lines == []


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


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
