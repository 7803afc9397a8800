"""Rank correlations as a matrix."""

from __future__ import annotations

from collections.abc import Iterator

from sensverify.report import document as doc
from sensverify.report.formatting import DASH, signed
from sensverify.report.scores.common import data, matrix, reasons, told
from sensverify.scores.correlate import Correlation, Correlations


def correlate_section(found: Correlations) -> doc.Section:
    """Taus with their intervals, and the reasons where there are none."""
    return doc.Section(
        "correlate",
        "Rank correlations",
        tuple(_blocks(found)),
        data=(data("correlations", lambda: map(_values, found.pairs)),),
    )


def _blocks(found: Correlations) -> Iterator[doc.Block]:
    text = (
        "Kendall's tau-b: 1 where both columns order the networks alike, -1 where they order them "
        f"the other way round, 0 where neither tells of the other. Points are {found.over}."
    )
    if found.resamples:
        text += f" Beside each, the 95 % interval over them ({found.resamples:,} resamples)."
    yield doc.Text(text)
    wide = len(found.second)
    rows = [
        doc.row(name, *map(_cell, found.pairs[place * wide : (place + 1) * wide]))
        for place, name in enumerate(found.first)
    ]
    yield from matrix(found.second, rows, "tau-b", strength=float)
    why = [(f"{each.first} with {each.second}", each.reason) for each in found.pairs if each.reason]
    if why:
        yield from told(reasons(why))


def _cell(each: Correlation) -> doc.Cell:
    if each.tau is None:
        return doc.Cell(DASH, title=each.reason)
    note = ""
    if each.lower is not None and each.upper is not None:
        note = f"{signed(each.lower, 2)} to {signed(each.upper, 2)}"
    return doc.Cell(signed(each.tau, 3), note=note, title=f"{each.networks} points", value=each.tau)


def _values(each: Correlation) -> tuple[doc.Value, ...]:
    return (
        *(each.first, each.second, each.networks, each.tau, each.lower, each.upper),
        *(each.p_value, each.reason or None),
    )
