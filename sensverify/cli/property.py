"""``sensverify verify --property``: one model, one VNN-LIB property."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from sensverify.verification import PropertyReport

UNDECIDED = 3
"""Exit status where neither yes nor no is proven."""

_ALLOWED = {
    "device",
    "force",
    "json_target",
    "method",
    "model",
    "property_file",
    "seed",
    "settings",
    "threads",
    "timeout",
    "witness",
}


def check_options(context: click.Context) -> None:
    """Refuse options that ask about something else than a property.

    Raises
    ------
    click.UsageError
        Names the options.
    """
    given = [
        parameter.opts[-1]
        for parameter in context.command.params
        if parameter.name not in _ALLOWED
        and context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(
            f"--property is the whole question: leave {', '.join(given)} out", ctx=context
        )


def answer(
    asked: dict[str, Any], *, json_target: Path | None, witness_target: Path | None, force: bool
) -> int:
    """Answer a property and print what VNN-COMP expects.

    Parameters
    ----------
    asked : dict
        Fields of a `PropertyRequest`.
    json_target, witness_target : Path or None
    force : bool

    Returns
    -------
    int
        Exit status: 1 for sat, 0 for unsat, 3 otherwise.
    """
    from sensverify.models import resolve
    from sensverify.report.console import PlainConsole
    from sensverify.report.files import check_targets, write_texts
    from sensverify.report.property import property_to_json, summary_line, witness_text
    from sensverify.verification import PropertyRequest, check_property
    from sensverify.watch import Watch

    if witness_target == Path("-"):
        raise click.BadParameter("a witness goes into a file", param_hint="'--witness'")
    to_stdout = json_target == Path("-")
    files = [path for path in (json_target, witness_target) if path not in (None, Path("-"))]
    inputs = [Path(resolve(asked["model"]).path), asked["property"]]
    check_targets([path for path in files if path is not None], inputs=inputs, force=force)
    request = PropertyRequest(**asked)
    errors = PlainConsole(stderr=True)
    with _status(errors) as listener:
        watch = Watch(listener=listener)
        with watch.stopping_on_interrupt():
            report = check_property(request, watch=watch)
    texts: dict[Path, str] = {}
    if json_target is not None:
        texts[json_target] = property_to_json(report)
    if witness_target is not None and report.witness is not None:
        texts[witness_target] = witness_text(report.witness)
    write_texts({path: text for path, text in texts.items() if path != Path("-")}, force=force)
    verdict = report.verdict.value
    if to_stdout:
        click.echo(texts[Path("-")], nl=False)
    else:
        click.echo(verdict)
        if report.witness is not None:
            click.echo(witness_text(report.witness), nl=False)
    click.echo(summary_line(report), err=True)
    for line in report.warnings:
        click.echo(f"warning: {line}", err=True)
    return _exit_status(report)


def _exit_status(report: PropertyReport) -> int:
    return {"sat": 1, "unsat": 0}.get(report.verdict.value, UNDECIDED)


@contextlib.contextmanager
def _status(console: Any) -> Iterator[Callable[[str], None] | None]:
    """A line that says how far the work is, when standard error is a terminal."""
    if not console.is_terminal:
        yield None
        return
    from rich.markup import escape

    with console.status("reading") as status:
        yield lambda text: status.update(escape(text))
