"""``sensverify verify --property``: one model, one VNN-LIB property."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sensverify.cli.progress import watching
from sensverify.cli.targets import Targets

UNDECIDED = 3
"""Exit status where neither yes nor no is proven."""

FIELDS = ("method", "timeout", "device", "seed", "threads", "rigorous", "runtime_check")
"""Of a `PropertyRequest`, those that are options of the same name."""

_ALLOWED = {
    *FIELDS,
    "certificate_target",
    "force",
    "json_target",
    "model",
    "property_file",
    "settings",
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


def answer(asked: dict[str, Any], targets: Targets) -> int:
    """Answer a property and print what VNN-COMP expects.

    Parameters
    ----------
    asked : dict
        Fields of a `PropertyRequest`.
    targets : Targets

    Returns
    -------
    int
        Exit status: 1 for sat, 0 for unsat, 3 otherwise.
    """
    from sensverify.models import resolve
    from sensverify.report.property import (
        answer_document,
        property_document,
        property_to_json,
        witness_text,
    )
    from sensverify.report.terminal import PlainConsole, print_document
    from sensverify.verification import PropertyRequest, check_property

    targets.check([Path(resolve(asked["model"]).path), asked["property"]])
    request = PropertyRequest(**asked)
    errors = PlainConsole(stderr=True)
    with _status(errors) as listener, watching(listener) as watch:
        report = check_property(request, watch=watch)
    found, witness = report.certification, report.witness
    if found is not None and targets.certificate is not None:
        found = replace(found, path=str(targets.certificate))
        report = replace(report, certification=found)
    targets.write(
        json=lambda: property_to_json(report),
        witness=None if witness is None else lambda: witness_text(witness),
        certificate=None if found is None else lambda: found.data,
    )
    if not targets.to_stdout:
        print_document(answer_document(report), PlainConsole())
    print_document(property_document(report, rigorous=request.rigorous), errors)
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
