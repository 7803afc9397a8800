"""A journal is only ever added to, goes on after a kill, and is read with suspicion."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sensverify.errors import BadData, InputError
from sensverify.runs import journal as module
from sensverify.runs.journal import Journal, RowType, read_journal

JSON = RowType[dict[str, Any]]("study", dict, lambda values: {"a": values["a"]})


def _numbers(cells: Mapping[str, str]) -> dict[str, Any]:
    return {"a": int(cells["a"]), "b": cells["b"]}


CSV = RowType[dict[str, Any]]("study", dict, _numbers, columns=("a", "b"))
TYPES = pytest.mark.parametrize("rows", [JSON, CSV], ids=["json", "csv"])


def row(number: int, rows: RowType[dict[str, Any]] = JSON) -> dict[str, Any]:
    return {"a": number} | ({"b": 'text, "quoted"\nand more'} if rows is CSV else {})


def write(path: Path, rows: RowType[dict[str, Any]], *numbers: int) -> bytes:
    with Journal(path, rows) as journal:
        for number in numbers:
            journal.add(row(number, rows))
    return path.read_bytes()


@TYPES
def test_rows_are_there_again(tmp_path: Path, rows: RowType[dict[str, Any]]) -> None:
    path = tmp_path / "journal"
    assert read_journal(path, rows) == []
    write(path, rows, 1, 2)
    assert read_journal(path, rows) == [row(1, rows), row(2, rows)]
    with Journal(path, rows) as journal:
        assert journal.rows == [row(1, rows), row(2, rows)]
        journal.add(row(3, rows), sync=False)
        assert journal.rows == read_journal(path, rows)


@TYPES
def test_killed_at_any_byte_it_goes_on(tmp_path: Path, rows: RowType[dict[str, Any]]) -> None:
    whole = write(tmp_path / "whole", rows, 1, 2, 3)
    path = tmp_path / "torn"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        there = [each["a"] for each in read_journal(path, rows)]
        assert there == [1, 2, 3][: len(there)]
        assert write(path, rows, *[1, 2, 3][len(there) :]) == whole


@TYPES
def test_rows_can_be_forgotten(tmp_path: Path, rows: RowType[dict[str, Any]]) -> None:
    path = tmp_path / "journal"
    write(path, rows, 1, 2, 3)
    with Journal(path, rows) as journal:
        journal.cut(9)
        journal.cut(2)
        journal.add(row(4, rows))
        journal.cut(3)
    assert [each["a"] for each in read_journal(path, rows)] == [1, 2, 4]
    with Journal(path, rows) as journal:
        journal.cut(0)
    assert path.read_bytes() == (b"a,b\n" if rows is CSV else b"")


def test_a_csv_table_as_it_stands(tmp_path: Path) -> None:
    numbers = RowType[dict[str, Any]]("study", dict, dict, columns=("x", "y", "z"))
    with Journal(tmp_path / "t.csv", numbers) as journal:
        journal.add({"x": 1, "y": 0.1 + 0.2, "z": None})
        journal.add({"x": 2, "y": 1e-300, "other": 3})
        journal.add({"x": "ü\udcff", "y": "a,b", "z": ""})
    text = 'x,y,z\n1,0.30000000000000004,\n2,1e-300,\nü\\udcff,"a,b",\n'
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "line",
    [
        *("1", "[]", "{", "null", '{"b": 1}', "\xff"),
        "[" * 100_000,
        '{"a": ' + "[" * 201 + "]" * 201 + "}",
    ],
    ids=lambda line: str(line)[:9],
)
def test_lines_that_are_none(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal"
    content = f'{{"a": 1}}\n{line}\n'.encode("latin-1")
    path.write_bytes(content)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(InputError, match="line 2, is no line of the journal of a study"):
            read_journal(path, JSON)
        with pytest.raises(InputError, match="line 2"), Journal(path, JSON):
            pass
    finally:
        sys.setrecursionlimit(before)
    assert path.read_bytes() == content


def test_huge_lines_are_neither_read_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST", 100)
    path = tmp_path / "journal"
    with Journal(path, JSON) as journal:
        journal.add({"a": "x" * 90})
        with pytest.raises(InputError, match="110 bytes"):
            journal.add({"a": "x" * 100})
    assert len(read_journal(path, JSON)) == 1
    path.write_text(f'{{"a": "{"x" * 100}"}}\n')
    with pytest.raises(InputError, match="line 1"):
        read_journal(path, JSON)


@pytest.mark.parametrize("content", ["my,own,file\n", "precious", "\xff\xfe\n", "a\n1\n"])
def test_another_table_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"something else.*'a,b'"), Journal(path, CSV):
        pass
    assert path.read_bytes() == content.encode("latin-1")


@pytest.mark.parametrize("line", ["1", "1,2,3", "x,2"])
def test_cells_that_are_none(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal"
    path.write_text(f"a,b\r\n1,2\r\n{line}\r\n")
    with pytest.raises(InputError, match="line 3"):
        read_journal(path, CSV)


def test_errors_of_a_row_s_own_pass(tmp_path: Path) -> None:
    def refuse(values: object) -> dict[str, Any]:
        raise BadData("of another folder")

    write(tmp_path / "journal", JSON, 1)
    with pytest.raises(BadData, match="another folder"):
        read_journal(tmp_path / "journal", RowType("study", dict, refuse))


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, JSON), pytest.raises(InputError, match="another process"):
        Journal(path, JSON).__enter__()
    with Journal(path, JSON) as journal:
        assert journal.rows == []
    with pytest.raises(RuntimeError):
        journal.add(row(1))


@pytest.mark.parametrize("path", ["", "nowhere/journal"])
def test_a_file_that_cannot_be(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="cannot write"), Journal(tmp_path / path, JSON):
        pass
