"""The published schemas: complete, strict, described. That results keep them, every test sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from sensverify.cli.main import main
from sensverify.errors import BadSetting
from sensverify.report.schemas import result_schema, schema_names
from tests.report.schemas import check_result

NAMES = schema_names()


def objects(value: Any, path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of an object with named keys, and where it stands."""
    if isinstance(value, dict):
        if "properties" in value and isinstance(value["properties"], dict):
            yield path, value
        for key, each in value.items():
            yield from objects(each, f"{path}.{key}")
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from objects(each, f"{path}[{place}]")


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_complete_strict_and_described(name: str) -> None:
    schema = result_schema(name)
    assert schema["$id"] == schema["properties"]["schema"]["const"]
    assert schema["$id"].rpartition("/")[0] == f"sensverify.{name}"
    assert schema["title"]
    assert schema["description"]
    for path, each in objects(schema):
        assert each["additionalProperties"] is False, f"{path} lets unknown keys pass"
        assert {*each["required"]} <= {*each["properties"]}, path
        for key, part in each["properties"].items():
            told = {"description", "enum", "const", "$ref"} & {*part}
            assert told, f"{path}: nothing says what '{key}' is"


@pytest.mark.parametrize("name", NAMES)
def test_the_command_prints_a_schema_that_needs_no_other_file(name: str) -> None:
    found = CliRunner().invoke(main, ["schema", name])
    assert found.exit_code == 0
    schema = json.loads(found.stdout)
    assert schema == result_schema(name)
    local = [key for key in schema["$defs"] if f'"#/$defs/{key}"' in found.stdout]
    assert local == [*schema["$defs"]], "definitions that nothing refers to"


def test_without_a_name_all_are_listed() -> None:
    found = CliRunner().invoke(main, ["schema"])
    assert [line.split()[0] for line in found.stdout.splitlines()] == [*NAMES]


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(BadSetting, match="no result is called 'verfy'"):
        result_schema("verfy")
    found = CliRunner().invoke(main, ["schema", "../common"])
    assert found.exit_code == 2
    assert "no result is called" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_the_check_of_results_can_fail() -> None:
    with pytest.raises(AssertionError, match="has no schema"):
        check_result({"schema": "sensverify.nothing/2"})
    with pytest.raises(AssertionError, match="'command' is a required property"):
        check_result({"schema": f"sensverify.{NAMES[0]}/2"})
