"""Categories of shifts, and whether they hold for further networks."""

from __future__ import annotations

from collections.abc import Iterator

from sensverify.report import document as doc
from sensverify.report.formatting import DASH, count_of, signed
from sensverify.report.scores.common import data, reasons, told
from sensverify.scores.agreement import Agreement, Pair
from sensverify.scores.categories import Categories

ISOLATED = "isolated"
"""What shifts are called that are in no category."""


def categories_section(found: Categories) -> doc.Section:
    """The members of each category, how alike they are, and whether they hold elsewhere."""
    behind = [
        data("categories", lambda: _members(found)),
        data("agreement", lambda: (("same", found.same), ("different", found.different))),
    ]
    if found.others.pairs:
        behind.append(data("validation", lambda: map(_values, found.others.pairs)))
    return doc.Section("categories", "Categories of shifts", tuple(_blocks(found)), data=behind)


def _blocks(found: Categories) -> Iterator[doc.Block]:
    name = {"k-means": "K-means", "hdbscan": "HDBSCAN"}[found.method]
    yield doc.Text(
        f"Shifts by their overlaps, by {found.metric}, with {name}. The mean correlation of the "
        f"overlaps of two shifts is {_shown(found.same)} within categories and "
        f"{_shown(found.different)} between them."
    )
    yield _table(found.categories, found.isolated)
    yield from _validation(found.others)
    lines = [f"Not measured: {why}." for why in dict.fromkeys(found.left_out.values())]
    if not found.reached:
        lines.append("The correlation within categories is not above the threshold.")
    if lines:
        yield from told(lines)


def agreement_section(found: Agreement) -> doc.Section:
    """Mean correlations within categories and between them, over networks."""
    return doc.Section(
        "agreement",
        "Categories of shifts on networks",
        (_table(found.categories), *_validation(found)),
        data=(data("validation", lambda: map(_values, found.pairs)),),
    )


def _table(categories: tuple[tuple[str, ...], ...], isolated: tuple[str, ...] = ()) -> doc.Table:
    rows = [
        doc.row(f"{place}", doc.Cell(f"{len(each)}"), ", ".join(each))
        for place, each in enumerate(categories, 1)
    ]
    if isolated:
        rows.append(doc.row(ISOLATED, doc.Cell(f"{len(isolated)}"), ", ".join(isolated)))
    columns = [doc.Column("category"), doc.Column("shifts"), doc.Column("", align="left")]
    return doc.Table(columns, rows, title="categories")


def _validation(found: Agreement) -> Iterator[doc.Block]:
    if found.reason:
        yield from told([f"Not tested on other networks: {found.reason}."])
        return
    counts = {
        same: sum(each.same is same and each.correlation is not None for each in found.pairs)
        for same in (True, False)
    }
    sizes = {each.networks for each in found.pairs}
    fewest = f"{min(sizes)} to " if len(sizes) > 1 else ""
    yield doc.Text(
        f"Over {fewest}{count_of(max(sizes), 'network')}, the mean correlation of the robustness "
        f"to two shifts, by {found.metric}, is {_shown(found.same)} within categories "
        f"({count_of(counts[True], 'pair')}) and {_shown(found.different)} between them "
        f"({count_of(counts[False], 'pair')})."
    )
    why = [(f"{each.first} with {each.second}", each.reason) for each in found.pairs if each.reason]
    if why:
        yield from told(reasons(why))


def _shown(value: float | None) -> str:
    return DASH if value is None else signed(value, 2)


def _members(found: Categories) -> Iterator[tuple[doc.Value, ...]]:
    for place, each in enumerate(found.categories, 1):
        for shift in each:
            yield shift, place, None
    for shift in found.isolated:
        yield shift, ISOLATED, None
    for shift, reason in found.left_out.items():
        yield shift, None, reason


def _values(each: Pair) -> tuple[doc.Value, ...]:
    return (
        *(each.first, each.second, each.same, each.networks, each.correlation),
        each.reason or None,
    )
