"""``sensverify list``: what there is to name on the command line."""

from __future__ import annotations

import click

WHAT = ("methods", "models", "data")


@click.command("list")
@click.argument("what", metavar="methods|models|data", type=click.Choice(WHAT))
@click.option("--data-dir", type=click.Path(), help="Folder that 'list data' looks into first.")
def list_names(what: str, data_dir: str | None) -> None:
    """List the methods, models or data sets that 'verify' knows by name.

    \b
    Examples:
      sensverify list methods
      sensverify list models
      sensverify list data --data-dir ~/data
    """
    from sensverify.catalogs import list_rows
    from sensverify.report.console import PlainConsole
    from sensverify.report.listing import listing_table

    header, rows = list_rows(what, data_dir=data_dir)
    PlainConsole().print(listing_table(header, rows))
