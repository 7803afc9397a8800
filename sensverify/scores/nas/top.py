"""The best cells of a table, and what their edges have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from sensverify.errors import BadData
from sensverify.models.nas201 import EDGES, OPERATIONS, Cell, cell_at
from sensverify.registry.ranges import Count, Range
from sensverify.scores.columns import shift_names
from sensverify.scores.nas.cells import cell_table, only_cells, others_of
from sensverify.scores.table import Scores

Edges = Annotated[int, Range(0, 6)]


@dataclass(frozen=True)
class Ranked:
    """One of the best cells.

    Parameters
    ----------
    rank : int
        From 1; equal values have the ranks of their order by index.
    cell : Cell
    values : tuple of float or None
        Of the columns.
    """

    rank: int
    cell: Cell
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Share:
    """The shares of cells with an operation on an edge: of the best, and of all considered."""

    edge: int
    operation: str
    top: float
    every: float


@dataclass(frozen=True, kw_only=True)
class Tops:
    """The best cells.

    Parameters
    ----------
    by : str
        Column that they are ordered by, largest first.
    columns : tuple of str
        Told of each, ``by`` first.
    having : str
        What the cells have been restricted to, in words; empty for nothing.
    considered : int
        Cells with a value, of the restriction; of isomorphic ones one.
    cells : tuple of Ranked
    shares : tuple of Share
        By edge, from 1 to 6, and operation.
    measures : tuple of str
        Columns that are measures, and no shares.
    others : tuple of str
        Networks that are no cells, and left out.
    """

    by: str
    columns: tuple[str, ...]
    having: str
    considered: int
    cells: tuple[Ranked, ...]
    shares: tuple[Share, ...]
    measures: tuple[str, ...]
    others: tuple[str, ...]


def nas_top(
    scores: Scores,
    *,
    by: str = "",
    columns: tuple[str, ...] = (),
    count: Count = 20,
    none: Edges | None = None,
    skip_connect: Edges | None = None,
    nor_conv_1x1: Edges | None = None,
    nor_conv_3x3: Edges | None = None,
    avg_pool_3x3: Edges | None = None,
) -> Tops:
    """The cells of NAS-Bench-201 with the largest values of a column.

    Of isomorphic cells that have a row, the one with the lowest index stands for all.

    Parameters
    ----------
    scores : Scores
        See `sensverify.scores.nas.cells.cell_table`.
    by : str
        A column, as `sensverify.scores.columns.column` has it. Default: the mean accuracy under
        attack where there is one, else the clean accuracy.
    columns : tuple of str
        Told beside it. Default: the clean accuracy, and that under every shift.
    count : int
        Of the best.
    none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3 : int, optional
        Edges with this operation: only cells with exactly so many.

    Raises
    ------
    BadData
        No network is a cell, or none of the restriction has a value.
    BadSetting
        There is no such column.

    Notes
    -----
    Jung, Lukasik & Keuper 2023, *Neural architecture design and robustness: a dataset*, Figure 5:
    ``nor_conv_3x3=2, nor_conv_1x1=0`` and the mean under all attacks.
    """
    given = (none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3)
    asked = {name: n for name, n in zip(OPERATIONS, given, strict=True) if n is not None}
    reduced = only_cells(scores)
    attacked = any(each.kind == "attack" for each in scores.shifts)
    order = by or ("attack" if attacked else "clean")
    known = ("clean",) if not np.isnan(scores.clean).all() else ()
    told = tuple(dict.fromkeys((order, *(columns or (*known, *shift_names(scores))))))
    table = cell_table(reduced, told)
    rows = [
        place
        for place, index in enumerate(table.cells)
        if not np.isnan(table.values[place, 0])
        and all(cell_at(int(index)).count(name) == n for name, n in asked.items())
    ]
    having = ", ".join(f"{name}={n}" for name, n in asked.items())
    if not rows:
        restricted = f" with {having}" if having else ""
        raise BadData(
            f"no cell{restricted} has a value of '{order}'", "ask for others, or give other scores"
        )
    best = sorted(rows, key=lambda place: -table.values[place, 0])[:count]
    cells = tuple(
        Ranked(
            rank,
            cell_at(int(table.cells[place])),
            tuple(None if np.isnan(value) else float(value) for value in table.values[place]),
        )
        for rank, place in enumerate(best, start=1)
    )
    every = [cell_at(int(table.cells[place])) for place in rows]
    return Tops(
        by=order,
        columns=told,
        having=having,
        considered=len(rows),
        cells=cells,
        shares=tuple(_shares([each.cell for each in cells], every)),
        measures=tuple(each for each in told if each in scores.measures),
        others=others_of(scores),
    )


def _shares(top: Sequence[Cell], every: Sequence[Cell]) -> list[Share]:
    return [
        Share(edge + 1, name, _share(top, edge, name), _share(every, edge, name))
        for edge in range(len(EDGES))
        for name in OPERATIONS
    ]


def _share(cells: Sequence[Cell], edge: int, name: str) -> float:
    return sum(cell.operations[edge] == name for cell in cells) / len(cells)
