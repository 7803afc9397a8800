"""The table of a study for a terminal: metrics down, losses across."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from sensverify.report.study.contents import StudyReport, StudyTable
from sensverify.report.study.tables import unit, value_parts

_PARTS = {"test": "test samples", "train": "training samples"}


def print_study(report: StudyReport, console: Console) -> None:
    """Print both tables, and what failed or is missing."""
    for table in report.tables:
        if table.used_columns():
            words, shown = _fitting(table, console)
            console.print(Text(words, style="italic"))
            console.print(shown)
            console.print()
    for line in report.warnings:
        console.print(Text(line, style="bold yellow"))


def _fitting(study: StudyTable, console: Console) -> tuple[str, Table]:
    """A heading, and a table with spreads and published numbers if there is room for them."""
    seeds = max(row.seeds for row in study.rows)
    words = f"{_PARTS[study.part]}, {'one seed' if seeds == 1 else f'mean of {seeds} seeds'}"
    shown, full = _table(study), True
    for narrower in ({"spread": False}, {"spread": False, "published": False}):
        wide = console.options.update(width=10_000)
        if Measurement.get(console, wide, shown).maximum <= console.width:
            break
        shown, full = _table(study, **narrower), False
    return words if full else f"{words}; a wider terminal shows more", shown


def _table(study: StudyTable, *, spread: bool = True, published: bool = True) -> Table:
    rows = [row for row in study.rows if published or not row.published]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for row in rows:
        dim = "dim italic" if row.published else ""
        name = Text(row.published or row.name, style=dim or "bold")
        narrow = 12 if row.published else None
        table.add_column(name, justify="right", overflow="fold", max_width=narrow)
    for column in study.used_columns():
        cells: list[Text] = [Text(f"{column}{unit(column)}")]
        for row in rows:
            known = column in row.values
            centre, around = value_parts(column, row.values.get(column))
            text = f"{centre} {around}".strip() if spread else centre
            text = text if known or not row.published else ""
            best = "bold green" if study.is_best(row, column) else ""
            cells.append(Text(text, style="dim italic" if row.published else best))
        table.add_row(*cells)
    return table
