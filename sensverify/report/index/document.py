"""An index of reports as a document."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sensverify.core.record import RunRecord
from sensverify.report import document as doc
from sensverify.report.formatting import DASH, count_of
from sensverify.report.index.entries import Entry
from sensverify.report.index.find import TITLE, ReportIndex
from sensverify.report.record import record_facts

ROWS = 20
"""Reports that a terminal lists; the others are counted."""

_LOOKS = {"good": "certified", "bad": "bad", "open": "undecided"}


def index_document(index: ReportIndex, page: Path) -> doc.Document:
    """All reports in one table, with links to their pages and JSON.

    Parameters
    ----------
    index : ReportIndex
    page : Path
        Where the page will be: links lead from its folder.
    """
    name = index.folder.resolve().name or str(index.folder)
    facts = list(record_facts(RunRecord.now()))
    return doc.Document(
        title=f"{name}: {TITLE.lower()}",
        eyebrow=TITLE,
        heading=name,
        lead=f"{count_of(len(index.entries), 'report')}, the newest first.",
        sections=(
            doc.Section("summary", "", tuple(_summary(index))),
            doc.Section("reports", "Reports", tuple(_reports(index, page))),
            doc.Section("record", "Record", (doc.Facts(facts, on=doc.PAGE),)),
        ),
    )


def _summary(index: ReportIndex) -> Iterator[doc.Block]:
    levels = Counter(entry.level for entry in index.entries)
    bad = [entry for entry in index.entries if entry.level == "bad"]
    if bad:
        names = ", ".join(f"{entry.kind} of {entry.name}: {entry.verdict}" for entry in bad[:3])
        more = f" and {len(bad) - 3:,} more" if len(bad) > 3 else ""
        title = f"{count_of(len(bad), 'report has', 'reports have')} failed"
        yield doc.Notice([f"{names}{more}."], "bad", title, on=doc.PAGE)
    if index.broken:
        broken = count_of(len(index.broken), "result is", "results are")
        text = f"{broken} broken; the table says why."
        yield doc.Notice([text], "open", on=doc.PAGE)
    for text in _missing(index):
        yield doc.Notice([f"{text}."], "open", on=doc.PAGE)
    numbers = [("Reports", len(index.entries), "")]
    numbers += [
        (word, levels[level], note)
        for word, level, note in (
            ("Failed", "bad", "gates, verdicts or certificates"),
            ("Undecided", "open", "stopped, undecided or broken"),
            ("Passed", "good", "of those that were judged"),
        )
    ]
    cells = [doc.Number(word, [doc.Cell(f"{n:,}", note=note)]) for word, n, note in numbers]
    yield doc.Numbers(cells, on=doc.PAGE)


def _reports(index: ReportIndex, page: Path) -> Iterator[doc.Block]:
    names = ("report", "what", "verdict", "in short", "data or method", "made", "folder", "files")
    columns = [doc.Column(name, "text", align="left") for name in names]
    rows = [_row(entry, index.folder, page) for entry in index.entries]
    yield doc.Table(columns, rows, "listing", sortable=True, search="reports", on=doc.PAGE)
    short = [
        doc.row(e.name, e.kind, doc.Cell(e.verdict, _LOOKS.get(e.level, "")), e.problem or e.figure)
        for e in index.entries[:ROWS]
    ]
    heads = [doc.Column(name, align="left") for name in ("report", "what", "verdict", "in short")]
    yield doc.Table(heads, short, on=doc.TERMINAL)
    if len(index.entries) > ROWS:
        text = f"… and {len(index.entries) - ROWS:,} more; the page lists them all"
        yield doc.Text(text, on=doc.TERMINAL)
    for text in _missing(index):
        yield doc.Text(text, "open", on=doc.TERMINAL)


def _missing(index: ReportIndex) -> Iterator[str]:
    """Lines about what is not in the table."""
    if index.left_out:
        yield f"{count_of(index.left_out, 'more file was', 'more files were')} not looked at"
    if index.unread:
        yield f"{count_of(index.unread, 'file or folder', 'files or folders')} could not be read"


def _row(entry: Entry, folder: Path, page: Path) -> doc.Row:
    found = entry.page or entry.json
    assert found is not None
    place = os.path.relpath(found.parent, folder)
    texts: list[tuple[doc.Line, str]] = [
        (entry.kind, "text"),
        (entry.verdict or DASH, f"text {_LOOKS.get(entry.level, '')}".strip()),
        (entry.problem or entry.figure or DASH, "text long"),
        (entry.data or DASH, "text"),
        (entry.date.replace("T", " ").replace("Z", "") or DASH, "text"),
        ("" if place == "." else place, "text"),
        (_links(entry, page), "text"),
    ]
    name = doc.Span(entry.name, file=_beside(found, page))
    return doc.row(name, *(doc.Cell(text, look) for text, look in texts))


def _links(entry: Entry, page: Path) -> doc.Line:
    files = [("page", entry.page), ("JSON", entry.json)]
    spans = [doc.Span(word, file=_beside(path, page)) for word, path in files if path is not None]
    return tuple(part for span in spans for part in (span, " "))[:-1]


def _beside(path: Path, page: Path) -> str:
    """The path of a file from the folder of the page."""
    return Path(os.path.relpath(path, page.parent)).as_posix()
