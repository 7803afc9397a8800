"""Printed numbers below ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sensverify.report import document as doc
from sensverify.report.formatting import DASH, signed
from sensverify.report.scores.common import data, told
from sensverify.scores.papers import Numbers, Paper, beside_ours, numbers_of

MARK = "[paper]"
"""What a row of printed numbers is called."""


def beside(section: doc.Section, result: object, papers: Sequence[Paper]) -> doc.Section:
    """A section of an analysis, with printed tables of the same kind below its own.

    Numbers stand beside each other where a table has a row and a column of the same names.
    """
    if not papers:
        return section
    numbers = numbers_of(result)
    pairs = [(each, beside_ours(each, numbers)) for each in papers]
    blocks = [block for each, ours in pairs for block in _blocks(each, ours)]
    rows = [row for each, ours in pairs for row in _values(each, ours)]
    return replace(
        section,
        blocks=(*section.blocks, *blocks),
        data=(*section.data, data("published", lambda: rows)),
    )


def _blocks(paper: Paper, ours: Numbers) -> Iterator[doc.Block]:
    title = f"beside {paper.source}"
    yield doc.Text(title[0].upper() + title[1:], look="heading", on=doc.PAGE)
    yield doc.Text(
        f"{paper.source}: {paper.about}. Of its {len(paper.numbers)} numbers, {len(ours)} stand "
        f"below one of ours, in rows called {MARK}."
    )
    if not ours:
        yield from told(
            [
                f"Of its rows ({', '.join(paper.rows)}) and columns ({', '.join(paper.columns)}) "
                "none has a number of ours."
            ]
        )
        return
    columns = [each for each in paper.columns if any(key[1] == each for key in ours)]
    rows: list[doc.Row] = []
    for name in dict.fromkeys(row for row, _ in ours):
        own = [ours.get((name, each)) for each in columns]
        printed = [paper.numbers.get((name, each)) for each in columns]
        rows.append(doc.Row(name, [*map(_cell, own)], look="above"))
        rows.append(doc.Row(MARK, [*map(_cell, printed)], look="published"))
    table = doc.Table(doc.columns("", *columns), rows, "results", title=title)
    yield replace(table, title="", on=doc.PAGE)
    yield doc.Fitting((table, replace(table, splits="columns")), on=doc.TERMINAL)


def _cell(value: float | None) -> doc.Cell:
    return doc.Cell(DASH if value is None else signed(value, 3), value=value)


def _values(paper: Paper, ours: Numbers) -> Iterator[tuple[doc.Value, ...]]:
    for (row, column), number in paper.numbers.items():
        yield paper.name, paper.source, row, column, number, ours.get((row, column))
