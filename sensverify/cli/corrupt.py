"""``sensverify corrupt``: corrupted images of a data set, made once and kept in a folder."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click
from click import option

from sensverify.cli.evaluate_request import severities_of
from sensverify.cli.options import PATH, STOPPED, data_dir_option, force_option, quiet_option
from sensverify.cli.printing import note, show
from sensverify.cli.progress import showing_run, watching
from sensverify.cli.targets import say_note
from sensverify.cli.types import number

if TYPE_CHECKING:
    from sensverify.evaluation.premade_request import PremadeSet
    from sensverify.report.document import Block, Document


@click.command("corrupt")
@click.argument("data", metavar="DATA")
@option(
    "--corruptions",
    metavar="LIST",
    default="imagenet-c",
    show_default=True,
    help="Names and groups from 'sensverify list corruptions', with commas between them; strengths "
    "in parentheses, as 'evaluate --corruptions' takes them.",
)
@option(
    "--severities",
    metavar="LIST",
    help="In ascending order, such as 1,3,5. A file numbers those that it holds from 1. Default: "
    "all that a corruption has.",
)
@option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of what is drawn: 'evaluate' draws the same of the same seed.",
)
@option(
    "--clip",
    type=number,
    nargs=2,
    metavar="LO HI",
    help="Values of black and white. Default: the range that the data are known to have, else 0 1.",
)
@option(
    "--out",
    type=PATH,
    metavar="DIR",
    required=True,
    help="Folder for the files, which is made; nothing in one that holds anything is overwritten.",
)
@option("--resume", is_flag=True, help="Go on with what is in DIR; nothing is done twice.")
@force_option("Replace the set that an earlier run has made in DIR.")
@data_dir_option()
@quiet_option()
def corrupt(**options: Any) -> int:
    """Corrupt all test images of DATA, and keep them in the layout of CIFAR-10-C.

    DATA is a name from 'sensverify list data', or a file or folder as 'evaluate --data' takes it.
    DIR gets one .npy of bytes for each corruption, with all of its severities one after the other;
    labels.npy; and corrupted.json, which says of which data, seed and parameters they were made.
    'sensverify evaluate MODEL --data DATA --corrupted DIR' reads them back. Ctrl-C gives up the
    file in hand and keeps the others (exit status 3).

    \b
    Examples:
      sensverify corrupt cifar-10 --out cifar-10-c
      sensverify corrupt mnist --corruptions thesis,jpeg --severities 1,3,5 --out mnist-t
      sensverify evaluate mnist-conv2 --data mnist --corrupted mnist-t
    """
    from sensverify.evaluation.premade import make_corrupted
    from sensverify.evaluation.premade_request import CorruptRequest
    from sensverify.evaluation.request import split_list

    given = {name: value for name, value in options.items() if value is not None}
    given["corruptions"] = split_list(given["corruptions"])
    if "severities" in given:
        given["severities"] = severities_of(given["severities"])
    request = CorruptRequest(**given)
    with (
        showing_run("corrupting", lambda now: ", ".join(now.running)) as (_, progress, listen),
        watching(listen) as watch,
    ):
        found = make_corrupted(request, progress=progress, watch=watch)
    say_note(found.note)
    show(_document(found))
    if found.interrupted:
        again = shlex.join(["--out", str(request.out), "--resume"])
        click.echo(
            f"stopped before all was done; go on with the same command and {again}", err=True
        )
        return STOPPED
    _say_numbers(found)
    return 0


def _document(found: PremadeSet) -> Document:
    from sensverify.report.document import Cell, Column, Document, Row, Section, Table, Text

    rows = []
    for each in found.files:
        if each.corruption in found.made:
            state = "made"
        else:
            state = "was there" if each.corruption in found.finished else "not yet"
        numbers = ", ".join(map(str, each.severities))
        rows.append(Row(each.corruption, [Cell(numbers), Cell(each.file), Cell(state)]))
    names = ("corruption", "severities", "file", "")
    title = f"{found.data}: {found.samples:,} samples, seed {found.seed}, in {found.folder}"
    blocks: list[Block] = [Text(title)]
    blocks.append(Table([Column(name, align="left") for name in names], rows))
    if found.left_out:
        reasons = [Row(name, [Cell(reason)]) for name, reason in found.left_out.items()]
        columns = [Column("left out", align="left"), Column("why", align="left")]
        blocks.append(Table(columns, reasons))
    return Document(sections=[Section("", "", blocks)])


def _say_numbers(found: PremadeSet) -> None:
    """Tell where a reader of the files counts severities in another way."""
    others = [
        each for each in found.files if each.severities != tuple(range(1, len(each.severities) + 1))
    ]
    if others:
        numbers = ", ".join(map(str, others[0].severities))
        note(
            f"note: severities {numbers} are 1 to {len(others[0].severities)} for 'evaluate "
            "--corrupted'; corrupted.json says which is which"
        )
