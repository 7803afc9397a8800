"""JSON that strangers may have written: what nests too deeply is refused before it is parsed."""

from __future__ import annotations

import json
import re
from typing import Any

DEEPEST = 200
"""Objects and lists inside of each other: json follows them on the machine's own stack, and where a
program has raised Python's recursion limit, more of them end the process."""

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
