"""Rows of a table that are cells of NAS-Bench-201, and what is known of all cells by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadData, BadSetting
from sensverify.models.nas201 import COUNT, Cell, cell_in, representatives
from sensverify.scores.columns import column, group_means, shift_names
from sensverify.scores.table import Scores

_NAMED = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class CellTable:
    """Columns of a table by cell.

    Parameters
    ----------
    columns : tuple of str
    cells : array of whole numbers, shape ``[rows]``
        Indices of the cells that have a row, ascending.
    values : array of floats, shape ``[rows, columns]``
        Means over networks that differ in the seed alone; NaN where one of them is a hole.
    others : tuple of str
        Names of networks that are no cells, which are left out.
    """

    columns: tuple[str, ...]
    cells: NDArray[np.int64]
    values: NDArray[np.float64]
    others: tuple[str, ...]

    def everywhere(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """A column for each of the 15,625 cells, and whose row each has.

        A cell without a value of its own has that of the isomorphic one with the lowest index; NaN
        and -1 where none of them has one.
        """
        found = self.values[:, self.columns.index(name)]
        values, owners = np.full(COUNT, np.nan), np.full(COUNT, -1)
        known = ~np.isnan(found)
        values[self.cells[known]] = found[known]
        owners[self.cells[known]] = self.cells[known]
        first = np.array(representatives())
        by_class = np.full(COUNT, -1)
        # From the highest index down, so that the lowest is the last one written.
        lent = self.cells[known][::-1]
        by_class[first[lent]] = lent
        empty = (owners < 0) & (by_class[first] >= 0)
        owners[empty] = by_class[first[empty]]
        values[empty] = values[owners[empty]]
        return values, owners


def cell_table(scores: Scores, columns: Sequence[str]) -> CellTable:
    """The columns of a table, for the networks whose names tell their cells.

    Parameters
    ----------
    scores : Scores
        Networks are called ``nas201:7``, ``nas201-7_...``, or after the cell's string, and may end
        in ``-seedN``.
    columns : sequence of str
        As `sensverify.scores.columns.column` takes them.

    Raises
    ------
    BadData
        No network is a cell, or several are the same one and differ in more than their seeds.
    BadSetting
        There is no such column, or a name tells a cell that does not exist.
    """
    names = tuple(dict.fromkeys(columns))
    owned, others = _cells_by_group(scores)
    groups, means = group_means(scores, np.stack([column(scores, name) for name in names], axis=1))
    order = sorted(owned, key=lambda group: owned[group].index)
    place = {group: number for number, group in enumerate(groups)}
    return CellTable(
        columns=names,
        cells=np.array([owned[group].index for group in order], dtype=np.int64),
        values=means[[place[group] for group in order]],
        others=others,
    )


def only_cells(scores: Scores) -> Scores:
    """The rows of cells, without those of cells that are isomorphic to one of a lower index.

    Raises
    ------
    BadData
        As of `cell_table`.
    """
    owned, _ = _cells_by_group(scores)
    first: dict[int, int] = {}
    for cell in sorted(owned.values(), key=lambda each: each.index):
        first.setdefault(cell.representative, cell.index)
    kept = [
        place
        for place, network in enumerate(scores.networks)
        if network.group in owned
        and first[owned[network.group].representative] == owned[network.group].index
    ]
    new = {place: number for number, place in enumerate(kept)}
    return replace(
        scores,
        networks=tuple(scores.networks[place] for place in kept),
        right=scores.right[kept],
        total=scores.total[kept],
        values=scores.values[kept],
        origin=scores.origin[kept],
        wrong={(new[one], k): each for (one, k), each in scores.wrong.items() if one in new},
    )


def every_column(
    scores: Scores, *, severities: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The measures, and the clean samples with every shift, each severity by itself or not."""
    if severities:
        return scores.measures, tuple(e.label for e in scores.shifts if e.kind != "train")
    known = () if np.isnan(scores.clean).all() else ("clean",)
    return scores.measures, (*known, *shift_names(scores))


def others_of(scores: Scores) -> tuple[str, ...]:
    """Names of the networks that are no cells."""
    return _cells_by_group(scores)[1]


def _cells_by_group(scores: Scores) -> tuple[dict[str, Cell], tuple[str, ...]]:
    """The cell of every group of networks, and the networks that are none."""
    owned: dict[str, Cell] = {}
    by_cell: dict[Cell, str] = {}
    others = []
    for network in scores.networks:
        if network.group in owned:
            continue
        try:
            cell = cell_in(network.name)
        except BadSetting as error:
            raise BadData(f"network '{network.name}': {error.problem}", error.remedy) from None
        if cell is None:
            others.append(network.name)
            continue
        if cell in by_cell:
            raise BadData(
                f"the networks '{by_cell[cell]}' and '{network.group}' are of the same cell, and "
                "differ in more than the seed",
                "give the scores of one of them, such as those of one loss, alone",
            )
        owned[network.group] = cell
        by_cell[cell] = network.group
    if not owned:
        shown = ", ".join(f"'{name}'" for name in others[:_NAMED])
        raise BadData(
            f"no network is a cell of NAS-Bench-201{f': there are {shown}' if shown else ''}",
            "networks are called after their cell, 'nas201:7' or 'nas201-7-seed0'",
        )
    return owned, tuple(others)
