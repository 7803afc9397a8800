"""A document in a terminal."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import singledispatchmethod

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
    printer = _Printer(console)
    for section in document.sections:
        blocks = section.on(Medium.TERMINAL)
        if blocks:
            printer.gap()
        for block in blocks:
            printer.show(block)


def _style(look: str) -> str:
    return next((_STYLES[word] for word in look.split() if word in _STYLES), "")


def styled(line: Line, style: str = "") -> RichText:
    """A line for a terminal; what looks like mark-up in it is text, and nothing in it steers it."""
    text = RichText(style=style)
    for span in spans(line):
        text.append("".join(map(_visible, span.text)), style=_style(span.look))
    return text


def _visible(sign: str) -> str:
    plain = sign.isprintable() or sign in "\n\N{NO-BREAK SPACE}"
    return sign if plain else sign.encode("unicode_escape").decode()


class _Printer:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._fresh = True

    def gap(self) -> None:
        """A blank line, where there is none yet and something stands above."""
        if not self._fresh:
            self._console.print()
        self._fresh = True

    def _print(self, what: RichText | RichTable) -> None:
        self._console.print(what)
        self._fresh = False

    @singledispatchmethod
    def show(self, block: Block) -> None:
        """Print one block."""
        raise TypeError(f"a terminal does not show {type(block).__name__}")

    @show.register
    def _(self, block: Text) -> None:
        self._print(styled(block.line, _style(block.look)))

    @show.register
    def _(self, block: Facts) -> None:
        self.gap()
        grid = RichTable.grid(padding=(0, 2))
        for name, value in block.items:
            lines = value if isinstance(value, list) else [value]
            grid.add_row(styled(name, "bold"), RichText("\n").join(map(styled, lines)))
        self._print(grid)

    @show.register
    def _(self, block: Table) -> None:
        for title, table in self._parts(block):
            if title:
                self.gap()
                self._print(styled(title, "bold"))
            self._print(_rich_table(table))

    @show.register
    def _(self, block: Fitting) -> None:
        wide = self._console.options.update(width=10_000)
        for table in block.tables:
            if Measurement.get(self._console, wide, _rich_table(table)).maximum <= (
                self._console.width
            ):
                break
        self.show(table)

    def _parts(self, table: Table) -> Iterator[tuple[str, Table]]:
        """The columns that fit beside each other, under a title for each such part."""
        first, *columns = table.columns
        count = len(columns)
        most = max(1, (self._console.width - FIRST) // (WIDEST + 2))
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
        cells = [styled(cell.text, _style(cell.look) or style) for cell in row.cells]
        found.add_row(styled(row.name, style), *cells)
    return found
