"""A document in a terminal."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text as RichText

from sensverify.report.document import (
    Block,
    Document,
    Facts,
    Fitting,
    Line,
    Medium,
    Table,
    Text,
    plain,
    spans,
)

_STYLES = {
    "alarm": "bold red",
    "bad": "red",
    "best": "bold green",
    "certified": "green",
    "changes": "red",
    "dim": "dim",
    "open": "bold yellow",
    "published": "dim italic",
    "quiet": "italic",
    "strong": "bold",
    "undecided": "yellow",
    "warning": "yellow",
}
"""Styles of rich by look; other looks are plain text in a terminal."""

FIRST, WIDEST = 28, 15
"""Characters of the first column and of each other one, of tables that are split."""


class PlainConsole(Console):
    """A console that leaves numbers uncoloured and a closed pipe to its caller."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)

    def on_broken_pipe(self) -> None:
        """Raise, where rich would end the process with the status of an exceeded threshold."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def print_document(document: Document, console: Console) -> None:
    """Print what a document has for a terminal, with a blank line before every section."""
    fresh = True
    for section in document.sections:
        gap = True
        for block in section.on(Medium.TERMINAL):
            for what, apart, whole in _shown(block, console):
                if (gap or apart) and not fresh:
                    console.print()
                console.print(what, soft_wrap=whole)
                fresh = gap = False


def _style(look: str) -> str:
    return next((_STYLES[word] for word in look.split() if word in _STYLES), "")


def styled(line: Line, style: str = "", *, several: bool = False) -> RichText:
    """A line for a terminal; what looks like mark-up in it is text, and nothing in it steers it.

    Nor does it end a line, which a name could begin so that a build server takes it for a command;
    ``several`` are text of our own.
    """
    text, kept = RichText(style=style), "\n\N{NO-BREAK SPACE}" if several else "\N{NO-BREAK SPACE}"
    for span in spans(line):
        shown = "".join(_visible(sign, kept) for sign in span.text)
        text.append(shown, style=_style(span.look))
    return text


def _visible(sign: str, kept: str) -> str:
    shown = sign.isprintable() or sign in kept
    return sign if shown else sign.encode("unicode_escape").decode()


def _shown(block: Block, console: Console) -> Iterator[tuple[RichText | RichTable, bool, bool]]:
    """The parts of a block, each with whether it is set apart, and whether it is never folded."""
    if isinstance(block, Text):
        whole = "whole" in block.look
        yield styled(block.line, _style(block.look), several=whole), False, whole
    elif isinstance(block, Facts):
        grid = RichTable.grid(padding=(0, 2))
        width = max((len(plain(name)) for name, _ in block.items), default=0)
        for name, value in block.items:
            text = RichText("\n").join(map(styled, value if isinstance(value, list) else [value]))
            if block.look == "whole":
                yield styled(f"{plain(name):<{width}}  ").append_text(text), False, True
            grid.add_row(styled(name, "bold"), text)
        if block.look != "whole":
            yield grid, True, False
    elif isinstance(block, Table):
        for title, table in _parts(block, console.width):
            if title:
                yield styled(title, "bold"), True, False
            yield _rich_table(table), False, False
    elif isinstance(block, Fitting):
        wide = console.options.update(width=10_000)
        sizes = (Measurement.get(console, wide, _rich_table(each)) for each in block.tables)
        pairs = zip(block.tables, sizes, strict=True)
        fitting = (table for table, size in pairs if size.maximum <= console.width)
        yield from _shown(next(fitting, block.tables[-1]), console)
    else:
        raise TypeError(f"a terminal does not show {type(block).__name__}")


def _parts(table: Table, width: int) -> Iterator[tuple[str, Table]]:
    """The columns that fit beside each other, under a title for each such part."""
    first, *columns = table.columns
    count = len(columns)
    most = max(1, (width - FIRST) // (WIDEST + 2))
    if not table.splits or count <= most:
        yield table.title, table
        return
    for start in range(0, count, most):
        stop = min(start + most, count)
        which = f"{start + 1} to {stop}" if stop > start + 1 else f"{stop}"
        noun = table.splits if stop > start + 1 else table.splits.removesuffix("s")
        rows = [replace(row, cells=row.cells[start:stop]) for row in table.rows]
        part = replace(table, columns=[first, *columns[start:stop]], rows=rows)
        yield f"{table.title}, {noun} {which} of {count}", part


def _rich_table(table: Table) -> RichTable:
    headed = any(column.title for column in table.columns)
    found = RichTable(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=headed, header_style="bold"
    )
    for column in table.columns:
        found.add_column(
            styled(column.named, _style(column.look)),
            justify=column.align,
            max_width=column.width,
            overflow="ellipsis" if column.wrap == "cut" else "fold",
            no_wrap=column.wrap != "fold",
        )
    for row in table.rows:
        style = _style(row.look)
        cells = []
        for cell in row.cells:
            note = f" {cell.note}" if table.notes and cell.note else ""
            cells.append(styled((*spans(cell.text), note), _style(cell.look) or style))
        found.add_row(styled(row.name, style), *cells)
    return found
