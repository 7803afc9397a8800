"""Options of ``sensverify verify`` about input sets that are no boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from sensverify.cli.options import PATH, together
from sensverify.cli.types import shape


def input_set_options() -> Callable[[Any], Any]:
    """Options that exclude each other."""
    return together(
        (
            click.option(
                "--norm",
                type=click.Choice(["1", "2", "inf"]),
                help="What the radius is of: the sum of all moves, their Euclidean length, or the "
                "largest move. Default: inf.",
            ),
            click.option(
                "--pixels",
                type=click.IntRange(min=0),
                metavar="K",
                help="Any K pixels move, whichever they are, by the radius, or over the whole clip "
                "range.",
            ),
            click.option(
                "--patch",
                type=shape,
                metavar="HxW",
                help="The pixels of one window move, wherever it is, such as 3x3; likewise.",
            ),
            click.option(
                "--constraints",
                type=PATH,
                metavar="FILE.npz",
                help="Linear constraints on inputs in the box: arrays matrix and limits (matrix x "
                "<= limits), equal_matrix and equal_limits; without the last, as at the sample.",
            ),
            click.option(
                "--vary",
                multiple=True,
                metavar="NAME=A|FILE.npz",
                help="Instead of a radius: brightness, contrast or bias-field by up to A, all at "
                "once where it is repeated; or patterns, least and most of a file: the sample plus "
                "every pattern times a number between these. Numbers that leave the clip range are "
                "cut to its ends, as a camera saturates.",
            ),
        )
    )
