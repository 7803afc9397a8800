"""``sensverify diff``: how far two networks differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sensverify.cli.gates import GateOutputs, gate_options
from sensverify.cli.grouped import GroupedCommand, grouped
from sensverify.cli.options import (
    PATH,
    ends_options,
    force_option,
    json_option,
    machine_options,
    method_options,
    moving_options,
    quiet_option,
    report_option,
    samples_options,
    seed_option,
)
from sensverify.cli.printing import show
from sensverify.cli.progress import showing, watching
from sensverify.cli.targets import Targets, input_files, say_note

LIMITED = ("min_agreement", "max_disagreement", "max_difference")


@click.command("diff", cls=GroupedCommand)
@click.argument("old")
@click.argument("new")
@grouped(
    "The samples",
    samples_options(
        "Samples are reshaped to the models' input where the number of values and the order of the "
        "axes agree. Default: the samples that ship with the old model.",
        "Samples A up to but without B, counted from 0; A alone is one. Default: all of them.",
    ),
)
@grouped("How far inputs may move. Default: not at all", moving_options())
@grouped("The networks", ends_options())
@grouped(
    "How to answer",
    method_options(
        "How to bound; 'sensverify list methods' shows them. Default: crown; exact ranges come "
        "from branch-and-bound, where few features move.",
        example=", e.g. intermediate=ibp or steps=50",
    ),
    click.option(
        "--pair/--no-pair",
        default=True,
        show_default=True,
        help="Pair the neurons of the two, where they have the same structure, and bound their "
        "differences. Without, both are bounded beside each other.",
    ),
    click.option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="How long the method may work, over all samples together. Default: none.",
    ),
    seed_option("For the search for inputs on which the two differ."),
)
@grouped(
    "Proofs that others can check",
    click.option(
        "--certificate",
        "certificate_target",
        type=PATH,
        metavar="FILE",
        help="Re-derive every result with rigorous arithmetic, report what comes out there, and "
        "write the proof; 'sensverify check FILE OLD NEW' checks it against both models' files.",
    ),
)
@grouped(
    "Gates: the exit status is 1 where one fails, 3 where one is undecided",
    gate_options(*LIMITED, baseline=False),
)
@grouped(
    "Where the results go",
    json_option("everything"),
    report_option("Write one self-contained page."),
    click.option(
        "--witness",
        "witness_target",
        type=PATH,
        metavar="FILE.npz",
        help="Write the inputs on which the two decide otherwise: x, the decisions old and new, "
        "and index.",
    ),
    force_option(
        "Overwrite the files of --json, --report, --witness, --certificate and --junit; never a "
        "model."
    ),
    quiet_option(),
)
@grouped(
    "The machine",
    machine_options("Memory the bounds may take beside the models, e.g. 4GB."),
)
def diff(
    old: str,
    new: str,
    json_target: Path | None,
    report_target: Path | None,
    witness_target: Path | None,
    certificate_target: Path | None,
    junit_target: Path | None,
    annotations: str | None,
    force: bool,
    **options: Any,
) -> int:
    """Bound how far the outputs of NEW differ from those of OLD, and where both decide alike.

    OLD and NEW are names from 'sensverify list models', or paths of .onnx or .onnx.gz files, with
    the same inputs and outputs: a network and its quantised, pruned or further trained version.
    For every sample you get an interval for each output that provably contains the difference
    while the inputs stay within the radius, and whether both provably have the same largest output
    there, or an input on which they have not, run by onnxruntime in both files.

    \b
    Examples:
      sensverify diff old.onnx new.onnx --data mnist --samples 0:100 --radius 0.01
      sensverify diff net.onnx net-int8.onnx --data mine.npz --min-agreement 99%
      sensverify diff old.onnx new.onnx --data mine.npz --radius 0.01 --max-difference 0.05
      sensverify diff iris iris --sigma 0.05 --method exact --report same.html
      sensverify diff old.onnx new.onnx --certificate diff.cert --radius 0.01
    """
    from sensverify.formats.arrays import npz_bytes
    from sensverify.report.diff.document import diff_document
    from sensverify.report.diff.json import diff_to_json
    from sensverify.report.gates import junit
    from sensverify.report.html import document_to_html
    from sensverify.verification.comparison import DiffRequest
    from sensverify.verification.comparison import diff as run
    from sensverify.verification.comparison.results import disagreements

    targets = Targets(
        json_target, report_target, witness_target, certificate_target, junit_target, force=force
    )
    outputs = GateOutputs(junit_target, annotations)
    outputs.check(options, LIMITED)
    options["method"] = options["method"] or "crown"
    options["settings"] = dict(options["settings"])
    radius = options["radius"] if isinstance(options["radius"], Path) else None
    read = [options.get("box"), radius]
    targets.check(input_files([old, new], *read, data=options["data"]))
    rigorous = certificate_target is not None
    request = DiffRequest(old=old, new=new, rigorous=rigorous, **options)
    with showing("comparing") as display, watching(display.update) as watch:
        report = run(
            request,
            progress=lambda done, total: display.update(done=done, total=total),
            watch=watch,
        )
    if not targets.to_stdout:
        say_note(report.perturbation.note)
    found = report.certificate
    if found is not None:
        found = replace(found, path=str(targets.certificate))
        report = replace(report, certificate=found)
    document = diff_document(report)
    suite = f"{report.old.name} {report.new.name}"
    targets.write(
        json=lambda: diff_to_json(report),
        report=lambda: document_to_html(document),
        witness=lambda: npz_bytes(disagreements(report)),
        certificate=None if found is None else lambda: found.data,
        junit=lambda: junit(report.gates, suite=suite, seconds=report.seconds),
    )
    show(document, aside=targets.to_stdout)
    outputs.tell(report.gates, suite=suite, error=targets.to_stdout)
    return report.exit_status
