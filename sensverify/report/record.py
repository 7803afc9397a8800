"""The part that all results share: the head of their JSON, its layout, and lines of a record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sensverify.core.record import RunRecord
from sensverify.report import document as doc


def header(schema: str, record: RunRecord) -> dict[str, Any]:
    """The first keys of a result.

    Parameters
    ----------
    schema : str
        Such as ``sensverify.verify/2``.
    record : RunRecord
    """
    return {
        "schema": schema,
        "command": record.command,
        "date": record.date,
        "versions": dict(record.versions),
    }


def record_facts(record: RunRecord) -> Iterator[tuple[str, doc.Line]]:
    """Lines of a page: the command that made the result, its date, and the versions."""
    if record.command is not None:
        yield "Command", doc.Span(record.command, "code")
    yield "Date", record.date.replace("T", " ").replace("Z", " UTC")
    yield "Versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())


def result_text(values: Any) -> str:
    """A result as JSON and a newline; lists and objects of plain values stand on one line.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    return _text(values, "") + "\n"


def _text(value: Any, indent: str) -> str:
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list) or not any(isinstance(v, dict | list) for v in inner):
        return json.dumps(value, allow_nan=False)
    deeper = indent + " "
    if isinstance(value, dict):
        lines = [f"{json.dumps(name)}: {_text(v, deeper)}" for name, v in value.items()]
        return _block("{", lines, "}", indent)
    return _block("[", [_text(v, deeper) for v in value], "]", indent)


def _block(start: str, lines: Sequence[str], end: str, indent: str) -> str:
    inside = f",\n{indent} ".join(lines)
    return f"{start}\n{indent} {inside}\n{indent}{end}"
