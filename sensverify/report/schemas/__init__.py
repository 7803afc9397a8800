"""JSON Schemas of results, in draft 2020-12: a file for each, and the definitions that they share.

A file names a shared definition as ``{"$ref": "#/$defs/model"}``; `result_schema` puts those that
are used into the schema, so that what is published needs no other file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from sensverify.errors import BadSetting

_COMMON = "common.json"
_LOCAL = "#/$defs/"


def schema_names() -> tuple[str, ...]:
    """Names of all results that have a schema: ``verify``, ``property``, ..."""
    entries = (each.name for each in files(__name__).iterdir())
    return tuple(sorted(n[:-5] for n in entries if n.endswith(".json") and n != _COMMON))


def result_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a result.

    Parameters
    ----------
    name : str
        One of `schema_names`.

    Returns
    -------
    dict
        Complete by itself; ``$id`` is what a result calls its ``schema``.

    Raises
    ------
    BadSetting
        There is none of that name.
    """
    if name not in schema_names():
        raise BadSetting(
            f"no result is called '{name}'", f"the results are {', '.join(schema_names())}"
        )
    schema = _read(f"{name}.json")
    common, own = _read(_COMMON)["$defs"], schema.get("$defs", {})
    used: dict[str, Any] = {}
    waiting = list(_referred(schema))
    while waiting:
        key = waiting.pop()
        if key not in used:
            used[key] = own.get(key) or common[key]
            waiting += _referred(used[key])
    return {**schema, "$defs": {key: used[key] for key in sorted(used)}}


def _referred(value: Any) -> Iterator[str]:
    """Names of definitions that a part of a schema refers to."""
    if isinstance(value, dict):
        found = value.get("$ref")
        if isinstance(found, str):
            yield found.removeprefix(_LOCAL)
        for each in value.values():
            yield from _referred(each)
    elif isinstance(value, list):
        for each in value:
            yield from _referred(each)


@cache
def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _read(name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(_text(name))
    return values
