"""A report as data: sections of text, tables, figures and facts, which renderers show.

`sensverify.report.html` makes a page of a document, `sensverify.report.terminal` prints it and
`sensverify.report.tabular` writes its tables as files. Texts are plain: renderers escape them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

from sensverify.report.chart import Drawing


class Medium(enum.Flag):
    """Media that a block is shown in."""

    PAGE = enum.auto()
    TERMINAL = enum.auto()
    BOTH = PAGE | TERMINAL


PAGE, TERMINAL = Medium.PAGE, Medium.TERMINAL


@dataclass(frozen=True)
class Span:
    """A stretch of text with a look of its own.

    Parameters
    ----------
    text : str
    look : str
        ``strong``, ``code``, ``error``, ...: an element or a class on the page, a style in a
        terminal.
    link : str
        Anchor of a section.
    """

    text: str
    look: str = ""
    link: str = ""


Line: TypeAlias = str | Span | tuple[str | Span, ...]
"""One line of text."""


def spans(line: Line) -> tuple[Span, ...]:
    """The stretches of a line."""
    parts = line if isinstance(line, tuple) else (line,)
    return tuple(Span(part) if isinstance(part, str) else part for part in parts)


def plain(line: Line) -> str:
    """The text of a line alone."""
    return "".join(span.text for span in spans(line))


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a section; ``on`` is where it is shown."""

    on: Medium = Medium.BOTH

    @property
    def kind(self) -> str:
        """Name of what a template calls for it."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Text(Block):
    """A paragraph; with the look ``heading``, a heading within a section."""

    line: Line
    look: str = ""


@dataclass(frozen=True)
class Notice(Block):
    """Lines that stand out: ``guarantee``, ``good``, ``bad`` or ``open``."""

    lines: Sequence[Line]
    level: str


@dataclass(frozen=True)
class Facts(Block):
    """Names and what is to be said of each, one or several lines."""

    items: Sequence[tuple[Line, Line | Sequence[Line]]]
    look: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table; ``title`` is told on demand, ``image`` is a data URI."""

    text: Line = ""
    look: str = ""
    note: str = ""
    title: str = ""
    image: str = ""
    span: int = 1


@dataclass(frozen=True)
class Column:
    """A column; the first one of a table holds the names of its rows.

    Parameters
    ----------
    title, look : str
    note : str
        Its unit.
    hint : str
        Told on demand.
    align : str
        In a terminal: ``right`` or ``left``.
    width : int or None
        In a terminal, the most characters.
    wrap : str
        In a terminal, what becomes of longer texts: they ``fold``, keep the column ``whole`` as
        long as others can be narrower, or are ``cut`` off.
    """

    title: str = ""
    look: str = ""
    note: str = ""
    hint: str = ""
    align: Literal["left", "right"] = "right"
    width: int | None = None
    wrap: Literal["fold", "whole", "cut"] = "fold"

    @property
    def named(self) -> str:
        """Title and unit on one line."""
        return f"{self.title} ({self.note})" if self.note else self.title


@dataclass(frozen=True)
class Row:
    """A row of a table: its name, a note below that, and a cell for every column.

    Without cells it is the heading of the rows below it.
    """

    name: Line
    cells: Sequence[Cell] = ()
    note: str = ""
    look: str = ""


def columns(*titles: str | Column) -> list[Column]:
    """Columns, of which most have but a title."""
    return [Column(title) if isinstance(title, str) else title for title in titles]


def row(name: Line, *cells: Line | Cell, note: str = "", look: str = "") -> Row:
    """A row, of whose cells most have but a text."""
    made = [cell if isinstance(cell, Cell) else Cell(cell) for cell in cells]
    return Row(name, made, note, look)


