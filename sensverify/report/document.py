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
    """A stretch of text with a look of its own, or a link.

    A ``link`` leads to the anchor of a section, a ``file`` to one beside the page, by its path.
    Looks are ``strong``, ``code``, ``error``, ...: an element or a class on the page, a style in
    a terminal.
    """

    text: str
    look: str = ""
    link: str = ""
    file: str = ""


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
    """A paragraph; with the look ``heading``, a heading within a section.

    A terminal does not fold what is ``whole``.
    """

    line: Line
    look: str = ""


@dataclass(frozen=True)
class Notice(Block):
    """Lines that stand out: ``guarantee``, ``good``, ``bad``, ``open``, or ``told`` alone.

    With a ``title``, the one or two words that decide, it is the banner at the top of a report.
    """

    lines: Sequence[Line]
    level: str
    title: str = ""

    @property
    def icon(self) -> str:
        """Sign of the level."""
        return {"good": "✓", "bad": "✕", "told": "i"}.get(self.level, "?")


@dataclass(frozen=True)
class Facts(Block):
    """Names and what is to be said of each, one or several lines.

    What is ``whole`` has a line each in a terminal, which does not fold it.
    """

    items: Sequence[tuple[Line, Line | Sequence[Line]]]
    look: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table; ``title`` is told on demand, ``image`` is a data URI.

    ``value`` is what it is sorted by, where that is not its text.
    """

    text: Line = ""
    look: str = ""
    note: str = ""
    title: str = ""
    image: str = ""
    span: int = 1
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """A column; the first one of a table holds the names of its rows.

    ``note`` is its unit, ``hint`` is told on demand. In a terminal it has at most ``width``
    characters, and longer texts ``fold``, keep the column ``whole`` as long as others can be
    narrower, or are ``cut`` off.
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
    """Rows with names under columns with names, of which the first is that of the rows' names.

    In a terminal ``title`` stands above it, ``notes`` says whether the notes of cells are shown
    beside their texts, and ``splits`` what the columns are, where those that do not fit beside
    each other go into further tables. A page sorts the rows below each heading where they are
    ``sortable``, and searches them, if they are many, where ``search`` says what they are.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    look: str = ""
    title: str = ""
    splits: str = ""
    notes: bool = False
    sortable: bool = False
    search: str = ""

    def turned(self, corner: Column) -> Table:
        """The table on its side, the names of its columns under ``corner``."""
        looks = [row.look for row in self.rows]
        rows = []
        for head, *cells in zip(self.columns[1:], *(row.cells for row in self.rows), strict=True):
            pairs = zip(cells, looks, strict=True)
            rows.append(Row(head.named, [replace(c, look=c.look or look) for c, look in pairs]))
        heads = (Column(plain(row.name), row.look) for row in self.rows)
        return replace(self, columns=[corner, *heads], rows=rows)


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
class Picture:
    """A small image as a data URI, its caption, and its alternative text."""

    image: str
    caption: Line
    words: str


@dataclass(frozen=True)
class Pictures(Block):
    """Images side by side, enlarged as they are, pixel by pixel."""

    pictures: Sequence[Picture]


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
    """Blocks that belong together, side by side as far as there is room.

    With the look ``sample`` they are one of many cards, with a ``mark`` of (word, text, meaning),
    with ``details`` they are shown on demand; both have a title. The title of cards, with the look
    ``samples``, is what they are; a page filters them by their marks and sorts them by their
    ``keys``: places in other orders, by the words of the order. Those without come last.
    """

    blocks: Sequence[Block]
    look: str
    title: str = ""
    mark: tuple[str, str, str] | None = None
    keys: Mapping[str, float] = field(default_factory=dict)

    @property
    def orders(self) -> list[str]:
        """Words of all orders of the cards in it."""
        cards = (block for block in self.blocks if isinstance(block, Group))
        return list(dict.fromkeys(words for card in cards for words in card.keys))


@dataclass(frozen=True)
class Number:
    """One of the few numbers that sum up a result, with a cell for everything compared.

    Without ``values`` none of them is the best; ``better`` is 1 where larger is better and -1
    where smaller is, ``note`` a unit, or what it is a mean over.
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
    """Blocks under a heading, and the data behind them, offered beside it and as files.

    Without a title, the blocks have no heading and no entry in the contents. ``numbers`` is what
    the section adds to the summary of the document.
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

    ``title`` is that of the window, ``eyebrow`` and ``lead`` are the lines above and below the
    heading. With ``contents`` a page begins with links to the sections; it carries at most so many
    bytes of data as are ``offered``.
    """

    title: str = ""
    eyebrow: str = ""
    heading: Line = ""
    lead: str = ""
    sections: Sequence[Section] = field(default_factory=tuple)
    contents: bool = False
    offered: int = 0

    @classmethod
    def of(cls, *blocks: Block) -> Document:
        """A document of these blocks alone."""
        return cls(sections=(Section("", "", blocks),))

    @property
    def data(self) -> Mapping[str, Data]:
        """Every table with a row, by name."""
        every = (data for section in self.sections for data in section.data)
        return {data.name: data for data in every if data.rows}
