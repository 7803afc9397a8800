"""``sensverify verify --critical-radius``: how far inputs may move until a label changes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sensverify.cli.options import PATH, together, typed
from sensverify.cli.printing import show
from sensverify.cli.progress import showing_run, watching
from sensverify.cli.targets import Targets, input_files
from sensverify.cli.types import number, share

OWN = ("accuracy", "steps", "max_radius", "out", "resume")
"""Options that only ``--critical-radius`` has."""

_ALLOWED = ("critical_radius", "json_target", "report_target", "force", "quiet")


def critical_radius_options() -> Callable[[Any], Any]:
    """``--critical-radius``, and the options that belong to it."""
    options = (
        click.option(
            "--critical-radius",
            is_flag=True,
            help="Find how far inputs may move until the label changes: for every sample a radius "
            "within which it is proven to stay, and one within which it is known to change. "
            "--radius or --sigma gives the unit and the first radius.",
        ),
        click.option(
            "--accuracy",
            type=share,
            metavar="SHARE",
            help="How near, as a share, the ends are searched for. Default: 0.01.",
        ),
        click.option(
            "--steps",
            type=int,
            metavar="N",
            help="Most radii looked at for each end. Default: 40.",
        ),
        click.option(
            "--max-radius",
            type=number,
            metavar="R",
            help="The largest radius looked at. Default: 100 times the first, no more than fills "
            "the clip range.",
        ),
        click.option(
            "--out",
            type=PATH,
            metavar="DIR",
            help="A new or empty folder that keeps what is done, and at the end the results, the "
            "page and the counterexamples.",
        ),
        click.option(
            "--resume",
            is_flag=True,
            help="Go on with what is in DIR; nothing is done twice.",
        ),
    )

    return together(options)


def search_of(context: click.Context, options: dict[str, Any]) -> dict[str, Any] | None:
    """The search that is asked for, as fields of a `CriticalRadiusRequest`; None where none is.

    Parameters
    ----------
    context : click.Context
    options : dict
        Of the command; those of a search alone are taken out.

    Raises
    ------
    click.UsageError
        Names options that belong to another question.
    """
    own = {name: options.pop(name) for name in OWN}
    given = typed(context)
    if not options.pop("critical_radius"):
        alone = [text for name, text in given.items() if name in OWN]
        if alone:
            raise click.UsageError(f"only --critical-radius has {', '.join(alone)}", ctx=context)
        return None
    from sensverify.verification.radius_request import USED

    others = [text for name, text in given.items() if name not in (*USED, *OWN, *_ALLOWED)]
    if others:
        raise click.UsageError(
            f"--critical-radius is the whole question: leave {', '.join(others)} out", ctx=context
        )
    asked = {name: options[name] for name in USED if name in options} | own
    return {name: value for name, value in asked.items() if value is not None}


def found_radii(asked: dict[str, Any], targets: Targets) -> int:
    """Search, write and print what was found.

    Parameters
    ----------
    asked : dict
        Fields of a `CriticalRadiusRequest`.
    targets : Targets

    Returns
    -------
    int
        Exit status: 3 where the search is unfinished, else 0.
    """
    from sensverify.report.critical_radius.document import critical_radius_document
    from sensverify.report.critical_radius.json import critical_radius_to_json
    from sensverify.report.html import document_to_html
    from sensverify.verification.critical_radius import critical_radius
    from sensverify.verification.radius_request import CriticalRadiusRequest

    radius = asked.get("radius")
    read = [asked.get("costs"), radius if isinstance(radius, Path) else None]
    targets.check(input_files([asked["model"]], *read, data=asked.get("data")))
    request = CriticalRadiusRequest(**asked)
    with (
        showing_run("searching", lambda now: ", ".join(now.running)) as (_, progress, listen),
        watching(listen) as watch,
    ):
        report = critical_radius(request, progress=progress, watch=watch)
    document = critical_radius_document(report)
    try:
        if request.out is not None:
            _keep(request.out, report, document)
        targets.write(
            json=lambda: critical_radius_to_json(report), report=lambda: document_to_html(document)
        )
    finally:
        # What took hours is told also where it cannot be written.
        show(document, aside=targets.to_stdout)
    if report.interrupted:
        text = "with --out the rest can be done later"
        if request.out is not None:
            again = shlex.join(["--out", str(request.out), "--resume"])
            text = f"go on with the same command and {again}"
        click.echo(f"stopped before all was done; {text}", err=True)
    return report.exit_status


def _keep(folder: Path, report: Any, document: Any) -> None:
    """Write the files of a search into its folder."""
    from sensverify.formats.arrays import npz_bytes
    from sensverify.report.critical_radius.json import critical_radius_to_json
    from sensverify.report.html import document_to_html
    from sensverify.runs.files import encoded, replace_file, writing
    from sensverify.verification.critical_radius import RESULTS
    from sensverify.verification.radius_results import counterexamples

    contents = (
        encoded(critical_radius_to_json(report)),
        npz_bytes(counterexamples(report.samples)),
        encoded(document_to_html(document)),
    )
    with writing(folder):
        for name, content in zip(RESULTS, contents, strict=True):
            replace_file(folder / name, content)
