"""``sensverify export-milp``: one network over one box, for optimisers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sensverify.cli.grouped import GroupedCommand, grouped
from sensverify.cli.options import (
    PATH,
    ends_options,
    force_option,
    moving_options,
    quiet_option,
    runtime_option,
    samples_options,
)
from sensverify.cli.printing import printable, quiet
from sensverify.cli.progress import showing, watching
from sensverify.cli.targets import input_files, say_note


@click.command("export-milp", cls=GroupedCommand)
@click.argument("model")
@grouped(
    "The sample",
    samples_options(
        "Samples are reshaped to the model's input. Default: the samples that ship with the model.",
        "Which sample, counted from 0: A alone is one. Needed where there are several.",
    ),
)
@grouped("How far inputs may move", moving_options())
@grouped("The network", ends_options())
@grouped(
    "The program",
    click.option(
        "--out",
        type=PATH,
        metavar="FILE",
        required=True,
        help="Where it goes; the name ends in .mps or .lp. Beside it FILE.neurons.json says what "
        "its names stand for, and FILE.neurons.npz has the bounds on all neurons.",
    ),
    click.option(
        "--minimise", type=int, metavar="N", help="Output N, counted from 0, as the objective."
    ),
    click.option(
        "--maximise",
        type=int,
        metavar="N",
        help="Output N as the objective. Default: none, so that any input is optimal.",
    ),
    click.option(
        "--relaxed",
        is_flag=True,
        help="Write the linear relaxation, without binaries: it has more outputs than the network.",
    ),
    click.option(
        "--segments",
        type=click.IntRange(min=1),
        metavar="N",
        help="Into how many the interval of what enters a curve (sigmoid, tanh, sine, ...), and of "
        "one factor of a product, is cut: a binary for each cut. More are closer. Default: 4.",
    ),
    force_option("Overwrite the three files; never the model or the data."),
    quiet_option(),
)
@grouped(
    "The bounds on neurons, which big-M constants come from",
    click.option(
        "--bounds",
        metavar="NAME",
        help="The method they come from: crown, lp-dual, ibp or alpha-crown. Default: for every "
        "neuron the best of crown, lp-dual and ibp.",
    ),
    click.option(
        "--tighten",
        type=click.Choice(["none", "lp", "milp"]),
        default="none",
        show_default=True,
        help="Tighten those of neurons with a kink inside, layer by layer: by linear programs, "
        "which prove them, or then by mixed-integer ones, which hold within HiGHS's tolerances.",
    ),
    click.option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="How long to work on them; those that are not reached stay as they are. Default: no "
        "limit.",
    ),
    click.option(
        "--threads", type=click.IntRange(min=1), metavar="N", help="For HiGHS. Default: 1."
    ),
    runtime_option(),
)
def export_milp(model: str, out: Path, force: bool, **options: Any) -> int:
    """Write MODEL over one input box as a mixed-integer program for any optimiser.

    The program holds every input of the box together with the network's outputs there, and, but
    for rounding, nothing else; around curves and products of two variables it holds an envelope.
    Its columns input_0, ... and output_0, ... are what other
    constraints refer to. Every number is written with all of its digits.

    \b
    Examples:
      sensverify export-milp iris --samples 22 --sigma 0.1 --maximise 2 --out iris.lp
      sensverify export-milp net.onnx --box boxes.npz --out net.mps
      sensverify export-milp net.onnx --box boxes.npz --tighten lp --timeout 60 --out net.mps
    """
    from sensverify.runs.outputs import check_targets
    from sensverify.verification.programs import ProgramRequest, files_of
    from sensverify.verification.programs import export_milp as run

    radius = options["radius"] if isinstance(options["radius"], Path) else None
    read = input_files([model], options["box"], radius, data=options["data"])
    check_targets(files_of(out), inputs=read, force=force)
    request = ProgramRequest(model, **options)
    with showing("bounding", counted=False) as display, watching(display.update) as watch:
        export = run(request, watch=watch)
    say_note(export.perturbation.note)
    files = export.write(out, force=force)
    if not quiet():
        click.echo(printable(_summary(export.program, files)))
    return 0


def _summary(program: Any, files: tuple[Path, ...]) -> str:
    columns, rows = len(program.columns), len(program.row_names)
    binaries = int(program.integer.sum())
    return (
        f"{files[0]}: {columns} columns, {binaries} of them binaries, and {rows} rows; bounds on "
        f"neurons: {program.guarantee.name}; names and bounds: {files[1].name}, {files[2].name}"
    )
