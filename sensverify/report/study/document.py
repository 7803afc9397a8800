"""A study as a document: tables of losses, the course of their trainings, and the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sensverify.report import document as doc
from sensverify.report.study.contents import StudyReport, StudyTable
from sensverify.report.study.figures import PARTS, course_panels, trail_panels
from sensverify.report.study.values import table_data, unit, value_parts

_TRAILS = {
    "sensitivity_seeds": "Sensitivity in the course of the training, a line a training.",
    "sensitivity_energy": "Sensitivity against the energy (the training loss with its penalties), "
    "which falls from left to right; the dot is where a training ended.",
}
_ACROSS = 8
"""Losses that stand across a terminal, where there are no fewer metrics."""

_BANDS = (
    "Lines are means over the seeds (of SENSE the geometric mean), bands reach from the smallest "
    "to the largest of them. A thin vertical line is where a loss changes its stage."
)


def study_document(report: StudyReport, *, figures: bool = True) -> doc.Document:
    """The document of a study, with the ``figures`` that a terminal does not show."""
    losses = [(name, _said(values)) for name, values in report.losses.items()]
    warnings = [doc.Text(line, "open", on=doc.TERMINAL) for line in report.warnings]
    figured = tuple(_figures(report)) if figures else ()
    smaller = doc.Text("Smaller is better in every one of them.", "note", on=doc.PAGE)
    needed = doc.Text("What is needed to repeat this study.", "note", on=doc.PAGE)
    meanings = doc.Facts(list(report.meanings.items()), on=doc.PAGE)
    record = doc.Facts(list(report.record.items()), on=doc.PAGE)
    return doc.Document(
        title=report.title,
        eyebrow="Training losses compared on equal terms",
        heading=report.title,
        lead=report.question,
        sections=(
            doc.Section("summary", "", tuple(_opening(report))),
            *(_table_section(table) for table in report.tables if table.used_columns()),
            doc.Section("warnings", "", warnings),
            doc.Section("course", "In the course of the training", figured),
            *report.sections,
            doc.Section("losses", "Losses", [doc.Facts(losses, on=doc.PAGE)]),
            doc.Section("columns", "What the columns say", [smaller, meanings]),
            doc.Section("record", "Record", [needed, record]),
        ),
    )


def _said(values: Mapping[str, str]) -> list[doc.Line]:
    """The terms of a loss, then all else about it."""
    others = (f"{name}: {text}" for name, text in values.items() if name != "terms")
    return [values["terms"], *others]


def _opening(report: StudyReport) -> Iterator[doc.Block]:
    for part in report.note.split("\n\n"):
        if part.strip():
            yield doc.Text(part, on=doc.PAGE)
    if report.warnings:
        yield doc.Notice(list(report.warnings), "bad", on=doc.PAGE)


def _table_section(table: StudyTable) -> doc.Section:
    narrower = [{"spread": False}, {"spread": False, "published": False}]
    variants = [_terminal_table(table), *(_terminal_table(table, **less) for less in narrower)]
    terminal = doc.Fitting(variants, on=doc.TERMINAL)
    return doc.Section(
        table.part,
        f"On {PARTS[table.part]}",
        [doc.Text(_reading(table), "note", on=doc.PAGE), page_table(table), terminal],
        data=[table_data(table)],
    )


def _reading(table: StudyTable) -> str:
    seeds = max((row.seeds for row in table.rows), default=0)
    text = "The smallest number of every column is bold and green."
    if seeds > 1:
        text = (
            f"Mean ± standard deviation over {seeds} seeds; of SENSE the geometric mean and the "
            f"factor of one standard deviation. {text}"
        )
    if any(row.published for row in table.rows):
        text += " Published numbers are in italics below ours."
    return text


def page_table(table: StudyTable, *, spread: bool = True, published: bool = True) -> doc.Table:
    """Losses down, metrics across; what was published about a loss is below it."""
    columns = table.used_columns()
    shown = [row for row in table.rows if published or not row.published]
    rows = []
    for row, below in zip(shown, (*shown[1:], None), strict=True):
        cells = []
        for column in columns:
            if row.published and column not in row.values:
                cells.append(doc.Cell())
                continue
            value, around = value_parts(column, row.values.get(column))
            best = "best" if table.is_best(row, column) else ""
            cells.append(doc.Cell(value, best, around if spread else ""))
        above = below is not None and below.published
        look = "published" if row.published else "above" if above else ""
        rows.append(doc.Row(row.published or row.name, cells, look=look))
    heads = (doc.Column(column, note=unit(column).strip(" ()")) for column in columns)
    return doc.Table(doc.columns("loss", *heads), rows, "results", on=doc.PAGE)


def _terminal_table(table: StudyTable, *, spread: bool = True, published: bool = True) -> doc.Table:
    """Metrics down, losses across: the page's table on its side; of many losses, as it is there."""
    found = page_table(table, spread=spread, published=published)
    if len(found.rows) <= max(_ACROSS, len(found.columns)):
        found = found.turned(doc.Column(align="left"))
        columns = [
            replace(each, width=12) if each.look == "published" else each for each in found.columns
        ]
        found = replace(found, columns=columns)
    seeds = max(row.seeds for row in table.rows)
    title = f"{PARTS[table.part]}, {'one seed' if seeds == 1 else f'mean of {seeds} seeds'}"
    more = "" if spread and published else "; a wider terminal shows more"
    return replace(found, title=title + more, notes=True)


def _figures(report: StudyReport) -> Iterator[doc.Block]:
    drawn = [(_TRAILS[name], "note", panels) for name, panels in trail_panels(report).items()]
    for part, words in PARTS.items():
        drawn.append((f"On {words}", "heading", course_panels(report, part)))
    if any(panels for *_, panels in drawn) and any(course.seeds > 1 for course in report.courses):
        yield doc.Text(_BANDS, "note", on=doc.PAGE)
    for text, look, panels in drawn:
        if panels:
            yield doc.Text(text, look, on=doc.PAGE)
            figures = [doc.Figure([drawing], look="card") for drawing in panels]
            yield doc.Group(figures, "cards", on=doc.PAGE)
