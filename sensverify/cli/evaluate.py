"""``sensverify evaluate``: networks side by side, under attacks, corruptions and measures."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import option

from sensverify.cli.evaluate_outputs import (
    check_csv,
    say_stopped,
    suite_of,
    with_own_options,
    write_outputs,
)
from sensverify.cli.gates import GateOutputs, gate_choices
from sensverify.cli.grouped import GroupedCommand, grouped
from sensverify.cli.options import (
    PATH,
    STOPPED,
    data_dir_option,
    data_option,
    ends_options,
    json_option,
    quiet_option,
    runtime_option,
    shard_option,
)
from sensverify.cli.printing import show
from sensverify.cli.progress import showing_run, watching
from sensverify.cli.targets import Targets, say_note
from sensverify.cli.types import number, sample_range, size
from sensverify.cli.workers import check_shard, read_workers, workers_option

if TYPE_CHECKING:
    from sensverify.evaluation.request import EvaluateRequest
    from sensverify.runs.shards import Shard
from sensverify.cli.evaluate_request import files_read, holds, request_of

LIMITED = (
    *("min_accuracy", "min_certified", "min_robust", "min_corrupted", "min_shifted"),
    *("max_changed", "max_log_volume"),
)


@click.command("evaluate", cls=GroupedCommand)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@grouped("The networks (all but that of --surrogate)", ends_options())
@grouped(
    "The samples",
    data_option(
        "Of data in two parts (x_train, y_train, x_test and y_test; folders train and test) the "
        "test part. Default: the samples that ship with the model."
    ),
    option(
        "--samples",
        type=sample_range,
        metavar="A:B",
        help="Test samples A up to but without B, counted from 0. Default: see --count.",
    ),
    option(
        "--count",
        type=int,
        metavar="N",
        help="How many test samples, evenly spread over all there are. Default: 500.",
    ),
    option(
        "--train-samples",
        type=int,
        metavar="N",
        help="How many training samples to take measures on; 0 for none. Default: 2000.",
    ),
    data_dir_option(),
)
@grouped(
    "How far inputs may move",
    option(
        "--radii",
        metavar="LIST",
        help="Radii in the units of the features, such as 0.05,0.1 or 2/255,8/255; percentages of "
        "the range that the data have by their nature, such as 1%,5%; or the name of a grid of "
        "them from 'sensverify list attacks'.",
    ),
    option(
        "--sigmas",
        metavar="LIST",
        help="The same as shares of each feature's range over the training samples. Default: 0.2, "
        "0.4, 1, 2, 4 and 6 times what the first model's card says; without a card there is no "
        "default, and neither attacks nor proofs.",
    ),
    option(
        "--per-feature",
        type=PATH,
        metavar="FILE.npy",
        help="A factor on the radius for each feature. Default: 1.",
    ),
    option(
        "--clip",
        type=number,
        nargs=2,
        metavar="LO HI",
        help="Keep inputs between LO and HI. Default: the range on a model's card, else that which "
        "the data are known to have, else none; '--clip -inf inf' switches it off.",
    ),
)
@grouped(
    "What to find out (a LIST is names with commas between them, or none)",
    option(
        "--attacks",
        metavar="LIST",
        help="From 'sensverify list attacks', with settings in parentheses. Default: "
        "'fgsm, pgd, apgd-ce, square(queries=500)'.",
    ),
    option(
        "--surrogate",
        metavar="MODEL",
        help="Attack a second time with the gradients of this network, as somebody would who does "
        "not know the networks attacked. Default: none.",
    ),
    option(
        "--certify",
        metavar="LIST",
        help="Methods that prove labels, from 'sensverify list methods'. Default: crown.",
    ),
    option(
        "--corruptions",
        metavar="LIST",
        help="Names or groups from 'sensverify list corruptions', or names with strengths in "
        "parentheses: 'gaussian-blur(levels=(0.3, 0.5))', 'rotation(degrees=(7, 50))'. Default: "
        "imagenet-c.",
    ),
    option(
        "--severities",
        metavar="LIST",
        help="How severe corruptions are, from 1, the mildest. Default: 1,2,3,4,5.",
    ),
    option(
        "--corrupted",
        metavar="NAME|FOLDER",
        help="Read corruptions that somebody else has made: cifar-10-c, mnist-c or a folder like "
        "them. Without --corruptions, all that are there. Default: corruptions are computed.",
    ),
    option(
        "--shift",
        "shifts",
        multiple=True,
        metavar="NAME=DATA[:FILE.json]",
        help="Another data set, as --data takes it, such as ImageNet-A beside ImageNet: --count of "
        "its samples. FILE.json lists, for each of its classes in order, the network's output that "
        "stands for it, or several; predictions are then the largest of these outputs alone. "
        "Without, its labels are the network's. May be repeated.",
    ),
    option(
        "--sequences",
        metavar="LIST",
        help="Sequences of small corruptions, along which predictions should not flip, from "
        "'sensverify list corruptions'. Default: all.",
    ),
    option(
        "--measures",
        metavar="LIST",
        help="Names or groups from 'sensverify list measures'. Default: its group 'default', all "
        "but other forms of the same.",
    ),
    option(
        "--bins",
        type=int,
        metavar="N",
        help="Bins of confidence, for calibration errors. Default: 15.",
    ),
    option(
        "--success",
        type=click.Choice(["right", "all"]),
        help="Samples that the success of an attack is a share of: those that were right, of which "
        "it broke some, or all, of which those count that are wrong with it or without. Default: "
        "right.",
    ),
)
@grouped(
    "What to compare with",
    option(
        "--reference",
        metavar="MODEL",
        help="The network whose errors under corruption count as 100 (CE). Default: none.",
    ),
    option(
        "--initial",
        metavar="FILE.onnx|DIR",
        help="The network before training, which some measures need. Default: initial.onnx beside "
        "the model of a training run.",
    ),
)
@grouped(
    "Gates: the exit status is 1 where one fails, 3 where one is undecided",
    *gate_choices(*LIMITED),
    option(
        "--specification",
        type=PATH,
        metavar="SPEC.toml",
        help="Requirements that every MODEL has to meet, each a gate. What they need is measured, "
        "and beside it only what these options name.",
    ),
    option(
        "--per-class",
        is_flag=True,
        help="Every gate holds for the samples of each class, too.",
    ),
    option(
        "--gate-radius",
        type=number,
        metavar="R",
        help="The one of the radii that gates of attacks and proofs are about. Default: the middle "
        "one, as in the summary.",
    ),
)
@grouped(
    "Where the results go",
    option(
        "--out",
        type=PATH,
        metavar="DIR",
        help="A new or empty folder that keeps every finished part, and at the end "
        "evaluation.json and report.html. Without it nothing is kept of an evaluation that is "
        "killed.",
    ),
    option(
        "--resume",
        is_flag=True,
        help="Go on with what is in DIR; nothing is done twice. Models and names in lists may have "
        "been added, all else must be the same. Where DIR is empty, begin.",
    ),
    shard_option(
        "the same DIR",
        "The same command without --shard does what is left, and judges the gates.",
    ),
    option(
        "--run/--no-run",
        "runs",
        default=True,
        help="Without: do nothing but predictions on samples as they are, and report what DIR "
        "holds by now, also while shards are at work; where something is missing, the exit status "
        "is 3. Default: run.",
    ),
    json_option("everything"),
    option(
        "--report",
        "report_target",
        type=PATH,
        metavar="FILE.html",
        help="Write one self-contained page with curves, tables and pictures.",
    ),
    option(
        "--csv",
        "csv_folder",
        type=PATH,
        metavar="DIR",
        help="Write the tables behind the page as CSV files into this folder.",
    ),
    option(
        "--force", is_flag=True, help="Overwrite the files of --json, --report, --csv and --junit."
    ),
    quiet_option(),
)
@grouped(
    "The machine, or several",
    workers_option("As many as fit, each with the models, in a folder that all nodes see."),
    option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="Stop after that long, give up the part in hand, and report the others (exit status "
        "3). Default: none.",
    ),
    option("--device", type=click.Choice(["cpu", "cuda"]), help="Where to compute. Default: cpu."),
    option(
        "--memory",
        type=size,
        metavar="SIZE",
        help="Memory that a computation may take beside models and samples, e.g. 4GB. Default: "
        "1GiB.",
    ),
    option(
        "--seed",
        type=int,
        metavar="N",
        help="Of all random draws: the same seed gives the same numbers. Default: 0.",
    ),
    runtime_option(),
)
def evaluate(
    models: tuple[str, ...],
    json_target: Path | None,
    report_target: Path | None,
    csv_folder: Path | None,
    junit_target: Path | None,
    annotations: str | None,
    force: bool,
    shard: Shard | None,
    workers: str | None,
    runs: bool,
    **options: Any,
) -> int:
    """Attack, corrupt, certify and measure one or more classifiers on the same samples.

    MODEL is a name from 'sensverify list models', the path of an .onnx or .onnx.gz file, or the
    folder of a training run. One with operators that are not known is run by onnxruntime: it is
    attacked without gradients, and nothing is proven of it. For every model you get its accuracy
    and its calibration; its accuracy under attacks, and beside it the share of labels that is
    proven; its accuracy under corruptions; and measures of its weights and gradients. Of several
    models, every two are compared sample by sample, and their differences tested. What cannot be
    had is listed with the reason. Ctrl-C gives up the part in hand and reports the others (exit
    status 3).

    \b
    Examples:
      sensverify evaluate mnist-conv2 --data mnist --report conv2.html
      sensverify evaluate mnist-conv1 mnist-conv2 --reference mnist-conv1 --data mnist
      sensverify evaluate net.onnx --data mine.npz --radii 2/255,8/255 --clip 0 1
      sensverify evaluate digits --attacks 'pgd(steps=100), cw' --corruptions none
      sensverify evaluate runs/a runs/b --data cifar-10 --out compared --resume
      sensverify evaluate digits --data digits --out digits --shard 2/8 --resume
      sensverify evaluate digits --measures sensitivity --attacks none --json -
      sensverify evaluate net.onnx --data mine.npz --radii 0.1 --min-robust 80% --junit gates.xml
      sensverify evaluate digits --specification examples/specification.toml
    """
    from sensverify.evaluation.pairs import compare_pairs
    from sensverify.evaluation.run import evaluate as run
    from sensverify.evaluation.run import read_evaluation
    from sensverify.report.evaluation.document import evaluation_document
    from sensverify.report.evaluation.json import evaluation_to_json

    targets = Targets(json_target, report_target, junit=junit_target, force=force)
    outputs = GateOutputs(junit_target, annotations)
    outputs.check(options, (*LIMITED, "specification"))
    request = request_of(models, {k: v for k, v in options.items() if v is not None})
    targets.check(files_read(models, request))
    check_csv(csv_folder, force)
    check_shard(
        shard,
        json=json_target,
        report=report_target,
        csv=csv_folder,
        junit=junit_target,
        no_run=not runs or None,
    )
    on_gpu = float(request.device != "cpu")
    cluster = read_workers(workers if runs else None, shard=shard, gpus=on_gpu)
    if shard is not None:
        return _do_shard(request, shard)
    with (
        showing_run("evaluating", lambda now: ", ".join(now.running)) as (_, progress, listen),
        watching(listen) as watch,
    ):
        answer = partial(holds, request, watch)
        if runs:
            found = run(request, progress=progress, watch=watch, answer=answer, workers=cluster)
        else:
            found = read_evaluation(request, answer=answer)
        found = with_own_options(found, evaluate)
    say_note(found.settings.get("data"))
    if not runs and found.interrupted:
        # A part of a result is told, and not left where others look for the whole.
        request = replace(request, out=None, resume=False)
    pairs = compare_pairs(found)
    document = evaluation_document(found, pairs)
    json = cache(lambda: evaluation_to_json(found, pairs))
    try:
        write_outputs(found, document, json, request, targets, csv_folder)
    finally:
        # What took hours is told also where it cannot be written; and is written before a reader
        # of this text, such as head, may go away.
        show(document, aside=targets.to_stdout)
    outputs.tell(found.gates, suite=suite_of(found), error=targets.to_stdout)
    if found.interrupted and runs:
        say_stopped(request)
    elif found.interrupted:
        count = sum(not each.final for model in found.models for each in model.missing)
        click.echo(f"{count} tasks are not done yet; the same command does them", err=True)
    return found.exit_status


def _do_shard(request: EvaluateRequest, shard: Shard) -> int:
    """Do a part, and say how much of the whole is done; the exit status."""
    from sensverify.evaluation.shards import evaluate_shard

    with (
        showing_run("evaluating", lambda now: ", ".join(now.running)) as (_, progress, listen),
        watching(listen) as watch,
    ):
        found = evaluate_shard(request, shard, progress=progress, watch=watch)
    click.echo(
        f"shard {shard}: {found.asked - found.left} of its {found.asked} tasks are done; of the "
        f"whole evaluation {found.done} of {found.total}"
    )
    if found.left:
        say_stopped(request)
        return STOPPED
    return 0
