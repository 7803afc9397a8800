"""Columns against each other as pictures."""

from __future__ import annotations

from collections.abc import Iterator

from sensverify.report import document as doc
from sensverify.report.formatting import DASH, printed, signed
from sensverify.report.scores.common import data, matrix, told
from sensverify.report.scores.scatter import Dot, scatter
from sensverify.report.theme import HUES
from sensverify.scores.scatter import EVERY, Scattered, Scatters

_PICTURES = 24
"""Pictures on a page; the points of the others are in the data."""


def scatters_section(found: Scatters) -> doc.Section:
    """A picture of every two columns, and taus by group."""
    return doc.Section(
        "scatter",
        "Columns against each other",
        tuple(_blocks(found)),
        data=(data("points", lambda: _points(found)), data("taus", lambda: _taus(found))),
    )


def _blocks(found: Scatters) -> Iterator[doc.Block]:
    yield doc.Text(f"Kendall's tau-b of all networks and by group. Points are {found.over}.")
    groups = dict.fromkeys((EVERY, *found.groups))
    rows = [
        doc.row(f"{each.first} with {each.second}", *(_cell(*each.taus[group]) for group in groups))
        for each in found.pairs
    ]
    yield from matrix(tuple(groups), rows, "tau-b", strength=float)
    drawn = [each for each in found.pairs if each.dots]
    figures = [_figure(each, found) for each in drawn[:_PICTURES]]
    if figures:
        yield doc.Group(figures, "pair", on=doc.PAGE)
    lines = [
        f"Not drawn, as no network has both: {each.first} with {each.second}."
        for each in found.pairs
        if not each.dots
    ]
    if figures and len(found.groups) > HUES:
        lines.append(f"Colours repeat after {HUES} groups: a dot says on demand whose it is.")
    if len(drawn) > _PICTURES:
        lines.append(f"{len(drawn) - _PICTURES:,} more pictures would be too many: see the data.")
    if lines:
        yield from told(lines)


def _figure(each: Scattered, found: Scatters) -> doc.Figure:
    groups: dict[str, list[Dot]] = {name: [] for name in found.groups}
    for dot in each.dots:
        words = f"{dot.network}: {printed(dot.first)}, {printed(dot.second)}"
        groups[dot.group].append((dot.first, dot.second, words))
    groups = {name: dots for name, dots in groups.items() if dots}
    drawing = scatter(groups, (each.first, each.second))
    tau = each.taus[EVERY][1]
    notes = [] if tau is None else [f"tau-b {signed(tau, 3)}"]
    return doc.Figure([drawing], f"{each.first} and {each.second}", notes, look="card")


def _cell(count: int, tau: float | None) -> doc.Cell:
    title = f"{count} points"
    return doc.Cell(DASH if tau is None else signed(tau, 3), title=title, value=tau)


def _points(found: Scatters) -> Iterator[tuple[doc.Value, ...]]:
    for pair in found.pairs:
        for dot in pair.dots:
            yield pair.first, pair.second, dot.network, dot.group, dot.first, dot.second


def _taus(found: Scatters) -> Iterator[tuple[doc.Value, ...]]:
    for pair in found.pairs:
        for group, (count, tau) in pair.taus.items():
            yield pair.first, pair.second, group, count, tau
