"""Overlapping scores as a matrix, and what they say of a benchmark."""

from __future__ import annotations

from collections.abc import Iterator

from sensverify.report import document as doc
from sensverify.report.formatting import DASH, percent, points, signed
from sensverify.report.scores.common import data, matrix, told
from sensverify.scores.balance import Balance
from sensverify.scores.coverage import Coverage
from sensverify.scores.overlap import Overlap, Overlaps

_FAR = 0.02
"""Clean accuracies further apart than this are pointed out."""


def overlap_section(found: Overlaps) -> doc.Section:
    """Scores, and the reasons where there are none."""
    return doc.Section(
        "overlap",
        "Overlaps of robustness",
        tuple(_blocks(found)),
        data=(data("overlaps", lambda: map(_values, found.pairs)),),
    )


def _blocks(found: Overlaps) -> Iterator[doc.Block]:
    yield doc.Text(
        f"Overlapping scores, by {found.metric}: 1 where training with one shift gives all of the "
        "robustness against the other, 0 where it gives none. A note below is the value before it "
        "is clipped at 0." + (f" Means over {found.seeds} seeds." if found.seeds > 1 else "")
    )
    wide = len(found.shifts)
    rows = [
        doc.row(name, *map(_cell, found.pairs[place * wide : (place + 1) * wide]))
        for place, name in enumerate(found.shifts)
    ]
    yield from matrix(found.shifts, rows, "overlap", strength=float)
    reasons = dict.fromkeys(each.reason for each in found.pairs if each.reason)
    if reasons:
        yield from told([f"Not measured: {why}." for why in reasons])
    if found.metric != "accuracy" and found.clean and found.clean[1] - found.clean[0] > _FAR:
        low, high = found.clean
        yield from told(
            [
                f"Clean accuracies go from {percent(low)} to {percent(high)}, "
                f"{points(high - low)} points apart: the metric compares networks fairly where "
                "these are near each other."
            ]
        )


def _cell(each: Overlap) -> doc.Cell:
    if each.raw is None or each.score is None:
        return doc.Cell(DASH, title=each.reason)
    note = signed(each.raw, 2) if each.raw < 0 else ""
    return doc.Cell(signed(each.score, 2), note=note, value=each.raw)


def _values(each: Overlap) -> tuple[doc.Value, ...]:
    return each.first, each.second, each.score, each.raw, each.reason or None


def balance_section(found: Balance) -> doc.Section:
    """The mean overlap of each member with the others."""
    rows = [doc.row(name, _number(value)) for name, value in found.members.items()]
    told = "not known" if found.deviation is None else signed(found.deviation, 3)
    blocks = (
        doc.Text(
            f"Mean overlap of each member with the others, by {found.metric}; their standard "
            f"deviation is {told}. Members above the others count for more in the benchmark."
        ),
        doc.Table(doc.columns("", "mean overlap"), rows, title="balance"),
    )
    behind = data("balance", found.members.items)
    return doc.Section("balance", "Balance of a benchmark", blocks, data=(behind,))


def coverage_section(found: Coverage) -> doc.Section:
    """The largest overlap of each other shift with a member."""
    words = {True: "covered", False: "uncovered", None: "not measured"}
    rows = [
        doc.row(each.shift, words[each.covered], _number(each.largest), each.member or DASH)
        for each in found.shifts
    ]
    blocks = (
        doc.Text(
            f"Shifts beside the benchmark ({', '.join(found.benchmark)}), by {found.metric}: one "
            "is uncovered where its overlap with every member is 0."
        ),
        doc.Table(doc.columns("", "", "largest overlap", "with"), rows, title="coverage"),
    )
    behind = data(
        "coverage",
        lambda: [(s.shift, s.covered, s.largest, s.member or None) for s in found.shifts],
    )
    return doc.Section("coverage", "Coverage of a benchmark", blocks, data=(behind,))


def _number(value: float | None) -> doc.Cell:
    return doc.Cell(DASH if value is None else signed(value, 2), value=value)
