"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sensverify.cli.printing import QUIET
from sensverify.cli.types import number, radius, sample_range, setting, shapes, shard, share, size

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

PATH = click.Path(path_type=Path)
STOPPED = 3
"""Exit status of a run that ended before all was done."""


def method_options(text: str, *, example: str = "") -> Decorator:
    """``--method NAME``, with this text as its help, and ``--setting KEY=VALUE``."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option(
            "--setting",
            "settings",
            type=setting,
            metavar="KEY=VALUE",
            multiple=True,
            help=f"A setting of the method{example}. May be repeated.",
        )(command)
        return click.option("--method", metavar="NAME", help=text)(command)

    return add


def runtime_option() -> Decorator:
    """``--no-runtime-check``: models are not compared with onnxruntime."""
    return click.option(
        "--runtime-check/--no-runtime-check",
        default=True,
        show_default=True,
        help="When a file is read, compare every node of it with onnxruntime at a few inputs, and "
        "refuse a file that differs or does not run there. Without, answers hold of the file as it "
        "is read here.",
    )


def machine_options(memory: str) -> Decorator:
    """Where bounds are computed: --device, --threads, --memory and the check by onnxruntime.

    Parameters
    ----------
    memory : str
        Help of --memory, but for its default.
    """
    options = (
        click.option(
            "--device",
            type=click.Choice(["cpu", "cuda"]),
            default="cpu",
            show_default=True,
            help="Where to compute.",
        ),
        threads_option(),
        click.option("--memory", type=size, metavar="SIZE", help=f"{memory} Default: 1GiB."),
        runtime_option(),
    )
    return together(options)


def threads_option() -> Decorator:
    """--threads of a method."""
    return click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="For methods that compute with several. Default: the method's own.",
    )


def seed_option(text: str) -> Decorator:
    """--seed, 0 unless it is given.

    Parameters
    ----------
    text : str
        What is drawn by it.
    """
    return click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="N",
        help=text,
    )


def typed(context: click.Context) -> dict[str, str]:
    """The options and arguments that a person has typed: their names, and how they are written."""
    return {
        parameter.name or "": parameter.opts[-1]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    }


def together(options: Sequence[Decorator]) -> Decorator:
    """Several options as one decorator; ``--help`` shows them in their order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def ends_options() -> Decorator:
    """``--input``, ``--output`` and ``--input-shape``: which part of a file is the network."""
    options = (
        click.option(
            "--input",
            metavar="NAME",
            help="Value of the file, its inputs and inner ones, at which the network begins. "
            "Default: all its inputs.",
        ),
        click.option(
            "--output",
            metavar="NAME",
            help="Value of the file at which the network ends. Default: all its outputs; of a "
            "classifier whose file ends in probabilities or a label, the logits they are made of.",
        ),
        click.option(
            "--input-shape",
            type=shapes,
            metavar="N,N,...",
            help="Shape of one sample, without the batch axis, where the file leaves lengths open; "
            "of several inputs NAME=N,N;NAME=N.",
        ),
    )

    return together(options)


def json_option(what: str) -> Decorator:
    """``--json``: where ``what`` goes as JSON."""
    return click.option(
        "--json",
        "json_target",
        type=click.Path(path_type=Path, allow_dash=True),
        metavar="FILE|-",
        help=f"Write {what} as JSON; '-' prints it, and only it, on standard output.",
    )


def report_option(text: str) -> Decorator:
    """``--report``: a file for one self-contained page; the text says what is on it."""
    return click.option("--report", "report_target", type=PATH, metavar="FILE.html", help=text)


def quiet_option() -> Decorator:
    """``-q``: nothing but results and errors."""

    def keep(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        # Also of the group, whose -q stands before the command's name.
        context.meta[QUIET] = value or context.meta.get(QUIET, False)

    return click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=keep,
        help="Print nothing but results and errors: no progress, no notes.",
    )


def data_dir_option() -> Decorator:
    """``--data-dir``: where data sets are."""
    return click.option(
        "--data-dir",
        type=PATH,
        metavar="FOLDER",
        help="Where data sets are, before $SENSVERIFY_DATA and the user's cache.",
    )


def shard_option(where: str, merge: str) -> Decorator:
    """``--shard``; the texts say where the shards are, and what puts them together."""
    return click.option(
        "--shard",
        type=shard,
        metavar="I/N",
        help=f"Do part I of N alone, say in an array of jobs on many machines: the others may be "
        f"at work at the same time in {where}, which all of them see. {merge}",
    )


def data_option(text: str) -> Decorator:
    """``--data``; the text says what is taken of data with parts and without."""
    return click.option(
        "--data",
        metavar="NAME|FILE",
        help="A name from 'sensverify list data'; a file: .csv, .tsv, .parquet, .npy, or .npz with "
        "arrays such as x and y; or a folder of images, with one folder for each class. Settings "
        "follow in parentheses: 'FILE.csv(label=NAME)' or '(label=last)' for the column of labels, "
        "'(header=yes)', 'FILE.npz(x=NAME, label=NAME)', '(nhwc)' for images with their channels "
        f"last. {text}",
    )


def force_option(text: str) -> Decorator:
    """``--force``; the text names what it overwrites."""
    return click.option("--force", is_flag=True, help=text)


def samples_options(data: str, samples: str) -> Decorator:
    """``--data``, ``--part``, ``--samples`` and ``--data-dir``; the texts say what is taken."""
    options = (
        data_option(data),
        click.option(
            "--part",
            type=click.Choice(["test", "train", "all"]),
            help="Which part of the data; of data without parts every fifth sample is a test "
            "sample, as in a training. Default: the test part of named sets; all of a file that "
            "has no parts.",
        ),
        click.option("--samples", type=sample_range, metavar="A:B", help=samples),
        data_dir_option(),
    )
    return together(options)


def moving_options() -> Decorator:
    """``--radius``, ``--sigma``, ``--clip`` and ``--box``: how far inputs may move."""
    options = (
        click.option(
            "--radius",
            type=radius,
            metavar="R|FILE.npy",
            help="How far each feature may move, in the units of the data: a number such as 0.03 "
            "or 8/255, a percentage of the range that the data have by their nature, as pixels do, "
            "or a file with one value for each feature.",
        ),
        click.option(
            "--sigma",
            type=share,
            metavar="S",
            help="How far each feature may move, as a share of its range over the training data, "
            "such as 0.05 or 5%. Default: the one on the model's card.",
        ),
        click.option(
            "--clip",
            type=number,
            nargs=2,
            metavar="LO HI",
            help="Keep every perturbed feature between LO and HI. Default: the range on the "
            "model's card, else that which the data are known to have, else none; '--clip -inf "
            "inf' switches it off.",
        ),
        click.option(
            "--box",
            type=PATH,
            metavar="FILE.npz",
            help="The input boxes themselves, as arrays lower and upper (and maybe labels y), "
            "instead of data, radius and clip; of several inputs NAME.lower and NAME.upper each.",
        ),
    )
    return together(options)
