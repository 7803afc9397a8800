"""``sensverify study``: train several losses on equal terms, and compare them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sensverify.cli.options import PATH, STOPPED, data_dir_option, quiet_option
from sensverify.cli.printing import note, show
from sensverify.cli.progress import showing_run, watching

if TYPE_CHECKING:
    from sensverify.runs.progress import Listener, Progress


@click.group("study")
def study() -> None:
    """Train several losses with several seeds on the same mini-batches, and compare them.

    \b
    Examples:
      sensverify study run table1.toml --out table1 --variant reduced
      sensverify study run table1.toml --out table1 --variant reduced --resume
      sensverify study report table1
    """


@study.command("run", short_help="Train everything that a study's file describes.")
@click.argument("file", type=PATH)
@click.option(
    "--out",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Folder of the study: the configuration, a journal, and one run directory a training.",
)
@click.option("--variant", metavar="NAME", help="A variant of the file, such as 'reduced'.")
@click.option(
    "--resume", is_flag=True, help="Go on with the study that DIR holds; nothing is done twice."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Trainings at once, each in a process of its own; they share the cores.",
)
@data_dir_option()
@quiet_option()
def run(
    file: Path, out: Path, variant: str | None, resume: bool, jobs: int, data_dir: Path | None
) -> int:
    """Train everything that FILE, a .toml file, describes, and print the final metrics.

    Ctrl-C stops after a checkpoint, with exit status 3; --resume goes on from there. A training
    that goes wrong (NaN, collapse) is a result: it is reported, the others go on, and the exit
    status is 0 all the same.
    """
    from sensverify.report.study.document import study_document
    from sensverify.studies.collect import collect
    from sensverify.studies.files import read_study
    from sensverify.studies.run import run_study

    asked = read_study(file, variant=variant)
    with _progress() as progress, watching() as watch:
        outcome = run_study(
            asked, out, resume=resume, jobs=jobs, data_dir=data_dir, watch=watch, progress=progress
        )
    if outcome.entries:
        show(study_document(collect(out), figures=False))
        click.echo()
    if outcome.complete:
        note(f"tables, figures and a page: sensverify study report '{out}'")
        return 0
    click.echo("stopped; the same command with --resume goes on", err=True)
    return STOPPED


@study.command("report")
@click.argument("folder", metavar="DIR", type=PATH)
@quiet_option()
def report(folder: Path) -> int:
    """Write tables, figures and one page of DIR's study into DIR/report.

    A study that has not ended yet is reported as far as it is. An earlier report is replaced.
    """
    from sensverify.report.study.document import study_document
    from sensverify.studies.collect import write_report

    found, paths = write_report(folder)
    show(study_document(found, figures=False))
    click.echo()
    for path in paths:
        click.echo(path)
    return 0


@contextlib.contextmanager
def _progress() -> Iterator[Listener]:
    """Progress, with a line for every finished training."""
    from sensverify.cli.study_progress import finished_line, running_text

    with showing_run("trainings", running_text) as (display, update, _):

        def both(state: Progress) -> None:
            if state.row is not None:
                display.tell(finished_line(state.row, state))
            update(state)

        yield both
