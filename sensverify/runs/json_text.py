"""JSON that strangers may have written: what nests too deeply is refused before it is parsed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sensverify.errors import BadData

DEEPEST = 200
"""Objects and lists inside of each other: json follows them on the machine's own stack, and where a
program has raised Python's recursion limit, more of them end the process."""

LARGEST = 1 << 29
"""Bytes of a result that is read: thousands of images with their counterexamples."""

_OUTSIDE_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"?|[^][{}"]+', re.DOTALL)
"""JSON's strings, and all else that is no bracket."""


class TooDeep(ValueError):
    """More lists and objects stand inside of each other than `DEEPEST`."""


def parse_json(text: str, **hooks: Any) -> Any:
    """The value that a JSON text stands for.

    Parameters
    ----------
    text : str
    **hooks
        As `json.loads` takes them.

    Raises
    ------
    ValueError
        It is none; `TooDeep` where it nests too deeply to be looked at.
    """
    depth = 0
    for bracket in _OUTSIDE_BRACKETS.sub("", text):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST:
            raise TooDeep(f"more than {DEEPEST} lists or objects inside of each other")
    return json.loads(text, **hooks)


def read_result(path: Path, schema: str) -> dict[str, Any]:
    """The JSON object that a command has written as its result.

    Parameters
    ----------
    path : Path
    schema : str
        Its ``schema``, such as ``sensverify.verify/2``.

    Raises
    ------
    BadData
        The file cannot be read, or is no result of that schema.
    """
    try:
        with path.open("rb") as stream:
            stored = stream.read(LARGEST + 1)
        if len(stored) > LARGEST:
            raise ValueError(f"it has more than {LARGEST >> 20} MiB")
        values = parse_json(stored.decode("utf-8"), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        text = getattr(error, "strerror", None) or error
        raise BadData(f"cannot read the result '{path}': {text}") from None
    given = values.get("schema") if isinstance(values, dict) else None
    name, _, version = schema.rpartition("/")
    if isinstance(given, str) and given != schema and given.rpartition("/")[0] == name:
        raise BadData(
            f"'{path}' has the schema '{given[:100]}', and version {version} is what is read here",
            "make the file anew with `json` of the same command",
        )
    if given != schema:
        raise BadData(
            f"'{path}' is no result of the schema '{schema}'",
            "give the file that `json` of the same command has written",
        )
    return values


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")
