"""``sensverify verify --property``: one model, one VNN-LIB property."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sensverify.cli.options import typed
from sensverify.cli.printing import quiet, show
from sensverify.cli.progress import showing, watching
from sensverify.cli.targets import Targets

UNDECIDED = 3
"""Exit status where neither yes nor no is proven."""

STATUS = {"sat": 1, "unsat": 0}

_AT_ONCE = {"model", "property", "timeout", "seed", "runtime_check", "device"}
"""Options that leave open how a property is answered; no other may be given."""

FIELDS = ("method", "timeout", "device", "seed", "threads", "rigorous", "runtime_check")
"""Of a `PropertyRequest`, those that are options of the same name."""

_ALLOWED = {
    *FIELDS,
    "certificate_target",
    "force",
    "json_target",
    "model",
    "property_file",
    "quiet",
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
    given = [text for name, text in typed(context).items() if name not in _ALLOWED]
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

    targets.check([Path(resolve(asked["model"]).path), asked["property"]])
    status = _answered_at_once(asked, targets)
    if status is not None:
        return status
    from sensverify.report.verification.property import (
        answer_document,
        property_document,
        property_to_json,
    )
    from sensverify.report.verification.witness import witness_text
    from sensverify.verification import PropertyRequest, check_property

    request = PropertyRequest(**asked)
    with showing("answering", counted=False) as display, watching(display.update) as watch:
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
        show(answer_document(report))
    show(property_document(report, rigorous=request.rigorous), aside=True)
    return STATUS.get(report.verdict.value, UNDECIDED)


def _answered_at_once(asked: dict[str, Any], targets: Targets) -> int | None:
    """The exit status, where nothing but the answer is asked for, and that takes no time."""
    given = {name for name, value in asked.items() if value} - _AT_ONCE
    aside = asked["device"] != "cpu" or targets.json is not None or targets.certificate is not None
    if given or aside:
        return None
    from sensverify.report.verification.witness import witness_text
    from sensverify.verification.at_once import answer_at_once

    found = answer_at_once(
        asked["model"],
        asked["property"],
        timeout=asked.get("timeout"),
        runtime_check=asked["runtime_check"],
    )
    if found is None:
        return None
    witness = found.witness
    text = None if witness is None else witness_text(witness)
    targets.write(witness=None if text is None else lambda: text)
    click.echo(found.verdict.value)
    if text is not None:
        click.echo(text, nl=False)
    if not quiet():
        click.echo(found.summary, err=True)
    return STATUS[found.verdict.value]
