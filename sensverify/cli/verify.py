"""``sensverify verify``: one model, one question."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sensverify.cli.types import radius, sample_range, setting, size

if TYPE_CHECKING:
    from sensverify.verification import VerifyReport

_PATH = click.Path(path_type=Path)


@click.command("verify")
@click.argument("model")
@click.option(
    "--data",
    metavar="NAME|FILE.npz",
    help="Samples to verify around: a name from 'sensverify list data', or a file with x and maybe "
    "y and feature_range. Samples are reshaped to the model's input where the number of values "
    "agrees. Default: the samples that ship with the model.",
)
@click.option(
    "--samples",
    type=sample_range,
    metavar="A:B",
    help="Samples A up to but without B, counted from 0; A alone is one. Default: all of them.",
)
@click.option(
    "--radius",
    type=radius,
    metavar="R|FILE.npy",
    help="How far each feature may move: one number, or a file with one value for each feature.",
)
@click.option(
    "--sigma",
    type=float,
    metavar="S",
    help="How far each feature may move, as a share of its range over the training data. Default: "
    "the one on the model's card.",
)
@click.option(
    "--clip",
    type=float,
    nargs=2,
    metavar="LO HI",
    help="Keep every perturbed feature between LO and HI. Default: the range on the model's card, "
    "otherwise none; '--clip -inf inf' switches it off.",
)
@click.option(
    "--box",
    type=_PATH,
    metavar="FILE.npz",
    help="The input boxes themselves, as arrays lower and upper (and maybe labels y), instead of "
    "data, radius and clip.",
)
@click.option(
    "--method",
    default="crown",
    show_default=True,
    metavar="NAME",
    help="How to bound; 'sensverify list methods' shows them.",
)
@click.option(
    "--setting",
    "settings",
    type=setting,
    metavar="KEY=VALUE",
    multiple=True,
    help="A setting of the method, e.g. intermediate=ibp or steps=50. May be repeated.",
)
@click.option(
    "--timeout",
    type=float,
    metavar="SECONDS",
    help="How long alpha-crown may optimise, over all samples together; its first CROWN pass "
    "always runs to its end. Other methods have no such limit. Default: none.",
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where to compute.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
    help="Arithmetic of the bounds; float64 is slower and rounds less.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="For the search for inputs that change the label.",
)
@click.option(
    "--memory",
    type=size,
    metavar="SIZE",
    help="Memory the bounds may take beside the model, e.g. 4GB; work that needs more is cut in "
    "parts. Default: 1GiB.",
)
@click.option(
    "--data-dir",
    type=_PATH,
    metavar="FOLDER",
    help="Where data sets are, before $SENSVERIFY_DATA and the user's cache.",
)
@click.option(
    "--json",
    "json_target",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE|-",
    help="Write everything as JSON; '-' prints it, and only it, on standard output.",
)
@click.option(
    "--report",
    "report_target",
    type=_PATH,
    metavar="FILE.html",
    help="Write one self-contained page with a picture of every sample's output intervals.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Overwrite the files of --json and --report; never the model or the data.",
)
@click.option(
    "--max-log-volume",
    type=float,
    metavar="V",
    help="Exit with status 1 if a sample's log-volume is not proven to be at most V.",
)
@click.option(
    "--max-width",
    type=float,
    metavar="W",
    help="Exit with status 1 if an output's interval is not proven to be at most W wide.",
)
def verify(
    model: str, json_target: Path | None, report_target: Path | None, force: bool, **options: Any
) -> int:
    """Bound how far MODEL's outputs can move when its inputs do.

    MODEL is a name from 'sensverify list models', or the path of an .onnx or .onnx.gz file. For
    every sample you get a box that provably contains each output the network can produce while
    the inputs stay within the radius, the volume of that box (the sensitivity), and whether the
    label provably stays the largest output.

    \b
    Examples:
      sensverify verify iris
      sensverify verify iris --sigma 0.1 --report iris.html
      sensverify verify net.onnx --data mnist --samples 0:20 --radius 0.05 --clip 0 1
      sensverify verify net.onnx --data mine.npz --radius 0.01 --json - > result.json
      sensverify verify mnist-conv2 --method alpha-crown --setting steps=50
      sensverify verify iris --max-width 10 && echo release
    """
    from sensverify.report.console import PlainConsole
    from sensverify.report.files import check_targets, write_texts
    from sensverify.report.table import print_report
    from sensverify.verification import VerifyRequest
    from sensverify.verification import verify as run

    if report_target == Path("-"):
        raise click.BadParameter("a report goes into a file", param_hint="'--report'")
    to_stdout = json_target == Path("-")
    files = [path for path in (json_target, report_target) if path not in (None, Path("-"))]
    inputs = _input_files(model, options)
    check_targets([path for path in files if path is not None], inputs=inputs, force=force)
    request = VerifyRequest(model=model, settings=dict(options.pop("settings")), **options)
    errors = PlainConsole(stderr=True)
    with _progress(errors) as progress:
        report = run(request, progress=progress)
    texts = _texts(report, json_target, report_target)
    write_texts({path: text for path, text in texts.items() if path != Path("-")}, force=force)
    if to_stdout:
        click.echo(texts[Path("-")], nl=False)
    print_report(report, errors if to_stdout else PlainConsole())
    return 1 if report.exceeded else 0


def _input_files(model: str, options: dict[str, Any]) -> list[Path]:
    """The files that the run reads its question from."""
    from sensverify.models import resolve

    found = resolve(model)
    data, radius = options["data"], options["radius"]
    files = [Path(found.path), found.sample_path, options["box"]]
    files.append(Path(data) if data is not None and data.endswith(".npz") else None)
    files.append(radius if isinstance(radius, Path) else None)
    return [path for path in files if path is not None]


def _texts(
    report: VerifyReport, json_target: Path | None, report_target: Path | None
) -> dict[Path, str]:
    """Every output by its place, made before the first one is written."""
    texts = {}
    if json_target is not None:
        from sensverify.report.json import report_to_json

        texts[json_target] = report_to_json(report)
    if report_target is not None:
        from sensverify.report.html import report_to_html

        texts[report_target] = report_to_html(report)
    return texts


@contextlib.contextmanager
def _progress(console: Any) -> Iterator[Callable[[int, int], None] | None]:
    """A bar with an estimate of the time left, when standard error is a terminal."""
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("bounding", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("samples", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
