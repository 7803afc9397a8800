"""``sensverify landscape``: minima and saddles of a training loss, and how they are linked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sensverify.cli.landscape_report import report
from sensverify.cli.options import PATH, STOPPED, data_dir_option, quiet_option
from sensverify.cli.printing import note, show
from sensverify.cli.progress import showing_run, watching
from sensverify.core.brief import count_of
from sensverify.errors import BadData

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sensverify.landscape.folder import Landscape
    from sensverify.landscape.points import StationaryPoint
    from sensverify.report.document import Table
    from sensverify.runs.progress import Listener, Progress


@click.group("landscape")
def landscape() -> None:
    """Find minima and saddles of a network's training loss, each once, and how they are linked.

    \b
    Examples:
      sensverify landscape run iris.toml --out iris --jobs 2
      sensverify landscape run iris.toml --out iris --resume
      sensverify landscape list iris
      sensverify landscape report iris --jobs 2
    """


landscape.add_command(report)


@landscape.command("run", short_help="Search what a landscape's file describes.")
@click.argument("file", type=PATH)
@click.option(
    "--out",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Folder of the landscape: what was asked, and a journal of what was found.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the landscape that DIR holds; nothing is done twice. The numbers of rounds, "
    "minima and saddles in FILE may be others than before.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Tasks at once, each in a process of its own, on one core. What is found does not depend "
    "on it.",
)
@data_dir_option()
@quiet_option()
def run(file: Path, out: Path, resume: bool, jobs: int, data_dir: Path | None) -> int:
    """Search what FILE, a .toml file, describes: minima, saddles of index 1, and the two paths of
    steepest descent from each saddle.

    Ctrl-C ends the tasks in hand, with exit status 3; --resume does them again and goes on. The
    same file gives the same minima and saddles, however often it was stopped. The exit status is 2
    where every search was lost.
    """
    from sensverify.landscape.request import read_landscape
    from sensverify.landscape.run import run_landscape

    asked = read_landscape(file)
    for remark in asked.remarks:
        note(remark)
    with _progress() as progress, watching() as watch:
        found = run_landscape(
            asked, out, resume=resume, jobs=jobs, data_dir=data_dir, watch=watch, progress=progress
        )
    if found.complete and not found.database.minima:
        raise BadData(
            f"no minimum was found: {', '.join(_lost(found))}",
            "smaller weights at the start (`scale`), a penalty (`l2`) or more `steps` in [descent] "
            "may keep searches from it",
        )
    _show(found, limit=10)
    if found.complete:
        note(f"all of them: sensverify landscape list '{out}'")
        return 0
    click.echo("stopped; the same command with --resume goes on", err=True)
    return STOPPED


@landscape.command("list")
@click.argument("folder", metavar="DIR", type=PATH)
@data_dir_option()
@quiet_option()
def list_points(folder: Path, data_dir: Path | None) -> int:
    """List the minima and saddles that DIR holds, from the lowest energy on.

    \b
    Columns:
      energy     the loss with its penalty
      gradient   length of the gradient
      lowest     the smallest eigenvalue of the Hessian; a dash at kinks, where there is none
      zero       eigenvalues that are 0 within the tolerance
      seen       how often a search came by
      links      minima that saddles link a minimum to; the minima that a saddle links
      ReLU       energy with ReLU, and the length there that decides whether it is stationary: of
                 the shortest combination of gradients, or of the one gradient with
                 convention = "autodiff"
    """
    from sensverify.landscape.folder import Landscape

    _show(Landscape.read(folder, data_dir=data_dir), limit=None)
    return 0


def _show(found: Landscape, *, limit: int | None) -> None:
    from sensverify.report.document import Document, Section, Text
    from sensverify.runs.progress import duration

    database = found.database
    parts = [
        count_of(len(database.minima), "minimum", "minima"),
        count_of(len(database.saddles), "saddle of index 1", "saddles of index 1"),
        *_lost(found),
    ]
    lines = [Text(", ".join(parts))]
    flat = sum(point.zero > 0 for point in database.points.values())
    if flat:
        have = "has" if flat == 1 else "have"
        lines.append(Text(f"{flat} of them {have} zero modes: flat directions", "open"))
    ends = [point.relu for point in database.minima if point.relu is not None]
    if ends:
        failed = sum(not end.passed for end in ends)
        relu = "continued to ReLU" if found.request.relu else "at kinks"
        continued = count_of(len(ends), "minimum", "minima")
        lines.append(Text(f"{continued} {relu}, {failed} of them not stationary"))
    lines.append(Text(f"processor time of the search: {duration(found.seconds)}"))
    lines += [Text(text) for text in found.request.remarks]
    sections = [Section("", "", lines)]
    for points in (database.minima, database.saddles):
        if points:
            sections.append(Section("", "", [_table(found, points[:limit])]))
    show(Document(sections=tuple(sections)))


def _lost(found: Landscape) -> list[str]:
    lost = sorted(found.database.lost.items())
    return [f"{count_of(count, 'search', 'searches')} lost: {why}" for why, count in lost]


def _table(found: Landscape, points: Sequence[StationaryPoint]) -> Table:
    from sensverify.report.document import Cell, Column, Row, Table
    from sensverify.report.formatting import DASH

    linked = {link.saddle: link.minima for link in found.database.links}
    neighbours = found.database.neighbours()
    relu = any(point.relu is not None for point in points)
    names = ("energy", "gradient", "lowest", "zero", "seen", "links")
    columns = [Column("", align="left"), *(Column(name) for name in names)]
    columns += [Column("ReLU energy"), Column("stationary")] if relu else []
    rows = []
    for point in points:
        links = "-".join(linked.get(point.key, ())) or str(len(neighbours.get(point.key, ())))
        texts = [
            f"{point.energy:.7f}",
            f"{point.gradient_norm:.1e}",
            f"{point.spectrum[0]:.3g}" if isfinite(point.spectrum[0]) else DASH,
            str(point.zero),
            str(found.database.seen[point.key]),
            links,
        ]
        if point.relu is not None:
            mark = "" if point.relu.passed else " no"
            length = found.request.settings.relu.judged_by(point.relu)
            texts += [f"{point.relu.energy:.7f}", f"{length:.1e}{mark}"]
        elif relu:
            texts += ["", ""]
        rows.append(Row(point.key, [Cell(text) for text in texts]))
    return Table(columns, rows)


@contextlib.contextmanager
def _progress() -> Iterator[Listener]:
    """Progress, with a line for every finished task."""
    with showing_run("tasks of this stage", _running) as (display, update, _):

        def both(state: Progress) -> None:
            if state.row is not None:
                display.tell(_finished(state))
            update(state)

        yield both


def _running(state: Progress) -> str:
    return ", ".join(each.key for each in state.running)


def _finished(state: Progress) -> str:
    from sensverify.runs.progress import duration

    row = state.row
    saddles = len(row.links)
    found = count_of(len(row.points) - saddles, "minimum", "minima")
    if row.ends:
        found = count_of(len(row.ends), "end with ReLU", "ends with ReLU")
    parts = [found, *([count_of(saddles, "saddle")] if saddles else []), duration(row.seconds)]
    return f"{row.key}: {', '.join(parts)} ({state.done} of {state.total})"
