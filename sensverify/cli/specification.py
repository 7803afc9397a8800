"""``sensverify specification``: requirements on robustness, before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sensverify.cli.options import PATH, quiet_option
from sensverify.cli.printing import printable

if TYPE_CHECKING:
    from sensverify.evaluation.lint import Measured


@click.group("specification")
def specification() -> None:
    """Look after files of requirements, which 'sensverify evaluate --specification' judges by.

    \b
    Examples:
      sensverify specification check examples/specification.toml
      sensverify specification check spec.toml --overlap scores.csv
    """


@specification.command("check", short_help="Say what a specification leaves out.")
@click.argument("file", metavar="SPEC.toml", type=PATH)
@click.option(
    "--overlap",
    "files",
    type=PATH,
    metavar="FILE|DIR",
    multiple=True,
    help="Scores of networks that were each trained with one shift, as 'sensverify study analyse' "
    "takes them: what their overlaps say of the corruptions. May be repeated. Default: families "
    "of corruptions stand in for what is measured.",
)
@click.option(
    "--standard",
    metavar="NAME",
    default="standard",
    show_default=True,
    help="With --overlap: the network among them that was trained without a shift.",
)
@quiet_option()
def check(file: Path, files: tuple[Path, ...], standard: str) -> int:
    """Say what SPEC.toml leaves out, a line each; the exit status is 1 where there is something.

    A file that cannot be read, a key or a name that there is not, a limit that no network can keep
    and an empty shift are errors (exit status 2).
    """
    from sensverify.evaluation.lint import corruptions_of, lint
    from sensverify.evaluation.specification_file import read_specification

    asked = read_specification(file)
    measured = _measured(files, corruptions_of(asked), standard) if files else None
    found = lint(asked, measured)
    for line in found:
        click.echo(printable(line))
    if not found:
        click.echo("nothing was found")
    return 1 if found else 0


def _measured(files: tuple[Path, ...], corruptions: tuple[str, ...], standard: str) -> Measured:
    from sensverify.errors import BadData, BadSetting
    from sensverify.evaluation.lint import Measured
    from sensverify.scores import read_scores
    from sensverify.scores.balance import balance
    from sensverify.scores.categories import categories
    from sensverify.scores.coverage import coverage
    from sensverify.scores.overlap import overlap

    scores = read_scores(files)
    found = overlap(scores, standard=standard)
    members = tuple(name for name in corruptions if name in found.shifts)
    if not members:
        raise BadData(
            "no corruption of the specification is among the shifts whose overlaps are known",
            f"these are {', '.join(found.shifts)}",
        )
    rest = len(members) < len(found.shifts)
    covered = coverage(scores, benchmark=members, standard=standard).shifts if rest else ()
    means: Mapping[str, float | None] = dict.fromkeys(members)
    if len(members) > 1:
        means = balance(scores, benchmark=members, standard=standard).members
    unknown = [
        f"overlaps of '{name}' are not known: no network was trained with it"
        for name in corruptions
        if name not in members
    ]
    unknown += [
        f"whether '{each.shift}' is covered is not known"
        for each in covered
        if each.covered is None
    ]
    groups: tuple[tuple[str, ...], ...] = ()
    try:
        groups = categories(scores, standard=standard).categories
    except BadSetting as error:
        unknown.append(f"categories are not known: {error.problem}")
    return Measured(
        uncovered=tuple(each.shift for each in covered if each.covered is False),
        members=means,
        categories=groups,
        unknown=tuple(unknown),
    )
