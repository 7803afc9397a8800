"""Files are whole or not there; what the system refuses is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sensverify.errors import BadData, InputError
from sensverify.runs.files import draft_of, read_json, reading, replace_file, write_json
from sensverify.runs.json_text import DEEPEST, TooDeep, parse_json


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_drafts_are_known_by_their_names() -> None:
    assert draft_of(".a.json.12.part") == "a.json"
    assert draft_of(".film.mkv.part") is None
    assert draft_of("a.json") is None


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    values = {"schema": "x/1", "a": [1, 0.1], "text": "ü\udcff"}
    write_json(path, values)
    assert read_json(path, "x/1") == {"a": [1, 0.1], "text": "ü\udcff"}
    for schema, text in (("x/2", path.read_text()), ("x/1", "{"), ("x/1", "[]"), ("x/1", "\0")):
        path.write_text(text)
        with pytest.raises(BadData, match=r"a\.json.*; mend it") as found:
            read_json(path, schema, error=BadData, remedy="mend it")
        assert found.value.remedy == "mend it"


def test_refusals_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "a.json"
    with pytest.raises(InputError, match=r"cannot write '.*a\.json': No such file"):
        write_json(path, {})
    with pytest.raises(BadData, match="cannot read"), reading(path, BadData):
        path.read_bytes()


def test_what_nests_too_deeply_is_not_parsed() -> None:
    for deep in (DEEPEST, DEEPEST + 1):
        text = "[" * deep + '"]"' + "]" * deep
        if deep <= DEEPEST:
            assert parse_json(text) == json.loads(text)
        else:
            with pytest.raises(TooDeep):
                parse_json(text)
    assert parse_json('["[[", {"a": "\\"{"}]', parse_constant=str) == ["[[", {"a": '"{'}]
    with pytest.raises(json.JSONDecodeError):
        parse_json("]")
