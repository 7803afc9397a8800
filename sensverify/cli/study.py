"""``sensverify study``: train several losses on equal terms, and compare them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sensverify.cli.options import PATH, STOPPED, data_dir_option
from sensverify.cli.progress import run_bar, watching

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


@study.command("run")
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
def run(
    file: Path, out: Path, variant: str | None, resume: bool, jobs: int, data_dir: Path | None
) -> int:
    """Train everything that FILE.toml describes, and print the final metrics.

    Ctrl-C stops after a checkpoint, with exit status 3; --resume goes on from there. A training
    that goes wrong (NaN, collapse) is a result: it is reported, the others go on, and the exit
    status is 0 all the same.
    """
    from sensverify.report.study.document import study_document
    from sensverify.report.terminal import PlainConsole, print_document
    from sensverify.studies.collect import collect
    from sensverify.studies.files import read_study
    from sensverify.studies.run import run_study

    asked = read_study(file, variant=variant)
    errors = PlainConsole(stderr=True)
    with _progress(errors) as progress, watching() as watch:
        outcome = run_study(
            asked, out, resume=resume, jobs=jobs, data_dir=data_dir, watch=watch, progress=progress
        )
    if outcome.entries:
        console = PlainConsole()
        print_document(study_document(collect(out), figures=False), console)
        console.print()
    if outcome.complete:
        errors.print(f"tables, figures and a page: sensverify study report '{out}'", markup=False)
        return 0
    errors.print("stopped; the same command with --resume goes on", markup=False)
    return STOPPED


@study.command("report")
@click.argument("folder", metavar="DIR", type=PATH)
def report(folder: Path) -> int:
    """Write tables, figures and one page of DIR's study into DIR/report.

    A study that has not ended yet is reported as far as it is. An earlier report is replaced.
    """
    from sensverify.report.study.document import study_document
    from sensverify.report.terminal import PlainConsole, print_document
    from sensverify.studies.collect import write_report

    found, paths = write_report(folder)
    console = PlainConsole()
    print_document(study_document(found, figures=False), console)
    console.print()
    for path in paths:
        console.print(str(path), markup=False, soft_wrap=True)
    return 0


@contextlib.contextmanager
def _progress(console: Any) -> Iterator[Listener]:
    """A line for every finished training; a bar as well when standard error is a terminal."""
    from sensverify.cli.study_progress import finished_line, running_text

    with run_bar(console, "trainings", running_text) as (show, _):

        def both(state: Progress) -> None:
            if state.row is not None:
                console.print(finished_line(state.row, state), markup=False)
            if show is not None:
                show(state)

        yield both
