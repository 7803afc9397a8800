"""``sensverify list``: what there is to name on the command line."""

from __future__ import annotations

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
    from sensverify.report.console import PlainConsole
    from sensverify.report.listing import listing_table

    console = PlainConsole()
    for place, (header, rows) in enumerate(list_tables(what, data_dir=data_dir)):
        if place:
            console.print()
        console.print(listing_table(header, rows))
