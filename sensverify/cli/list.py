"""``sensverify list``: what there is to name on the command line."""

from __future__ import annotations

from dataclasses import replace

import click

WHAT = (
    "methods",
    "models",
    "data",
    "losses",
    "architectures",
    "attacks",
    "corruptions",
    "measures",
)


@click.command("list")
@click.argument("what", metavar="|".join(WHAT), type=click.Choice(WHAT))
@click.option("--data-dir", type=click.Path(), help="Folder that 'list data' looks into first.")
def list_names(what: str, data_dir: str | None) -> None:
    """List what has a name on the command line.

    Methods and models are for 'verify', losses and architectures for 'train', attacks, corruptions
    and measures for 'evaluate'; data sets are for all of them.

    \b
    Examples:
      sensverify list methods
      sensverify list losses
      sensverify list measures
      sensverify list data --data-dir ~/data
    """
    from sensverify.catalogs import list_tables
    from sensverify.report.document import Cell, Column, Document, Row, Section, Table
    from sensverify.report.terminal import PlainConsole, print_document

    sections = []
    for header, rows in list_tables(what, data_dir=data_dir):
        names, *others = (Column(title, align="left") for title in header)
        lines = [Row(name, [Cell(text) for text in texts]) for name, *texts in rows]
        sections.append(Section("", "", [Table([replace(names, wrap="whole"), *others], lines)]))
    print_document(Document(sections=sections), PlainConsole())
