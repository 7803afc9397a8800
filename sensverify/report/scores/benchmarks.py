"""Benchmarks by kind against targets, and the members of one that is chosen."""

from __future__ import annotations

from collections.abc import Iterator

from sensverify.report import document as doc
from sensverify.report.formatting import DASH, signed
from sensverify.report.scores.common import data, matrix, reasons, told
from sensverify.scores.benchmarks import Benchmarks, Drawn
from sensverify.scores.selection import Selection


def benchmarks_section(found: Benchmarks) -> doc.Section:
    """Mean correlations of benchmarks with targets, a row for each kind."""
    return doc.Section(
        "benchmarks",
        "Benchmarks drawn by category",
        tuple(_blocks(found)),
        data=(data("benchmarks", lambda: map(_values, found.rows)),),
    )


def _blocks(found: Benchmarks) -> Iterator[doc.Block]:
    yield doc.Text(
        "Pearson's correlation of the scores of networks on a benchmark with those on a target, by "
        f"{found.metric}: the mean over benchmarks with members of so many categories (cat.), so "
        "many of each (each), whose members by category have this standard deviation (dev.). "
        "Beside it, the mean p-value. (all) marks kinds of which there are no more benchmarks."
    )
    for place, names in enumerate(found.categories, 1):
        yield doc.Text(f"Category {place}: {', '.join(names)}.")
    kinds: dict[tuple[int, int, float], list[Drawn]] = {}
    for each in found.rows:
        kinds.setdefault((each.categories, each.members, each.deviation), []).append(each)
    rows = []
    for (number, members, deviation), group in kinds.items():
        mean: list[doc.Cell] = []
        known = [each.correlation for each in group if each.correlation is not None]
        if len(found.targets) > 1:
            whole = sum(known) / len(known) if len(known) == len(group) else None
            mean.append(doc.Cell(DASH if whole is None else signed(whole, 3), value=whole))
        count = f"{group[0].benchmarks:,}{' (all)' if group[0].every else ''}"
        rows.append(
            doc.row(
                f"{number} cat., {members} each, dev. {deviation:.2f}",
                doc.Cell(count),
                *map(_cell, group),
                *mean,
            )
        )
    columns = ("benchmarks", *found.targets, *(["mean"] if len(found.targets) > 1 else []))
    yield from matrix(columns, rows, "mean correlation", strength=float)
    pairs = [
        (f"{r.categories} categories, {r.members} each, with {r.target}", r.reason)
        for r in found.rows
        if r.reason
    ]
    lines = [*reasons(pairs), *(f"Left out: {each}." for each in found.left_out)]
    if lines:
        yield from told(lines)


def _cell(each: Drawn) -> doc.Cell:
    if each.correlation is None:
        return doc.Cell(DASH, title=each.reason)
    note = "" if each.p_value is None else f"p = {each.p_value:.2g}"
    title = f"{each.networks} networks"
    if each.lower is not None and each.upper is not None:
        title += f"; {signed(each.lower, 3)} to {signed(each.upper, 3)}"
    return doc.Cell(signed(each.correlation, 3), note=note, title=title, value=each.correlation)


def _values(each: Drawn) -> tuple[doc.Value, ...]:
    return (
        *(each.categories, each.members, each.deviation, each.benchmarks, each.every),
        *(each.target, each.networks, each.correlation, each.lower, each.upper, each.p_value),
        each.reason or None,
    )


def selection_section(found: Selection) -> doc.Section:
    """The members of each category, and how much they overlap."""
    rows = [
        doc.row(
            f"{place}",
            doc.Cell(signed(each.overlap, 2), value=each.overlap),
            doc.Cell(signed(each.mean, 2), value=each.mean),
            ", ".join(each.members),
        )
        for place, each in enumerate(found.chosen, 1)
    ]
    columns = doc.columns("category", "overlap", "of all")
    blocks = (
        doc.Text(
            f"Of every category the {len(found.chosen[0].members)} shifts that overlap least, by "
            f"{found.metric}: the mean overlap of two members, and of two shifts of the category."
        ),
        doc.Table([*columns, doc.Column("members", align="left")], rows, title="selection"),
    )
    behind = data("selection", lambda: _members(found))
    return doc.Section("selection", "A benchmark of shifts", blocks, data=(behind,))


def _members(found: Selection) -> Iterator[tuple[doc.Value, ...]]:
    for place, each in enumerate(found.chosen, 1):
        for shift in each.category:
            yield shift, place, shift in each.members
