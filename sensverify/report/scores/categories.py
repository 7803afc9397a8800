"""Categories of shifts."""

from __future__ import annotations

from collections.abc import Iterator

from sensverify.report import document as doc
from sensverify.report.formatting import DASH, signed
from sensverify.report.scores.common import data, told
from sensverify.scores.categories import Categories


def categories_section(found: Categories) -> doc.Section:
    """The members of each category, and how alike they are."""
    return doc.Section(
        "categories",
        "Categories of shifts",
        tuple(_blocks(found)),
        data=(
            data("categories", lambda: _members(found)),
            data("agreement", lambda: (("same", found.same), ("different", found.different))),
        ),
    )


def _blocks(found: Categories) -> Iterator[doc.Block]:
    same, different = (
        DASH if value is None else signed(value, 2) for value in (found.same, found.different)
    )
    yield doc.Text(
        f"Shifts by their overlaps, by {found.metric}. The mean correlation of the overlaps of two "
        f"shifts is {same} within categories and {different} between them."
    )
    rows = [
        doc.row(f"{place}", doc.Cell(f"{len(each)}"), ", ".join(each))
        for place, each in enumerate(found.categories, 1)
    ]
    columns = [doc.Column("category"), doc.Column("shifts"), doc.Column("", align="left")]
    yield doc.Table(columns, rows, title="categories")
    lines = [f"Not measured: {why}." for why in dict.fromkeys(found.left_out.values())]
    if not found.reached:
        lines.append("The correlation within categories is not above the threshold.")
    if lines:
        yield from told(lines)


def _members(found: Categories) -> Iterator[tuple[doc.Value, ...]]:
    for place, each in enumerate(found.categories, 1):
        for shift in each:
            yield shift, place, None
    for shift, reason in found.left_out.items():
        yield shift, None, reason
