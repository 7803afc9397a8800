"""A benchmark folder's tables, ``instances.csv`` and ``verdicts.csv``, as people write them."""

from __future__ import annotations

import csv
import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sensverify.errors import BadData
from sensverify.verification.benchmark import DECIDED, Instance, Key

INSTANCES, KNOWN = "instances.csv", "verdicts.csv"
_COMMENTS = ("#", "//")
_NAMES = {
    "onnx": ("onnx", "model", "network"),
    "vnnlib": ("vnnlib", "property", "spec"),
    "timeout": ("timeout", "seconds", "time"),
}
"""Names of the columns of ``instances.csv`` in a first line that has them."""

Row = tuple[int, list[str]]
"""A line's number and its cells."""


def read_instances(folder: Path) -> tuple[Instance, ...]:
    """The instances of a folder with ``instances.csv``, and maybe ``verdicts.csv``.

    A first line may name the columns; a byte-order mark, empty lines, lines that begin with # or
    //, spaces around cells and commas at the end of a line mean nothing.

    Raises
    ------
    BadData
        A file is missing, or a line is not of the form model, property, seconds.
    """
    path = folder / INSTANCES
    known = _read_verdicts(folder / KNOWN)
    rows = _rows(path)
    order = _order(rows[0][1]) if rows else None
    found = []
    for number, row in rows if order is None else rows[1:]:
        if len(row) != 3 or not all(row):
            raise BadData(f"'{path}', line {number}: expected model, property, seconds; got {row}")
        onnx, vnnlib, seconds = row if order is None else (row[place] for place in order)
        try:
            timeout = float(seconds)
        except ValueError:
            timeout = math.nan
        if not 0 < timeout < math.inf:
            raise BadData(f"'{path}', line {number}: '{seconds}' is no number of seconds above 0")
        expected, trusted = known.get(_normal(onnx, vnnlib), ("", False))
        found.append(Instance(onnx, vnnlib, timeout, expected, trusted))
    if not found:
        raise BadData(f"'{path}' names no instance")
    return tuple(found)


def _order(first: Sequence[str]) -> tuple[int, ...] | None:
    """Places of model, property and seconds, where a first line names the columns."""
    names = [name.lower() for name in first]
    places = [[i for i, n in enumerate(names) if n in known] for known in _NAMES.values()]
    whole = len(names) == 3 and all(len(found) == 1 for found in places)
    return tuple(found[0] for found in places) if whole else None


def _read_verdicts(path: Path) -> Mapping[Key, tuple[str, bool]]:
    if not path.exists():
        return {}
    (_, header), *rows = _rows(path) or [(1, [])]
    columns = {name.lower(): place for place, name in enumerate(header)}
    missing = [name for name in ("onnx", "vnnlib", "verdict") if name not in columns]
    if missing:
        raise BadData(f"'{path}' has no column {', '.join(missing)} in its first line")
    replayed = columns.get("ce_replayed")
    known: dict[Key, tuple[str, bool]] = {}
    for number, row in rows:
        # Empty cells at the end are as good as none.
        cells = [*row, *[""] * (len(header) - len(row))]
        if not all(cells[columns[name]] for name in ("onnx", "vnnlib", "verdict")):
            raise BadData(f"'{path}', line {number}: {len(row)} of {len(header)} columns")
        verdict = cells[columns["verdict"]].lower()
        # Tools contradicted each other, and the larger number of them was believed.
        voted = replayed is not None and cells[replayed] == "majority"
        key = _normal(cells[columns["onnx"]], cells[columns["vnnlib"]])
        found = verdict, verdict in DECIDED and not voted
        if known.get(key, found) != found:
            raise BadData(f"'{path}', line {number}: an instance has two verdicts", "leave one")
        known[key] = found
    return known


def _normal(onnx: str, vnnlib: str) -> Key:
    """A key whose paths are spelled in one way."""
    return posixpath.normpath(onnx), posixpath.normpath(vnnlib)


def _rows(path: Path) -> list[Row]:
    """The lines of a table that say something, without empty cells at their ends."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return list(_filled(csv.reader(stream, skipinitialspace=True)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadData(f"cannot read '{path}': {reason}") from None


def _filled(reader: Any) -> Iterator[Row]:
    for row in reader:
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells and not cells[0].startswith(_COMMENTS):
            yield reader.line_num, cells
