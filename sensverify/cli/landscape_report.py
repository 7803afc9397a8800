"""``sensverify landscape report``: measure the minima of a landscape, and answer."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sensverify.cli.options import PATH, STOPPED, data_dir_option, quiet_option
from sensverify.cli.printing import note, show
from sensverify.cli.progress import showing, showing_run, watching
from sensverify.cli.types import numbers

if TYPE_CHECKING:
    from sensverify.landscape.course import Snapshot
    from sensverify.landscape.folder import Landscape
    from sensverify.runs.progress import Progress


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(filter(None, (part.strip() for part in text.split(","))))


@click.command("report", short_help="Measure the minima of a landscape, and answer.")
@click.argument("folder", metavar="DIR", type=PATH)
@click.option(
    "--sigmas",
    type=numbers,
    default="0.05,0.1,0.2",
    show_default=True,
    metavar="N,...",
    help="Radii, as shares of the range of every feature.",
)
@click.option(
    "--methods",
    type=names,
    default="exact,alpha-crown,crown,lp-dual",
    show_default=True,
    metavar="NAME,...",
    help="Bounds behind the sensitivities; 'exact' gives a proven and an attained end.",
)
@click.option(
    "--measures",
    type=names,
    default="",
    metavar="NAME,...",
    help="Measures and groups of measures beside, on the test samples at the first radius: see "
    "'sensverify list measures'.",
)
@click.option(
    "--gap",
    type=float,
    default=1e-3,
    show_default=True,
    metavar="N",
    help="An exact range ends where its proven end is so near to the attained one, relative to the "
    "larger of both.",
)
@click.option(
    "--seconds",
    type=float,
    metavar="N",
    help="Time for the exact ranges of a network at one radius; what is proven by then counts.",
)
@click.option(
    "--minima",
    type=click.IntRange(min=1),
    metavar="N",
    help="Measure so many, evenly from the lowest to the highest. Default: all.",
)
@click.option(
    "--training-steps",
    type=click.IntRange(min=0),
    default=400,
    show_default=True,
    metavar="N",
    help="Steps of a training along which the sensitivity is shown; 0 for none.",
)
@click.option(
    "--trainings",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Trainings from random starts, each a line of the picture.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="N",
    help="Resamples of the minima behind the intervals.",
)
@click.option(
    "--onnx",
    type=PATH,
    metavar="DIR2",
    help="Write the networks of the measured minima as ONNX files into DIR2, new or empty.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Networks at once, each in a process of its own, on one core.",
)
@data_dir_option()
@quiet_option()
def report(
    folder: Path,
    sigmas: tuple[float, ...],
    methods: tuple[str, ...],
    measures: tuple[str, ...],
    gap: float,
    seconds: float | None,
    minima: int | None,
    training_steps: int,
    trainings: int,
    resamples: int,
    onnx: Path | None,
    jobs: int,
    data_dir: Path | None,
) -> int:
    """Measure how sensitive the networks at the minima of DIR's landscape are, and say whether
    lower minima are less sensitive, with one page, JSON, tables and figures in DIR/report.

    What was measured before is not measured again, where methods, gap and time are the same;
    Ctrl-C ends the networks in hand, with exit status 3, and the same command goes on. A landscape
    that is still searched is reported as far as it is. An earlier report is replaced.

    \b
    Examples:
      sensverify landscape report iris --jobs 2
      sensverify landscape report iris --minima 50 --sigmas 0.1 --onnx iris-networks
    """
    from sensverify.landscape.findings import findings
    from sensverify.landscape.folder import Landscape
    from sensverify.landscape.measuring import chosen_minima, measure_landscape
    from sensverify.landscape.sensitivity import SensitivitySettings
    from sensverify.report.landscape.document import landscape_document
    from sensverify.report.landscape.write import check_networks, write_networks, write_report

    settings = SensitivitySettings(
        sigmas=sigmas, methods=methods, gap=gap, seconds=seconds, measures=measures
    )
    if onnx is not None:
        check_networks(onnx)
    landscape = Landscape.read(folder, data_dir=data_dir)
    chosen = chosen_minima(landscape, minima)
    course = _course(landscape, training_steps, trainings)
    with showing_run("measurements", _running) as (_, update, _), watching() as watch:
        measured = measure_landscape(
            landscape,
            folder,
            settings,
            minima=chosen,
            course=course,
            jobs=jobs,
            data_dir=data_dir,
            watch=watch,
            progress=update,
        )
    if not measured.complete:
        click.echo("stopped; the same command goes on", err=True)
        return STOPPED
    found = findings(landscape, measured, settings, resamples=resamples)
    paths = write_report(found, folder)
    show(landscape_document(found, figures=False))
    click.echo()
    for path in paths:
        click.echo(path)
    if onnx is not None:
        with showing("networks") as display:
            written = write_networks(
                found,
                landscape,
                onnx,
                progress=lambda done, total: display.update(done=done, total=total),
            )
        note(f"{len(written)} networks: '{onnx}'")
    return 0


def _course(landscape: Landscape, steps: int, trainings: int) -> tuple[Snapshot, ...]:
    """Snapshots of trainings on the energy that the measured networks have."""
    from sensverify.landscape.course import training_course

    if steps == 0:
        return ()
    request = landscape.request
    energy = request.relu_energy(landscape.split) if request.relu else landscape.energy
    every = max(1, steps // 20)
    courses = (training_course(energy, steps=steps, every=every, seed=k) for k in range(trainings))
    return tuple(chain.from_iterable(courses))


def _running(state: Progress) -> str:
    return ", ".join(map(str, state.running))
