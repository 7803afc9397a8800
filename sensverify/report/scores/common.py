"""Parts of several analyses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sensverify.report import document as doc
from sensverify.report.theme import signed_step
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
    "validation": ("first", "second", "same", "networks", "correlation", "reason"),
    "predictions": (
        *("column", "target", "networks", "pearson", "lower", "upper", "p_value"),
        *("partial", "partial_lower", "partial_upper", "partial_p_value"),
        *("explained", "reason", "partial_reason"),
    ),
    "left-out": ("column", "target", "backbone", "networks", "correlation", "error"),
    "effective": (
        *("network", "shift", "baseline", "clean", "accuracy"),
        *("effective", "lower", "upper", "sign", "as_printed"),
    ),
    "lines": ("shift", "baselines", "slope", "intercept", "explained", "reason"),
    "benchmarks": (
        *("categories", "members", "deviation", "benchmarks", "every"),
        *("target", "networks", "correlation", "lower", "upper", "p_value", "reason"),
    ),
    "selection": ("shift", "category", "chosen"),
    "points": ("first", "second", "network", "group", "x", "y"),
    "taus": ("first", "second", "group", "networks", "tau"),
    "explanations": ("target", "networks", "explained", "error", "fitted", "reason"),
    "importance": ("target", "measure", "importance"),
    "additions": ("target", "network", "measure", "value", "addition"),
    "nas-means": (*("objective", "strategy", "column", "runs", "mean", "lower", "upper"),),
    "nas-found": (*("objective", "strategy", "run", "index", "cell", "value", "queries", "after"),),
    "nas-courses": ("objective", "strategy", "query", "best"),
    "nas-optimum": ("column", "value", "index", "cell"),
    "nas-top": ("rank", "index", "cell", "column", "value"),
    "nas-edges": ("edge", "operation", "top", "considered"),
    "published": ("table", "source", "row", "column", "published", "ours"),
    "scores": (*CELLS, *FURTHER),
    "measures": (*READINGS, "network_sha256"),
}
"""Columns of every table of data, by its name."""

_NAMED = 3
"""Things that are named beside a reason; the others are in the data."""

ROWS = 200
"""Rows of a matrix that are shown; the others are counted, and in the data."""

_SHOWN = 20
"""Lines that are shown; the others are counted, and in the data."""


def data(name: str, make: Callable[[], Iterable[Sequence[doc.Value]]]) -> doc.Data:
    """A table of data, whose columns are in `HEADS`."""
    return doc.Data(name, HEADS[name], make)


def files(heads: Mapping[str, Sequence[str]]) -> Kind:
    """The CSV files of an analysis in their folder: tables by name, with their columns."""

    def made(path: Path) -> bool:
        head = ",".join(heads[path.stem]).encode()
        with path.open("rb") as stream:
            return stream.readline(len(head) + 1000).rstrip() == head

    return Kind(lambda name: name.endswith(".csv") and name[:-4] in heads, made)


FILES = files(HEADS)
"""Those of our own analyses."""


def matrix(
    columns: Sequence[str],
    rows: Sequence[doc.Row],
    title: str,
    *,
    strength: Callable[[float], float] | None = None,
) -> Iterator[doc.Block]:
    """Rows under many columns; a terminal splits those that do not fit beside each other.

    On a page, cells have a colour by the ``strength`` of their values, from -1 to 1. Of very many
    rows the first are shown.
    """
    more, rows = len(rows) - ROWS, rows[:ROWS]
    whole = doc.Table(doc.columns("", *columns), rows, title=title, notes=True)
    page = whole if strength is None else _coloured(whole, strength)
    yield doc.Text(f"{title[0].upper()}{title[1:]}", look="heading", on=doc.PAGE)
    yield replace(page, on=doc.PAGE)
    if strength is not None:
        below = any(c.value is not None and strength(c.value) < 0 for r in rows for c in r.cells)
        sign = "; blue is below" if below else ""
        text = f"The stronger the colour, the further from 0{sign}."
        yield doc.Text(text, "note", on=doc.PAGE)
    yield doc.Fitting((whole, replace(whole, splits="columns")), on=doc.TERMINAL)
    if more > 0:
        yield doc.Text(f"{more:,} more rows are in the data.", "note")


def _coloured(table: doc.Table, strength: Callable[[float], float]) -> doc.Table:
    def look(cell: doc.Cell) -> str:
        return "cell" if cell.value is None else f"cell {signed_step(strength(cell.value))}"

    rows = [
        replace(row, cells=[replace(cell, look=look(cell)) for cell in row.cells])
        for row in table.rows
    ]
    first, *others = table.columns
    heads = [first, *(replace(each, look="cell") for each in others)]
    return replace(table, columns=heads, rows=rows, look="heat")


def reasons(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Lines that say why there is no number, from what has none and the reason."""
    grouped: dict[str, list[str]] = {}
    for what, why in pairs:
        grouped.setdefault(why, []).append(what)
    return [_reason(why, what) for why, what in grouped.items()]


def _reason(why: str, what: Sequence[str]) -> str:
    more = f" and {len(what) - _NAMED:,} more" if len(what) > _NAMED else ""
    return f"Not measured, as {why}: {', '.join(what[:_NAMED])}{more}."


def told(lines: Sequence[str]) -> Iterator[doc.Block]:
    """Lines about holes, for a page and for a terminal."""
    shown = list(lines[:_SHOWN])
    if len(lines) > _SHOWN:
        shown.append(f"{len(lines) - _SHOWN:,} more are in the data.")
    yield doc.Notice(shown, "open", on=doc.PAGE)
    for line in shown:
        yield doc.Text(line, on=doc.TERMINAL)
