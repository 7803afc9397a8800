"""``sensverify verify``: one model, one question."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sensverify.cli.critical_radius import critical_radius_options, found_radii, search_of
from sensverify.cli.gates import GateOutputs, gate_options
from sensverify.cli.grouped import GroupedCommand, grouped
from sensverify.cli.input_sets import input_set_options
from sensverify.cli.options import (
    PATH,
    ends_options,
    force_option,
    json_option,
    machine_options,
    method_options,
    moving_options,
    quiet_option,
    samples_options,
    seed_option,
)
from sensverify.cli.printing import show
from sensverify.cli.progress import showing, watching
from sensverify.cli.slopes import found_slopes, slope_options, slopes_asked
from sensverify.cli.targets import Targets, input_files, say_note
from sensverify.cli.types import numbers, share
from sensverify.cli.witness import say_none, witness_paths

LIMITED = ("min_certified", "min_accuracy", "max_changed", "max_width", "max_log_volume")


@click.command("verify", cls=GroupedCommand)
@click.argument("model")
@grouped(
    "The samples",
    samples_options(
        "Samples are reshaped to the model's input where the number of values and the order of the "
        "axes agree; of a model with several inputs, an .npz file with an array for each, by its "
        "name. Default: the samples that ship with the model.",
        "Samples A up to but without B, counted from 0; A alone is one. Default: all of them.",
    ),
)
@grouped("How far inputs may move", moving_options())
@grouped("Which of these inputs, where not all: one of these", input_set_options())
@grouped(
    "The network",
    ends_options(),
)
@grouped(
    "What to ask. Default: whether the label stays the largest output",
    click.option(
        "--top-k",
        type=int,
        metavar="K",
        help="Ask whether the label stays among the K largest outputs. Default: 1, the largest.",
    ),
    click.option(
        "--targets",
        metavar="A:B,...",
        help="Ask only whether class A is taken for class B: numbers, names, or * for all classes.",
    ),
    click.option(
        "--costs",
        type=PATH,
        metavar="FILE",
        help="The same by a matrix in a .csv, .npy or .npz file (costs): what it costs to take the "
        "class of a row for that of a column. What costs 0 may happen.",
    ),
    click.option(
        "--threshold",
        type=share,
        metavar="T",
        help="Of a network with one output, also a probability by a sigmoid: above T is class 1, "
        "at or below T is class 0.",
    ),
    click.option(
        "--property",
        "property_file",
        type=PATH,
        metavar="FILE.vnnlib",
        help="Answer a VNN-LIB property instead: sat, unsat, unknown or timeout.",
    ),
    click.option(
        "--probabilities",
        is_flag=True,
        help="Bound the probabilities of the classes, too: those that the file makes of its "
        "logits, else a softmax of the outputs. Limits of widths and volumes are then about "
        "probabilities.",
    ),
    click.option(
        "--per-class",
        is_flag=True,
        help="Report by class, too: certified, changed and undecided samples, and accuracy; and "
        "hold every gate for the samples of each class.",
    ),
)
@grouped(
    "How far until the label changes, with --critical-radius",
    critical_radius_options(),
)
@grouped("How fast outputs change, and which way", slope_options())
@grouped(
    "How to answer",
    method_options(
        "How to bound; 'sensverify list methods' shows them. Default: crown. With --property: "
        "branch-and-bound (default), milp or marabou.",
        example=", e.g. intermediate=ibp or steps=50",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float64"]),
        help="Arithmetic of the bounds; float64 is slower and rounds less. Default: the method's "
        "own, float64 for the exact ones and float32 for the others.",
    ),
    click.option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="How long the method may work, over all samples together: its bounds hold all the "
        "same, and are looser where it was cut short. With --property: for everything. Default: "
        "none.",
    ),
    click.option(
        "--objective-timeout",
        type=float,
        metavar="SECONDS",
        help="How long an exact method may work on each end of each output. Default: none.",
    ),
    click.option(
        "--decide",
        metavar="NAME",
        help="Decide the labels that bounds leave open, one by one, by branch-and-bound, milp or "
        "marabou: the exact accuracy under attack. 'branch-and-bound(seconds=20)' is a limit for "
        "each. Default: they stay undecided.",
    ),
    click.option(
        "--gap",
        type=share,
        metavar="G",
        help="Relative distance between the proven and the attained end at which an exact method "
        "stops. Default: the method's own.",
    ),
    seed_option(
        "For the search for inputs that change the label, and for methods that draw numbers."
    ),
)
@grouped(
    "Proofs that others can check",
    click.option(
        "--certificate",
        "certificate_target",
        type=PATH,
        metavar="FILE",
        help="Re-derive every result with rigorous arithmetic, report what comes out there, and "
        "write the proof; 'sensverify check' checks it against the model's file.",
    ),
    click.option(
        "--rigorous",
        is_flag=True,
        help="As --certificate, without keeping the file.",
    ),
)
@grouped(
    "Gates: the exit status is 1 where one fails, 3 where one is undecided",
    click.option(
        "--max-deviation",
        type=numbers,
        metavar="D[,D...]",
        help="Each output stays within D of its value at the sample, proven; one number, or one "
        "for each output.",
    ),
    click.option(
        "--output-range",
        type=numbers,
        nargs=2,
        metavar="LO HI",
        help="Each output stays between LO and HI, proven; each is one number, or one for each "
        "output, and may be infinite.",
    ),
    gate_options(*LIMITED),
)
@grouped(
    "Where the results go",
    json_option("everything"),
    click.option(
        "--report",
        "report_target",
        type=PATH,
        metavar="FILE.html",
        help="Write one self-contained page with a picture of every sample's output intervals.",
    ),
    click.option(
        "--witness",
        metavar="PATH",
        help="Write the counterexamples of all samples that change: into FILE.npz, or into a "
        "folder DIR/ one sample-12.npz each and, of images, sample-12.png. With --property: into "
        "a file, the input that meets it, and its outputs, in VNN-COMP's form.",
    ),
    force_option(
        "Overwrite the files of --json, --report, --witness, --certificate and --junit; never the "
        "model or the data."
    ),
    quiet_option(),
)
@grouped(
    "The machine",
    machine_options(
        "Memory the bounds may take beside the model, e.g. 4GB; work that needs more is cut in "
        "parts."
    ),
)
@click.pass_context
def verify(
    context: click.Context,
    /,
    model: str,
    json_target: Path | None,
    report_target: Path | None,
    certificate_target: Path | None,
    junit_target: Path | None,
    annotations: str | None,
    force: bool,
    **options: Any,
) -> int:
    """Bound how far MODEL's outputs can move when its inputs do, or answer a property of it.

    MODEL is a name from 'sensverify list models', or the path of an .onnx or .onnx.gz file. For
    every sample you get a box that provably contains each output the network can produce while
    the inputs stay within the radius, the volume of that box (the sensitivity), and whether the
    label provably stays the largest output. Ctrl-C stops after the work in hand and reports it.

    \b
    Examples:
      sensverify verify iris
      sensverify verify iris --sigma 0.1 --report iris.html
      sensverify verify net.onnx --data mnist --samples 0:20 --radius 0.05 --clip 0 1
      sensverify verify mnist-conv2 --radius 0.5 --norm 2
      sensverify verify mnist-conv2 --vary brightness=0.1 --vary contrast=0.2
      sensverify verify net.onnx --data mine.npz --radius 0.01 --json - > result.json
      sensverify verify net.onnx --data 'mine.csv(label=species)' --radius 0.01
      sensverify verify mnist-conv2 --method alpha-crown --setting steps=50
      sensverify verify net.onnx --data mnist --radius 0.1 --decide branch-and-bound
      sensverify verify iris --max-width 10 && echo release
      sensverify verify mnist-conv2 --radius 0.05 --witness changed/
      sensverify verify iris --min-certified 90% --junit gates.xml --annotations github
      sensverify verify net.onnx --property prop.vnnlib --timeout 60
      sensverify verify iris --certificate iris.cert && sensverify check iris.cert iris
      sensverify verify iris --critical-radius --sigma 0.05 --report radii.html
      sensverify verify net.onnx --data mine.npz --radius 0.01 --lipschitz --monotone 3:up
    """
    settings = dict(options.pop("settings"))
    options["vary"] = options["vary"] or None
    options["norm"] = None if options["norm"] is None else float(options["norm"])
    property_file, witness = options.pop("property_file"), options.pop("witness")
    options["rigorous"] = options["rigorous"] or certificate_target is not None
    file, folder = witness_paths(witness, of_samples=property_file is None)
    files = (json_target, report_target, file, certificate_target, junit_target, folder)
    targets = Targets(*files, force=force)
    if property_file is not None:
        from sensverify.cli.property import FIELDS, answer, check_options

        check_options(context)
        asked = {key: options[key] for key in FIELDS if options[key] is not None}
        asked |= {"model": model, "property": property_file, "settings": settings}
        return answer(asked, targets)
    options["method"] = options["method"] or "crown"
    slopes = slopes_asked(context, options)
    if slopes is not None:
        return found_slopes(model, {"settings": settings, **slopes}, targets)
    search = search_of(context, options)
    if search is not None:
        return found_radii({"model": model, "settings": settings, **search}, targets)
    outputs = GateOutputs(junit_target, annotations)
    outputs.check(options, (*LIMITED, "max_deviation", "output_range"))
    return _bound({"model": model, "settings": settings, **options}, targets, outputs)


def _bound(options: dict[str, Any], targets: Targets, outputs: GateOutputs) -> int:
    from sensverify.report.gates import junit
    from sensverify.report.html import document_to_html
    from sensverify.report.verification.counterexample import file_of, files_of
    from sensverify.report.verification.document import verify_document
    from sensverify.report.verification.json import report_to_json
    from sensverify.verification import VerifyRequest
    from sensverify.verification import verify as run

    radius = options["radius"]
    radius = radius if isinstance(radius, Path) else None
    read = options["box"], options["costs"], options["baseline"], radius, options["constraints"]
    targets.check(input_files([options["model"]], *read, data=options["data"]))
    request = VerifyRequest(**options)
    with showing("bounding") as display, watching(display.update) as watch:
        report = run(
            request,
            progress=lambda done, total: display.update(done=done, total=total),
            watch=watch,
        )
    if not targets.to_stdout:
        say_note(report.perturbation.note)
    found = report.certification
    if found is not None and targets.certificate is not None:
        found = replace(found, path=str(targets.certificate))
        report = replace(report, certification=found)
    document = verify_document(report)
    targets.write(
        json=lambda: report_to_json(report),
        report=lambda: document_to_html(document),
        witness=lambda: file_of(report),
        witnesses=lambda: files_of(report),
        certificate=None if found is None else lambda: found.data,
        junit=lambda: junit(report.gates, suite=report.model.name, seconds=report.seconds),
    )
    say_none(report, targets)
    show(document, aside=targets.to_stdout)
    outputs.tell(report.gates, suite=report.model.name, error=targets.to_stdout)
    return report.exit_status
