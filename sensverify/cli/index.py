"""``sensverify index``: one page that leads to all reports below a folder."""

from __future__ import annotations

from pathlib import Path

import click

from sensverify.cli.options import PATH, force_option, quiet_option
from sensverify.cli.printing import note, show
from sensverify.cli.targets import STDOUT, Targets


@click.command("index")
@click.argument("folder", type=PATH)
@click.option(
    "--out",
    type=PATH,
    metavar="FILE.html",
    help="The page. Default: index.html in FOLDER.",
)
@force_option("Overwrite the page.")
@quiet_option()
def index(folder: Path, out: Path | None, force: bool) -> int:
    """Write one page that lists all reports below FOLDER, with links.

    Results of --json and pages of --report are found by what they say of themselves, whatever
    their names: what was asked, of which model and data, when, the verdict and the figure that
    sums it up, in a table that can be searched and sorted. A result that is broken is listed with
    the reason. Links are relative, so that the folder can be moved or served as a whole.

    \b
    Examples:
      sensverify index runs
      sensverify index results --out results/overview.html --force
    """
    from sensverify.report.html import document_to_html
    from sensverify.report.index.document import index_document
    from sensverify.report.index.find import find_reports

    page = folder / "index.html" if out is None else out
    if page == STDOUT:
        raise click.BadParameter("a page goes into a file", param_hint="'--out'")
    targets = Targets(report=page, force=force)
    found = find_reports(folder, leave_out=page)
    files = [path for entry in found.entries for path in (entry.json, entry.page)]
    targets.check([path for path in files if path is not None])
    document = index_document(found, page)
    targets.write(report=lambda: document_to_html(document))
    show(document)
    note(f"page: {page}")
    return 0
