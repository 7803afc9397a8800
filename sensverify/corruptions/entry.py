"""Entries of the catalog of corruptions, with the parameters that stand in a table."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sensverify.corruptions.corruption import Corruption
from sensverify.corruptions.parameters import TABLES

LENGTHS = 24
"""Sides below this leave no room for lengths of a few pixels to grow with severity."""


def entry(
    name: str,
    function: Callable[..., Tensor],
    summary: str,
    source: str,
    *,
    needs_colour: bool = False,
    smallest: int = 8,
) -> Corruption:
    """The corruption of that name; the parameters are those of its name in `TABLES`."""
    return Corruption(
        name=name,
        function=function,
        summary=summary,
        source=source,
        tables=TABLES[name],
        needs_colour=needs_colour,
        smallest=smallest,
    )
