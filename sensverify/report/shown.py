"""Documents as results show them in Python and in notebooks; see `sensverify.core.shown`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from sensverify.report.chart import Drawing, svg
from sensverify.report.document import Block, Data, Document, Fitting, Notice, Numbers, Table
from sensverify.report.html import blocks_to_html, document_to_html
from sensverify.report.theme import standalone_style

_NOTICES = ("good", "bad", "open")
"""Levels of what is seen at a glance; what a guarantee means is on the page."""


@dataclass(frozen=True)
class Svg:
    """A drawing as a picture of its own, in light and dark."""

    drawing: Drawing

    def __repr__(self) -> str:
        return f"Svg({self.drawing.words})"

    @property
    def text(self) -> str:
        """The file's text."""
        return svg(self.drawing, style=standalone_style())

    def save(self, path: str | Path) -> None:
        """Write it to a file that ends in .svg; one that is there is replaced."""
        Path(path).write_text(self.text, encoding="utf-8")

    def _repr_html_(self) -> str:
        # As an image of its own, whose style is none of the notebook's.
        data = base64.b64encode(self.text.encode("utf-8")).decode("ascii")
        words = escape(self.drawing.words)
        return f'<img alt="{words}" src="data:image/svg+xml;base64,{data}">'


@dataclass(frozen=True)
class DocumentRenderer:
    """Forms of the results of one class.

    Parameters
    ----------
    document, to_json : callable
        Of a result.
    own_tables : callable
        Tidy tables, the usual one first.
    draw : callable
        The picture that says most.
    """

    document: Callable[[Any], Document]
    to_json: Callable[[Any], str]
    own_tables: Callable[[Any], Sequence[Data]]
    draw: Callable[[Any], Drawing]

    def json(self, result: Any) -> str:
        """All of it, by its schema."""
        return self.to_json(result)

    def page(self, result: Any) -> str:
        """The whole report, one HTML page."""
        return document_to_html(self.document(result))

    def glance(self, result: Any) -> str:
        """The verdict and a small table, as a part of a page."""
        document = self.document(result)
        return blocks_to_html(document.heading, list(_small(document)))

    def tables(self, result: Any) -> Mapping[str, Data]:
        """Tidy tables by name."""
        return {data.name: data for data in self.own_tables(result)}

    def picture(self, result: Any) -> Svg:
        """The picture that says most."""
        return Svg(self.draw(result))


def _small(document: Document) -> Iterator[Block]:
    """Verdicts, and the numbers that sum a document up, or else its first table."""
    blocks = [block for section in document.sections for block in section.blocks]
    yield from (b for b in blocks if isinstance(b, Notice) and b.level in _NOTICES)
    tables = [b for b in blocks if isinstance(b, Table | Fitting)]
    for block in [b for b in blocks if isinstance(b, Numbers)] or tables[:1]:
        if isinstance(block, Numbers):
            yield block.table
        else:
            yield block.tables[0] if isinstance(block, Fitting) else block
