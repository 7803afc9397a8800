"""A study as a document: tables of losses, the course of their trainings, and the record."""

from __future__ import annotations

from collections.abc import Iterator

from sensverify.report import document as doc
from sensverify.report.document import Cell, Column, Medium, Row, Section, Table
from sensverify.report.study.contents import StudyReport, StudyTable
from sensverify.report.study.figures import PARTS, course_panels, trail_panels
from sensverify.report.study.values import table_data, unit, value_parts

_TRAILS = {
    "sensitivity_seeds": "Sensitivity in the course of the training, a line a training.",
    "sensitivity_energy": "Sensitivity against the energy (the training loss with its penalties), "
    "which falls from left to right; the dot is where a training ended.",
}
_BANDS = (
    "Lines are means over the seeds (of SENSE the geometric mean), bands reach from the smallest "
    "to the largest of them. A thin vertical line is where a loss changes its stage."
)


def study_document(report: StudyReport, *, figures: bool = True) -> doc.Document:
    """The document of a study.

    Parameters
    ----------
    report : StudyReport
    figures : bool
        Whether the figures are drawn; a terminal does not show them.
    """
    page = Medium.PAGE
    losses = [(f.name, [f.values["terms"], *_others(f.values)]) for f in report.losses]
    return doc.Document(
        title=report.title,
        eyebrow="Training losses compared on equal terms",
        heading=report.title,
        lead=report.question,
        sections=(
            Section("summary", "", tuple(_opening(report))),
            *(_table_section(table) for table in report.tables if table.used_columns()),
            Section(
                "warnings",
                "",
                [doc.Text(line, "open", on=Medium.TERMINAL) for line in report.warnings],
            ),
            Section(
                "course",
                "In the course of the training",
                tuple(_figures(report)) if figures else (),
            ),
            Section("losses", "Losses", [doc.Facts(losses, on=page)]),
            Section(
                "columns",
                "What the columns say",
                [
                    doc.Text("Smaller is better in every one of them.", "note", on=page),
                    doc.Facts(list(report.meanings.items()), on=page),
                ],
            ),
            Section(
                "record",
                "Record",
                [
                    doc.Text("What is needed to repeat this study.", "note", on=page),
                    doc.Facts(list(report.record.items()), on=page),
                ],
            ),
        ),
    )


def _others(values: dict[str, str] | object) -> list[str]:
    assert isinstance(values, dict)
    return [f"{name}: {text}" for name, text in values.items() if name != "terms"]


def _opening(report: StudyReport) -> Iterator[doc.Block]:
    for part in report.note.split("\n\n"):
        if part.strip():
            yield doc.Text(part, on=Medium.PAGE)
    if report.warnings:
        yield doc.Notice(report.warnings, "bad", on=Medium.PAGE)


def _table_section(table: StudyTable) -> Section:
    terminal = doc.Fitting(
        [
            _terminal_table(table),
            _terminal_table(table, spread=False),
            _terminal_table(table, spread=False, published=False),
        ],
        on=Medium.TERMINAL,
    )
    return Section(
        table.part,
        f"On {PARTS[table.part]}",
        [doc.Text(_reading(table), "note", on=Medium.PAGE), page_table(table), terminal],
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


def page_table(table: StudyTable) -> Table:
    """Losses down, metrics across; what was published about a loss is below it."""
    columns = table.used_columns()
    rows = []
    for row, below in zip(table.rows, (*table.rows[1:], None), strict=True):
        cells = []
        for column in columns:
            if row.published and column not in row.values:
                cells.append(Cell())
                continue
            value, spread = value_parts(column, row.values.get(column))
            cells.append(Cell(value, "best" if table.is_best(row, column) else "", spread))
        above = below is not None and below.published
        look = "published" if row.published else "above" if above else ""
        rows.append(Row(row.published or row.name, cells, look=look))
    heads = [Column(column, note=unit(column).strip(" ()")) for column in columns]
    return Table([Column("loss"), *heads], rows, "results", on=Medium.PAGE)


def _terminal_table(table: StudyTable, *, spread: bool = True, published: bool = True) -> Table:
    """Metrics down, losses across."""
    shown = [row for row in table.rows if published or not row.published]
    columns = [Column("", align="left")]
    for each in shown:
        look = "published" if each.published else ""
        width = 12 if each.published else None
        columns.append(Column(each.published or each.name, look, width=width))
    rows = []
    for column in table.used_columns():
        cells = []
        for each in shown:
            centre, around = value_parts(column, each.values.get(column))
            text = f"{centre} {around}".strip() if spread else centre
            known = column in each.values or not each.published
            best = "best" if table.is_best(each, column) else ""
            cells.append(Cell(text if known else "", "published" if each.published else best))
        rows.append(Row(f"{column}{unit(column)}", cells))
    seeds = max(row.seeds for row in table.rows)
    title = f"{PARTS[table.part]}, {'one seed' if seeds == 1 else f'mean of {seeds} seeds'}"
    full = spread and published
    return Table(columns, rows, title=title if full else f"{title}; a wider terminal shows more")


def _figures(report: StudyReport) -> Iterator[doc.Block]:
    page, blocks = Medium.PAGE, list[doc.Block]()
    for name, drawings in trail_panels(report).items():
        blocks.append(doc.Text(_TRAILS[name], "note", on=page))
        figures = [doc.Figure([drawing], look="card") for drawing in drawings]
        blocks.append(doc.Group(figures, "cards", on=page))
    for part, words in PARTS.items():
        drawings = course_panels(report, part)
        if drawings:
            blocks.append(doc.Heading(f"On {words}", on=page))
            figures = [doc.Figure([drawing], look="card") for drawing in drawings]
            blocks.append(doc.Group(figures, "cards", on=page))
    if blocks and any(course.seeds > 1 for course in report.courses):
        yield doc.Text(_BANDS, "note", on=page)
    yield from blocks
