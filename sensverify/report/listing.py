"""Names and what they stand for, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text


def listing_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table; the first column stays on one line, and no text is cut off."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(header):
        table.add_column(name, no_wrap=place == 0, overflow="fold")
    for row in rows:
        # Text, not str: square brackets in a name are no markup.
        table.add_row(*(Text(cell) for cell in row))
    return table
