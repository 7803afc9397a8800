"""``sensverify verify --lipschitz`` and ``--monotone``: how fast outputs change, and which way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sensverify.cli.options import together, typed
from sensverify.cli.printing import show
from sensverify.cli.progress import showing, watching
from sensverify.cli.targets import Targets, input_files, say_note

OWN = ("lipschitz", "monotone", "parts")
"""Options that only these questions have."""

USED = (
    *("data", "part", "samples", "data_dir", "radius", "sigma", "clip", "box", "input", "output"),
    *("input_shape", "method", "settings", "timeout", "seed", "runtime_check"),
)
_ALLOWED = ("model", "json_target", "report_target", "force", "quiet")


def slope_options() -> Callable[[Any], Any]:
    """``--lipschitz``, ``--monotone`` and ``--parts``."""
    options = (
        click.option(
            "--lipschitz",
            is_flag=True,
            help="Bound the Jacobian's entries on every box, and with them Lipschitz constants in "
            "norms 1, 2 and inf.",
        ),
        click.option(
            "--monotone",
            multiple=True,
            metavar="FEATURE[:up|down]",
            help="Ask whether every output never falls (up, the default), or never rises (down), "
            "with this feature, counted from 0, whatever the others are in the box. May be "
            "repeated. The exit status is 1 where that is refuted, 3 where it is undecided.",
        ),
        click.option(
            "--parts",
            type=click.IntRange(min=1),
            metavar="N",
            help="Into how many parts boxes are cut for --lipschitz and --monotone. Default: 16.",
        ),
    )
    return together(options)


def slopes_asked(context: click.Context, options: dict[str, Any]) -> dict[str, Any] | None:
    """The question about slopes, as arguments of `slopes`; None where there is none.

    Parameters
    ----------
    context : click.Context
    options : dict
        Of the command; those of these questions alone are taken out.

    Raises
    ------
    click.UsageError
        Names options that belong to another question.
    """
    own = {name: options.pop(name) for name in OWN}
    given = typed(context)
    if not own["lipschitz"] and not own["monotone"]:
        if own["parts"] is not None:
            raise click.UsageError("only --lipschitz and --monotone have --parts", ctx=context)
        return None
    others = [text for name, text in given.items() if name not in (*USED, *OWN, *_ALLOWED)]
    if others:
        asked = "--lipschitz" if own["lipschitz"] else "--monotone"
        raise click.UsageError(
            f"{asked} is the whole question: leave {', '.join(others)} out", ctx=context
        )
    found = {name: options[name] for name in USED if options.get(name) is not None}
    if own["parts"] is not None:
        found["parts"] = own["parts"]
    return {**found, "monotone": own["monotone"]}


def found_slopes(model: str, asked: dict[str, Any], targets: Targets) -> int:
    """Bound, write and print what was found; the exit status."""
    from sensverify.report.html import document_to_html
    from sensverify.report.slopes.document import slopes_document
    from sensverify.report.slopes.json import slopes_to_json
    from sensverify.verification.slope_bounds import slopes

    radius = asked.get("radius")
    read = [asked.get("box"), radius if isinstance(radius, Path) else None]
    targets.check(input_files([model], *read, data=asked.get("data")))
    with showing("bounding") as display, watching(display.update) as watch:
        report = slopes(
            model,
            progress=lambda done, total: display.update(done=done, total=total),
            watch=watch,
            **asked,
        )
    if not targets.to_stdout:
        say_note(report.perturbation.note)
    document = slopes_document(report)
    targets.write(json=lambda: slopes_to_json(report), report=lambda: document_to_html(document))
    show(document, aside=targets.to_stdout)
    return report.exit_status
