"""``sensverify train``: one model, one data set, one loss."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import option

from sensverify.cli.grouped import GroupedCommand, grouped
from sensverify.cli.options import (
    PATH,
    STOPPED,
    data_dir_option,
    data_option,
    json_option,
    quiet_option,
    report_option,
)
from sensverify.cli.printing import show
from sensverify.cli.progress import watching
from sensverify.cli.targets import Targets, input_files, say_note
from sensverify.cli.train_progress import showing_progress
from sensverify.cli.types import metric_names, number, plain_radius, share
from sensverify.core.numbers import RangeShare

if TYPE_CHECKING:
    from sensverify.data.split import Split
    from sensverify.training.request import TrainRequest
    from sensverify.training.result import TrainResult
    from sensverify.training.settings import TrainSettings

_NAMES = ("data", "model", "loss", "standardise")


@click.command("train", cls=GroupedCommand)
@grouped(
    "What to train",
    data_option(
        "Of data without two parts (x_train, y_train, x_test and y_test; folders train and test) "
        "every fifth sample is a test sample."
    ),
    option(
        "--model",
        metavar="NAME",
        help="A name from 'sensverify list architectures', such as iris, mlp-100-50, conv-16-32, "
        "conv-16-32-fc-100, resnet-18, or nas201:7 for the cells of NAS-Bench-201.",
    ),
    option(
        "--loss",
        metavar="NAME|SUM",
        help="A recipe or a weighted sum of terms from 'sensverify list losses', in quotes. "
        "Default: base, cross-entropy with an L2 penalty.",
    ),
    option(
        "--standardise/--no-standardise",
        default=None,
        help="Give the model a first layer that brings every feature to mean 0 and deviation 1 "
        "over the training samples; radii keep the units of the data. Default: no.",
    ),
    data_dir_option(),
)
@grouped(
    "Where the results go",
    option(
        "--out",
        type=PATH,
        required=True,
        metavar="DIR",
        help="A new or empty folder for the model, its card, metrics and checkpoints.",
    ),
    option(
        "--resume",
        is_flag=True,
        help="Go on with the run in DIR, exactly as it would have gone; all other options may be "
        "left out. Where there is none yet, begin it.",
    ),
    json_option("what the training found"),
    report_option(
        "Write one page with the course of the training and its metrics, beside the one in DIR."
    ),
    option(
        "--force", is_flag=True, help="Overwrite the files of --json and --report; never a run."
    ),
    quiet_option(),
)
@grouped(
    "What is done to images before",
    option(
        "--augment",
        metavar="SUM",
        help="Names from 'sensverify list augmentations', in quotes, as in 'horizontal-flip + "
        "rotation + shear(severity=(1, 3))': every image is flipped or turned, and a chosen one "
        "gets one of the corruptions, in any of its severities unless some are named. Default: "
        "none.",
    ),
    option(
        "--augment-mode",
        type=click.Choice(["half", "duplicate", "all"]),
        help="Images that are corrupted: half of every mini-batch; a second copy of the whole set, "
        "which doubles the steps of an epoch; or all. Default: half.",
    ),
)
@grouped(
    "The perturbation, for losses and metrics",
    option(
        "--sigma",
        type=share,
        metavar="S",
        help="How far each feature may move, as a share of its range over the training samples.",
    ),
    option(
        "--radius",
        type=plain_radius,
        metavar="R",
        help="The same in the units of the features, such as 8/255, or as a percentage of the "
        "range that the data have by their nature.",
    ),
    option(
        "--clip",
        type=number,
        nargs=2,
        metavar="LO HI",
        help="Keep every perturbed feature between LO and HI. Default: no bounds, whatever range "
        "the data are known to have.",
    ),
    option(
        "--ramp",
        type=share,
        metavar="P",
        help="Share of the training over which the radius grows from 0 to its size. Default: what "
        "the loss's recipe says.",
    ),
)
@grouped(
    "The course of the training",
    option("--epochs", type=int, metavar="N", help="Passes over the data. Default: 10."),
    option(
        "--until-cross-entropy",
        type=float,
        metavar="NUMBER",
        help="Stop after the epoch whose cross-entropy on training samples, by its metrics, is at "
        "most NUMBER; --epochs is then the most. Default: make them all.",
    ),
    option(
        "--until-error",
        type=share,
        metavar="SHARE",
        help="The same of the error: '0' or '1%'. Of both, both have to be reached.",
    ),
    option(
        "--patience",
        type=int,
        metavar="N",
        help="Stop after N epochs without a smaller error on the samples that --hold-out keeps, "
        "and go back to the weights that had the smallest. Default: the last weights.",
    ),
    option("--batch-size", type=int, metavar="N", help="Samples of a step. Default: 64."),
    option(
        "--optimiser",
        metavar="TEXT",
        help="adam, adamw or sgd with their options, as in 'sgd(lr=0.1, momentum=0.9)'. Default: "
        "adam(lr=0.001).",
    ),
    option(
        "--schedule",
        metavar="TEXT",
        help="Of the learning rate: constant, cosine, 'one-cycle(warmup=0.25)', 'step(every=0.3, "
        "factor=0.1)', 'milestones(at=(30, 60, 80))' or 'plateau(of=error, patience=5)'. Default: "
        "constant.",
    ),
    option(
        "--sharpness",
        metavar="TEXT",
        help="'sam(rho=0.05)' or 'asam(rho=0.5)' around the optimiser. Default: none.",
    ),
    option(
        "--gradient-clip",
        type=number,
        metavar="G",
        help="Largest norm of the gradient over all parameters. Default: none.",
    ),
    option(
        "--seed",
        type=int,
        metavar="N",
        help="Of the initial weights, the order of the samples and all that is drawn; trainings "
        "with other losses see the same mini-batches. Default: 0.",
    ),
)
@grouped(
    "Samples and metrics",
    option(
        "--train-samples",
        type=int,
        metavar="N",
        help="Train on the first N training samples. Default: all.",
    ),
    option(
        "--hold-out",
        type=int,
        metavar="N",
        help="Keep the last N of them out, and take the metrics after every epoch on them instead "
        "of on test samples. Default: 0.",
    ),
    option(
        "--metric-samples",
        type=int,
        metavar="N",
        help="Samples for the metrics after an epoch, of each part; 0 for no such metrics. "
        "Default: 1000.",
    ),
    option("--metric-every", type=int, metavar="N", help="Take them every N epochs. Default: 1."),
    option(
        "--metric-every-steps",
        type=int,
        metavar="N",
        help="Take them after every N steps, too, into DIR/step-metrics.csv. Default: not.",
    ),
    option(
        "--metrics",
        type=metric_names,
        metavar="LIST",
        help="Metrics to take beside CE and ERR, with commas between them, such as JACOB,PGD_ERR: "
        "SENSE, LOG_SENSE, LOG_VOLUME, RELATIVE, JACOB, SPECTRAL, ADV_LOSS, ADV_ERR, PGD_ERR, and "
        "at the end CROWN_ERR. Default: all that are to be had.",
    ),
    option(
        "--metric-bounds",
        metavar="none|METHOD",
        help="Method of the bounds behind SENSE, LOG_SENSE, LOG_VOLUME, RELATIVE, ADV_LOSS and "
        "ADV_ERR, such as ibp; none leaves these metrics out, and all but lp-dual leave out "
        "CROWN_ERR unless --metrics has it. On deep networks lp-dual takes minutes a sample. "
        "Default: lp-dual.",
    ),
    option(
        "--final-samples",
        type=int,
        metavar="N",
        help="Samples for the final metrics, of each part. Default: all.",
    ),
    option(
        "--pgd-steps",
        type=int,
        metavar="N",
        help="Of the attack behind the metric PGD_ERR. Default: 40.",
    ),
)
@grouped(
    "The machine",
    option("--device", type=click.Choice(["cpu", "cuda"]), help="Where to compute. Default: cpu."),
    option(
        "--devices",
        type=int,
        metavar="N",
        help="Processes that share every mini-batch, each on a device of its own. Default: 1.",
    ),
    option(
        "--precision",
        type=click.Choice(["32", "bf16-mixed", "16-mixed"]),
        help="Of the forward pass; bounds are always taken in float32. Default: 32.",
    ),
    option(
        "--threads",
        type=int,
        metavar="N",
        help="Of torch on the CPU; the last bits of the weights depend on it. Default: as torch "
        "chooses.",
    ),
    option(
        "--checkpoint-seconds",
        type=float,
        metavar="S",
        help="Time between checkpoints within an epoch; one follows every epoch. Default: 60.",
    ),
)
def train(
    out: Path,
    resume: bool,
    data_dir: Path | None,
    json_target: Path | None,
    report_target: Path | None,
    force: bool,
    **options: Any,
) -> int:
    """Train a model, with or without a penalty on its sensitivity, and export it.

    DIR then holds model.onnx with its card, which 'sensverify verify DIR' reads, a page,
    report.html, and everything to repeat the training. Ctrl-C stops it with a checkpoint (exit
    status 3); it goes on with --resume, as it does when it was killed, and ends with the same
    weights.

    \b
    Examples:
      sensverify train --data iris --model iris --epochs 100 --out runs/iris
      sensverify train --data digits --model mlp-48-24 --sigma 0.05 --out runs/digits \\
          --loss 'cross-entropy + 1e-5*l2 + 0.02*sensitivity(form=softplus)'
      sensverify train --data mine.npz --model mlp-100-50 --standardise --out runs/mine
      sensverify train --out runs/mine --resume
      sensverify verify runs/iris
    """
    from sensverify.report.training.document import training_document
    from sensverify.training.directory.run_directory import PAGE, RESULT
    from sensverify.training.fit import fit

    targets = Targets(json=json_target, report=report_target, force=force)
    given = {k: v for k, v in options.items() if v is not None}
    if isinstance(given.get("radius"), RangeShare):
        given["radius"] = _radius(given["radius"], given, out, data_dir)
    request = _request(out, resume, given)
    targets.check(input_files([], data=request.data))
    # The page of a training that had ended says by what it was made.
    paged = (out / RESULT).exists() and (out / PAGE).exists()
    split, module = request.prepare(data_dir=data_dir)
    say_note("; ".join(split.train.remarks))
    say_note(_unclipped(split, request.settings))
    with showing_progress() as (progress, say), watching(say) as watch:
        result = fit(
            module,
            split,
            request.loss,
            request.settings,
            out=out,
            resume=resume,
            watch=watch,
            progress=progress,
            description=request.description(out.resolve().name),
        )
    _write(result, targets, None if paged else out / PAGE)
    if not result.interrupted:
        show(training_document(result), aside=targets.to_stdout)
        return 0
    again = shlex.join(["sensverify", "train", "--out", str(out), "--resume"])
    done = f"{result.epochs} of {request.settings.epochs} epochs"
    click.echo(f"stopped after {done}; go on with: {again}", err=True)
    return STOPPED


def _write(result: TrainResult, targets: Targets, own: Path | None) -> None:
    """The files that were asked for, and the run directory's own page."""
    from sensverify.report.html import document_to_html
    from sensverify.report.training.document import training_document
    from sensverify.report.training.json import training_to_json
    from sensverify.runs.files import encoded, replace_file, writing

    page = document_to_html(training_document(result))
    targets.write(json=lambda: training_to_json(result), report=lambda: page)
    if own is not None:
        with writing(own):
            replace_file(own, encoded(page))


