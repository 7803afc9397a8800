"""``sensverify vnnlib``: the command line that the VNN-LIB standard gives to solvers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sensverify.cli.options import (
    PATH,
    force_option,
    json_option,
    method_options,
    quiet_option,
    runtime_option,
    seed_option,
    threads_option,
)
from sensverify.cli.printing import show
from sensverify.cli.progress import showing, watching
from sensverify.cli.targets import Targets


def _said(text: str) -> Any:
    def say(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            from sensverify import __version__

            click.echo(text.format(version=__version__))
            context.exit()

    return say


@click.group("vnnlib")
@click.option(
    "--name",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_said("sensverify"),
    help="Print the solver's name.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_said("{version}"),
    help="Print the solver's version.",
)
def vnnlib() -> None:
    """Answer queries in VNN-LIB 2, by the command line that its standard gives to solvers.

    \b
    Examples:
      sensverify vnnlib verify query.vnnlib --network f=net.onnx --timeout 60
      sensverify vnnlib verify monotone.vnnlib --network f=old.onnx --network g=new.onnx
      sensverify vnnlib supports --onnx-element-types
    """


def _named(text: str) -> tuple[str, Path]:
    """``NAME=FILE``."""
    name, sign, file = text.partition("=")
    if not (sign and name and file):
        raise click.BadParameter(f"'{text}' is not NAME=FILE, such as f=net.onnx")
    return name, Path(file)


@vnnlib.command("verify")
@click.argument("query", type=PATH)
@click.option(
    "--network",
    "networks",
    type=_named,
    multiple=True,
    metavar="NAME=FILE",
    help="The ONNX file, or shipped model, of a network that the query declares; once for each "
    "that is not said to be equal to another.",
)
@click.option("--timeout", type=float, metavar="SECONDS", help="For everything. Default: none.")
@click.option(
    "--serialise-assignments",
    "folder",
    type=PATH,
    metavar="DIR",
    help="Write the assignment of a sat into this folder, in place of printing it: one NAME.pb for "
    "each variable, an ONNX TensorProto.",
)
@method_options("How to answer: branch-and-bound (default), milp or marabou.")
@click.option(
    "--certificate",
    "certificate_target",
    type=PATH,
    metavar="FILE",
    help="Of one network with linear constraints on its outputs: call unsat only what is proven "
    "with rigorous arithmetic, and write the proof; 'sensverify check' checks it.",
)
@json_option("everything")
@force_option("Overwrite files that are there.")
@seed_option("For methods that draw numbers.")
@threads_option()
@runtime_option()
@quiet_option()
def verify(
    query: Path,
    networks: tuple[tuple[str, Path], ...],
    folder: Path | None,
    certificate_target: Path | None,
    json_target: Path | None,
    force: bool,
    settings: Any,
    method: str | None,
    **options: Any,
) -> int:
    """Decide whether an assignment of the networks' inputs meets QUERY, a file in VNN-LIB 2.

    The first line is sat, unsat, unknown or timed-out; behind sat the assignment follows. What else
    there is to say goes to standard error. The exit status is 0 where there is an answer, of
    whichever kind, and 2 where the query or a file cannot be used.

    \b
    Examples:
      sensverify vnnlib verify query.vnnlib --network f=net.onnx --timeout 60
      sensverify vnnlib verify query.vnnlib --network f=net.onnx --serialise-assignments found/
    """
    from sensverify.errors import BadSetting
    from sensverify.models import resolve
    from sensverify.report.verification.query import (
        answer_lines,
        explanation,
        query_to_json,
        tensor_files,
    )
    from sensverify.verification.query import QueryRequest, check_query

    named = dict(networks)
    if len(named) < len(networks):
        twice = next(name for name, _ in networks if [n for n, _ in networks].count(name) > 1)
        raise BadSetting(f"`networks` gives two files for '{twice}'", "give one")
    files = (json_target, None, None, certificate_target, None, None)
    targets = Targets(*files, force=force)
    targets.check([query, *(Path(resolve(str(file)).path) for file in named.values())])
    request = QueryRequest(
        query,
        named,
        settings=dict(settings),
        rigorous=certificate_target is not None,
        method=method or "branch-and-bound",
        **options,
    )
    with showing("answering", counted=False) as display, watching(display.update) as watch:
        report = check_query(request, watch=watch)
    found = report.certification
    written = folder is not None and bool(report.witness)
    if written and folder is not None:
        _write(folder, tensor_files(report), force=force)
    targets.write(
        json=lambda: query_to_json(report),
        certificate=None if found is None else lambda: found.data,
    )
    if not targets.to_stdout:
        for line in answer_lines(report, assignment=not written):
            click.echo(line)
    show(explanation(report), aside=True)
    return 0


def _write(folder: Path, files: dict[str, bytes], *, force: bool) -> None:
    """Write files into a folder; none where one of them is there and may not be overwritten."""
    from sensverify.errors import BadSetting

    if folder.exists() and not folder.is_dir():
        raise BadSetting(f"'{folder}' is no folder", "name one")
    there = [name for name in files if (folder / name).exists()]
    if there and not force:
        raise BadSetting(f"'{folder / there[0]}' is there already", "`force` overwrites it")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _capabilities() -> list[tuple[str, str]]:
    return [
        ("onnx-opset-versions", "The least and the newest operator set."),
        ("onnx-element-types", "Element types whose arithmetic is reasoned about."),
        ("onnx-operators", "Operators of ONNX."),
        ("vnnlib-versions", "The least and the newest version of VNN-LIB 2."),
        ("hidden-node-theories", "Inner values of networks."),
        ("multiple-input-output-theories", "Several inputs and outputs."),
        ("multiple-network-theories", "Several networks."),
        ("multiple-node-comparison-theories", "Comparisons of several variables."),
        ("arithmetic-complexity-theories", "Terms."),
        ("optimised-disjunctive-reasoning", "Whether alternatives are decided together."),
        ("serialise-assignments", "Whether assignments are written as files."),
    ]


def _supports_options(command: Any) -> Any:
    for name, text in reversed(_capabilities()):
        command = click.option(f"--{name}", is_flag=True, help=text)(command)
    return command


@vnnlib.command("supports")
@_supports_options
@quiet_option()
@click.pass_context
def supports(context: click.Context, /, **asked: bool) -> None:
    """Print what is supported, as the standard names it: one item a line.

    \b
    Example:
      sensverify vnnlib supports --arithmetic-complexity-theories
    """
    from sensverify.verification.supported import supported

    chosen = [name.replace("_", "-") for name, wanted in asked.items() if wanted]
    if not chosen:
        names = ", ".join(f"--{name}" for name, _ in _capabilities())
        raise click.UsageError(f"name what is asked about: {names}", ctx=context)
    for name in chosen:
        for line in supported(name):
            click.echo(line)
