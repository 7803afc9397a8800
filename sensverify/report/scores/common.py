"""Parts of several analyses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sensverify.report import document as doc
from sensverify.runs.outputs import Kind
from sensverify.scores.csv_file import CELLS, FURTHER, READINGS

HEADS: Mapping[str, tuple[str, ...]] = {
    "correlations": (
        *("first", "second", "networks", "tau", "lower", "upper", "p_value", "reason"),
    ),
    "transfer": (
        *("network", "shift", "role", "accuracy", "standard", "gain", "lower", "upper", "sign"),
        *("paired", "app"),
    ),
    "overlaps": ("first", "second", "score", "raw", "reason"),
    "balance": ("shift", "overlap"),
    "coverage": ("shift", "covered", "largest", "member"),
    "categories": ("shift", "category", "reason"),
    "agreement": ("pairs", "correlation"),
    "scores": (*CELLS, *FURTHER),
    "measures": (*READINGS, "network_sha256"),
}
"""Columns of every table of data, by its name."""

_SHOWN = 20
"""Lines that are shown; the others are counted, and in the data."""


def data(name: str, make: Callable[[], Iterable[Sequence[doc.Value]]]) -> doc.Data:
    """A table of data, whose columns are in `HEADS`."""
    return doc.Data(name, HEADS[name], make)


def _made(path: Path) -> bool:
    """Whether a file has the columns of the table that it is named for."""
    head = ",".join(HEADS[path.stem]).encode()
    with path.open("rb") as stream:
        return stream.readline(1000).rstrip() == head


FILES = Kind(lambda name: name.endswith(".csv") and name[:-4] in HEADS, _made)
"""The CSV files of an analysis in their folder."""


def matrix(columns: Sequence[str], rows: Sequence[doc.Row], title: str) -> Iterator[doc.Block]:
    """Rows under many columns; a terminal splits those that do not fit beside each other."""
    whole = doc.Table(doc.columns("", *columns), rows, title=title, notes=True)
    yield doc.Text(f"{title[0].upper()}{title[1:]}", look="heading", on=doc.PAGE)
    yield replace(whole, on=doc.PAGE)
    yield doc.Fitting((whole, replace(whole, splits="columns")), on=doc.TERMINAL)


def told(lines: Sequence[str]) -> Iterator[doc.Block]:
    """Lines about holes, for a page and for a terminal."""
    shown = list(lines[:_SHOWN])
    if len(lines) > _SHOWN:
        shown.append(f"{len(lines) - _SHOWN:,} more are in the data.")
    yield doc.Notice(shown, "open", on=doc.PAGE)
    for line in shown:
        yield doc.Text(line, on=doc.TERMINAL)