def _unclipped(split: Split, settings: TrainSettings) -> str | None:
    """A note where perturbed features may leave a range that the data are known to have."""
    still = settings.sigma is None and settings.radius is None
    if still or settings.clip is not None or split.train.clip is None:
        return None
    low, high = (f"{end:g}" for end in split.train.clip)
    return (
        f"perturbed features may leave the range of the data, {low} to {high}, which 'verify' and "
        f"'evaluate' keep them in; '--clip {low} {high}' does so here"
    )


def _radius(asked: RangeShare, given: dict[str, Any], out: Path, data_dir: Path | None) -> float:
    """A radius that is a share of the data's own range, as a number."""
    from sensverify.data import load_split
    from sensverify.training.request import kept_request

    data = given.get("data") or kept_request(out)["data"]
    split = load_split(data, data_dir=data_dir)
    return asked.of(split.train.clip, given.get("clip"), data=split.train.name)


def _request(out: Path, resume: bool, given: dict[str, Any]) -> TrainRequest:
    """The request of the options; of a run that is resumed, the one it was begun with."""
    from sensverify.errors import BadSetting
    from sensverify.training.directory.configuration import MAY_CHANGE
    from sensverify.training.request import CONFIG, TrainRequest, kept_request, whole_path
    from sensverify.training.settings import TrainSettings

    names = {name: given.pop(name) for name in _NAMES if name in given}
    if not (resume and ((out / CONFIG).exists() or not names)):
        for name in ("data", "model"):
            if name not in names:
                raise click.UsageError(f"Missing option '--{name}'.", click.get_current_context())
        return TrainRequest(**names, settings=TrainSettings.of(given))
    kept = kept_request(out)
    settings = kept.pop("settings")
    if "data" in names:
        names["data"], kept["data"] = whole_path(names["data"]), whole_path(kept["data"])
    for name, value in {**names, **given}.items():
        if f"settings.{name}" in MAY_CHANGE:
            settings[name] = value
        before = kept.get(name, settings.get(name))
        if value != (tuple(before) if isinstance(before, list) else before):
            raise BadSetting(
                f"the run in '{out}' was begun with --{name.replace('_', '-')} {before}, got "
                f"{value}; leave it out with --resume, or begin another run"
            )
    return TrainRequest(**kept, settings=TrainSettings.of(settings))