@dataclass(frozen=True)
class Table(Block):
    """Rows with names under columns with names.

    Parameters
    ----------
    columns : sequence of Column
        The first is that of the rows' names.
    rows : sequence of Row
    look : str
    title : str
        Stands above it in a terminal.
    splits : str
        What the columns are, where those that do not fit beside each other in a terminal go into
        further tables.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    look: str = ""
    title: str = ""
    splits: str = ""


@dataclass(frozen=True)
class Fitting(Block):
    """Tables of which a terminal shows the first that fits, the last if none does."""

    tables: Sequence[Table]


@dataclass(frozen=True)
class Figure(Block):
    """A drawing with a title above and notes below; of two drawings, the second is for phones."""

    drawings: Sequence[Drawing]
    title: str = ""
    notes: Sequence[str] = ()
    look: str = ""


@dataclass(frozen=True)
class Strips(Block):
    """Rows of small pictures, each a data URI with its text, under the names of the rows."""

    rows: Sequence[tuple[str, Sequence[tuple[str, str]]]]


@dataclass(frozen=True)
class Scale(Block):
    """The colours of shares from 0 to 100 %, with marks at some of them, in words beside it."""

    marks: Sequence[float]
    words: str
    image: str = ""
    image_words: str = ""


@dataclass(frozen=True)
class Shares(Block):
    """Counts as a bar of parts and a key with their meanings: ``(word, count, meaning)``."""

    parts: Sequence[tuple[str, int, str]]


@dataclass(frozen=True)
class Group(Block):
    """Blocks that belong together.

    Parameters
    ----------
    blocks : sequence of Block
    look : str
        Side by side as far as there is room; as a ``sample``, one of many cards; as ``details``,
        on demand.
    title : str
        Of a card or of details.
    mark : (word, text, meaning), optional
        Of a card.
    """

    blocks: Sequence[Block]
    look: str
    title: str = ""
    mark: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Number:
    """One of the few numbers that sum up a result, of everything that is compared.

    Parameters
    ----------
    name : str
    cells : sequence of Cell
        One for everything compared.
    values : sequence of float or None
        What is compared; without them none is the best.
    better : int
        1 where larger is better, -1 where smaller is.
    note : str
        Unit, or what it is a mean over.
    """

    name: str
    cells: Sequence[Cell]
    values: Sequence[float | None] = ()
    better: int = 1
    note: str = ""

    @property
    def best(self) -> frozenset[int]:
        """Places of the best; empty where there is nothing to choose from.

        Equal texts are equally good.
        """
        known = {place: value for place, value in enumerate(self.values) if value is not None}
        if not known:
            return frozenset()
        first = max(known, key=lambda place: self.better * known[place])
        found = frozenset(
            place
            for place, value in known.items()
            if value == known[first] or self.cells[place].text == self.cells[first].text
        )
        return found if len(found) < len(known) else frozenset()


@dataclass(frozen=True)
class Numbers(Block):
    """Numbers of one thing, or of several under their names, the best of each marked."""

    numbers: Sequence[Number]
    names: Sequence[str] = ("",)

    @property
    def table(self) -> Table:
        """Numbers down, things across."""
        rows = []
        for number in self.numbers:
            cells = [
                replace(cell, look="best" if place in number.best else "")
                for place, cell in enumerate(number.cells)
            ]
            rows.append(Row(number.name, cells, number.note))
        return Table(columns("", *self.names), rows, "plain summary")


Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Data:
    """A tidy table for a file: one header, one fact a row; ``rows`` is called when it is needed."""

    name: str
    columns: Sequence[str]
    make: Callable[[], Iterable[Sequence[Value]]]

    @cached_property
    def rows(self) -> list[Sequence[Value]]:
        return list(self.make())


@dataclass(frozen=True)
class Section:
    """Blocks under a heading, and the data behind them.

    Parameters
    ----------
    anchor, title : str
        Without a title, the blocks have no heading and no entry in the contents.
    blocks : sequence of Block
    data : sequence of Data
        Offered beside the heading and as files.
    numbers : sequence of Number
        What the section adds to the summary of the document.
    """

    anchor: str
    title: str
    blocks: Sequence[Block] = ()
    data: Sequence[Data] = ()
    numbers: Sequence[Number] = ()

    def on(self, medium: Medium) -> tuple[Block, ...]:
        """The blocks that a medium shows."""
        return tuple(block for block in self.blocks if medium in block.on)


@dataclass(frozen=True)
class Document:
    """A report.

    Parameters
    ----------
    title : str
        Of the window.
    eyebrow, lead : str
        The lines above and below the heading.
    heading : Line
    sections : sequence of Section
    contents : bool
        Whether a page begins with links to the sections.
    offered : int
        Bytes of data that a page may carry; without any, none are offered.
    """

    title: str = ""
    eyebrow: str = ""
    heading: Line = ""
    lead: str = ""
    sections: Sequence[Section] = field(default_factory=tuple)
    contents: bool = False
    offered: int = 0

    @property
    def data(self) -> Mapping[str, Data]:
        """Every table with a row, by name."""
        every = (data for section in self.sections for data in section.data)
        return {data.name: data for data in every if data.rows}
