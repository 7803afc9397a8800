"""Files and words that an evaluation leaves."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sensverify.cli.remedies import with_options
from sensverify.cli.targets import Targets

if TYPE_CHECKING:
    from sensverify.evaluation.request import EvaluateRequest
    from sensverify.evaluation.results import Evaluation
    from sensverify.report.document import Document


def suite_of(found: Evaluation) -> str:
    """The names of the networks, as the name of a suite of tests."""
    return ", ".join(model.model.name for model in found.models)


def check_csv(folder: Path | None, force: bool) -> None:
    """Refuse a folder for CSV files before any work is done.

    Raises
    ------
    InputError
    """
    from sensverify.errors import InputError

    if folder is None:
        return
    there = next((each for each in (folder, *folder.absolute().parents) if each.exists()), folder)
    if not there.is_dir():
        raise InputError(f"'{there}' is no folder to write CSV files into")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"the folder '{there}' cannot be written to")
    if not force and any(folder.glob("*.csv")):
        raise InputError(f"'{folder}' holds CSV files already; give another folder, or --force")


def write_outputs(
    found: Evaluation,
    document: Document,
    json: Callable[[], str],
    request: EvaluateRequest,
    targets: Targets,
    csv_folder: Path | None,
) -> None:
    """Write the files that were asked for, of which several may hold the same.

    Parameters
    ----------
    found : Evaluation
    document : Document
        Of it.
    json : callable
        Gives it as JSON.
    request : EvaluateRequest
    targets : Targets
    csv_folder : Path or None
    """
    from sensverify.evaluation.folder import JSON_FILE, PAGE_FILE
    from sensverify.report.gates import junit
    from sensverify.report.html import document_to_html
    from sensverify.report.tabular import document_to_csv
    from sensverify.runs.files import replace_file, writing
    from sensverify.runs.outputs import write_files

    page = cache(lambda: document_to_html(document))
    if request.out is not None:
        with writing(request.out):
            replace_file(request.out / JSON_FILE, json().encode())
            replace_file(request.out / PAGE_FILE, page().encode(errors="backslashreplace"))
    if csv_folder is not None:
        with writing(csv_folder):
            csv_folder.mkdir(parents=True, exist_ok=True)
        tables = document_to_csv(document)
        paths = {csv_folder / f"{name}.csv": text for name, text in tables.items()}
        write_files(paths, force=targets.force)
    targets.write(
        json=json,
        report=page,
        junit=lambda: junit(found.gates, suite=suite_of(found), seconds=found.seconds),
    )


def say_stopped(request: EvaluateRequest) -> None:
    """Tell how an evaluation that was stopped goes on."""
    if request.out is None:
        text = "stopped before all was done; with --out the rest can be done later"
    else:
        again = shlex.join(["--out", str(request.out), "--resume"])
        text = f"stopped before all was done; go on with the same command and {again}"
    click.echo(text, err=True)


def with_own_options(found: Evaluation, command: click.Command) -> Evaluation:
    """The evaluation with the options of a command in the reasons why rows are missing."""
    return replace(
        found,
        models=tuple(
            replace(
                model,
                missing=tuple(
                    replace(each, reason=with_options(each.reason, command))
                    for each in model.missing
                ),
            )
            for model in found.models
        ),
    )
