"""Rows as JSON holds them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sensverify.classification.predictions import Bin, Classified
from sensverify.evaluation.results import (
    AttackRow,
    CertifiedRow,
    CleanRow,
    CorruptionRow,
    MeasureRow,
    Missing,
    Row,
    SequenceRow,
    ShiftRow,
)

_KINDS: dict[str, type[Any]] = {
    "clean": CleanRow,
    "attack": AttackRow,
    "certified": CertifiedRow,
    "corruption": CorruptionRow,
    "shift": ShiftRow,
    "sequence": SequenceRow,
    "measure": MeasureRow,
    "missing": Missing,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def to_plain(row: Row) -> dict[str, Any]:
    """A row as plain values; `from_plain` gives an equal one."""
    return {"kind": _NAMES[type(row)], **asdict(row)}


def from_plain(values: Mapping[str, Any]) -> Row:
    """The row that `to_plain` made these values of.

    Raises
    ------
    KeyError, TypeError, ValueError
        They are of no row.
    """
    kind = _KINDS[values["kind"]]
    # A row of an earlier version lacks what has a default.
    names = [field.name for field in fields(kind) if field.name in values]
    given = {name: _value(name, values[name]) for name in names}
    row: Row = kind(**given)
    return row


def _value(name: str, value: Any) -> Any:
    if name == "classified":
        bins = tuple(Bin(**each) for each in value["bins"])
        return Classified(tuple(map(tuple, value["confusion"])), bins)
    return tuple(value) if isinstance(value, list) else value
