"""A study that is run from the command line: its progress, its end, and the exit status."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sensverify.cli.options import STOPPED, data_dir_option, quiet_option, shard_option
from sensverify.cli.printing import note
from sensverify.cli.progress import showing_run, watching
from sensverify.cli.workers import read_workers, workers_option

if TYPE_CHECKING:
    from sensverify.runs.progress import Listener, Progress
    from sensverify.studies.plan import StudyPlan
    from sensverify.studies.study import Study


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that trains a study: they are those of `train_study`."""
    options = (
        click.option("--variant", metavar="NAME", help="A variant of the file, such as 'reduced'."),
        click.option(
            "--resume",
            is_flag=True,
            help="Go on with the study that DIR holds; nothing is done twice.",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            metavar="N",
            help="Trainings at once, each in a process of its own; they share the cores. "
            "Default: 1; with --workers as many as fit.",
        ),
        workers_option("A training each, in a folder that all nodes see."),
        shard_option("the same DIR", "'study report DIR' puts them together."),
        data_dir_option(),
        quiet_option(),
    )
    for option in reversed(options):
        command = option(command)
    return command


def train_study(
    asked: Study, out: Path, tell: Callable[[], None], ending: str, **options: Any
) -> int:
    """Train what is left of a study; the exit status.

    Parameters
    ----------
    asked : Study
    out : Path
        Its folder.
    tell : callable
        Shows what there is by the end, where something is and it is no shard.
    ending : str
        A note where all is done.
    **options
        As `sensverify.studies.run.run_study` takes them, ``workers`` as text.
    """
    from sensverify.studies.plan import plan_study
    from sensverify.studies.run import run_study

    jobs = options.pop("jobs", None)
    on_gpu = any(each.settings.device != "cpu" for each in asked.runs)
    cluster = read_workers(
        options.pop("workers", None), shard=options.get("shard"), jobs=jobs, gpus=float(on_gpu)
    )
    with _progress(plan_study(asked)) as progress, watching() as watch:
        outcome = run_study(
            asked, out, jobs=jobs or 1, watch=watch, progress=progress, workers=cluster, **options
        )
    if outcome.shard is not None:
        done, of_all = outcome.asked - outcome.left, len(outcome.entries)
        click.echo(
            f"shard {outcome.shard}: {done} of its {outcome.asked} trainings are done; of the "
            f"whole study {of_all} of {outcome.total}"
        )
    elif outcome.entries:
        tell()
        click.echo()
    if not outcome.left:
        note(ending)
        return 0
    click.echo("stopped; the same command with --resume goes on", err=True)
    return STOPPED


@contextlib.contextmanager
def _progress(plan: StudyPlan) -> Iterator[Listener]:
    """Progress: as it begins what there is to do, and a line for every finished training."""
    from sensverify.cli.study_progress import finished_line, running_text

    with showing_run("trainings", running_text) as (display, update, _):
        first = list(plan.lines())

        def both(state: Progress) -> None:
            while first:
                display.tell(first.pop(0))
            if state.row is not None:
                display.tell(finished_line(state.row, state))
            update(state)

        yield both
