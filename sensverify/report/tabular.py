"""Tables as files: CSV with every digit, and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from sensverify.report.document import Data, Document, Table, Value, plain

_FORMULA = ("=", "+", "-", "@", "\t", "\n")


def document_to_csv(document: Document) -> dict[str, str]:
    """The data of a document as CSV, by name; tables without a row are left out."""
    return {name: data_csv(data) for name, data in document.data.items()}


def data_csv(data: Data, *, end: str = "\r\n") -> str:
    """Data as CSV.

    Returns
    -------
    str
        RFC 4180 with a header; numbers with every digit, a dot as decimal sign, empty where there
        is none.

    Notes
    -----
    Spreadsheets may take a text for a formula where it begins with one of ``= + - @``, a tab or a
    line end. Such a text (a name, a reason; never a number) gets an apostrophe before it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end)
    writer.writerow(data.columns)
    writer.writerows([_safe(value) for value in row] for row in data.rows)
    return text.getvalue()


def _safe(value: Value) -> Value:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # A lone return would end the row in some readers.
        value = value.replace("\r\n", "\n").replace("\r", "\n")
        return f"'{value}" if value.startswith(_FORMULA) else value
    return value


def table_markdown(table: Table) -> str:
    """A table as GitHub shows it: the best of a column bold, published numbers in italics."""
    lines = [_line(column.named for column in table.columns)]
    lines.append("| --- |" + " ---: |" * (len(table.columns) - 1))
    for row in table.rows:
        cells = [_escaped(plain(row.name))]
        for cell in row.cells:
            text = " ".join(filter(None, (plain(cell.text), cell.note)))
            cells.append(f"**{text}**" if "best" in cell.look else text)
        mark = "*" if row.look == "published" else ""
        lines.append(_line(f"{mark}{cell}{mark}" if cell else "" for cell in cells))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """A text from outside in a cell of Markdown."""
    return "".join(f"\\{c}" if c in "\\|*_<>[]`" else c for c in " ".join(text.split()))
