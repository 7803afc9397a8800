"""The instances of a benchmark that were not decided, and how far they are from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensverify.report import document as doc
from sensverify.report.formatting import DASH, number, percent
from sensverify.verification.benchmark import DECIDED, PHASES, InstanceResult

ROWS = 200
"""Instances that the page lists."""


def undecided_section(results: Sequence[InstanceResult]) -> Iterator[doc.Section]:
    """The undecided instances, those that came nearest to a proof first; nothing where all are."""
    left = [each for each in results if each.verdict not in DECIDED and each.verdict != "error"]
    if not left:
        return
    left.sort(key=lambda each: (each.shortfall is None, each.shortfall or 0.0))
    columns = [
        *(doc.Column(name, "text", align="left") for name in ("property", "model", "verdict")),
        doc.Column("shortfall", hint="by how much bounds are short of their limits"),
        doc.Column("explored", hint="sub-boxes or nodes that were bounded"),
        doc.Column("rate", hint="of those, a second of processor time"),
        *(doc.Column(name, hint=f"share of the time spent {_SPENT[name]}") for name in PHASES),
    ]
    rows = [_row(each) for each in left[:ROWS]]
    blocks: list[doc.Block] = [
        doc.Text(_LEAD, "note", on=doc.PAGE),
        doc.Table(columns, rows, "listing", sortable=True, on=doc.PAGE),
    ]
    if len(left) > ROWS:
        blocks.append(doc.Text(f"… and {len(left) - ROWS:,} more", "note", on=doc.PAGE))
    yield doc.Section("undecided", "Undecided", tuple(blocks))


_LEAD = (
    "By how much bounds are short of the limits, those that came nearest to a proof first, and "
    "where the time went."
)

_SPENT = {
    "looking": "looking for an input that meets the property",
    "bounding": "bounding whole input boxes",
    "splitting": "splitting them",
}


def _row(result: InstanceResult) -> doc.Row:
    instance, short = result.instance, result.shortfall
    pace = result.explored / result.processor if result.processor > 0 else None
    whole = sum(result.phases.values())
    shares = [result.phases.get(name, 0.0) / whole if whole > 0 else None for name in PHASES]
    return doc.row(
        instance.vnnlib,
        doc.Cell(instance.onnx, "text"),
        doc.Cell(result.verdict, "text undecided"),
        DASH if short is None else doc.Cell(number(short), value=short),
        doc.Cell(f"{result.explored:,}", value=result.explored),
        DASH if pace is None else doc.Cell(number(pace), value=pace),
        *(DASH if each is None else doc.Cell(percent(each, 0), value=each) for each in shares),
    )
