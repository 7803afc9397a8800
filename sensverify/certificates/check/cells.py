"""Split trees: that their leaves cover every problem."""

from __future__ import annotations

import numpy as np

from sensverify.core.proof import NONE, RULE, Cells, Proof
from sensverify.errors import CertificateRejected


def check_cells(proof: Proof, *, problems: int, groups: int, features: int, entries: int) -> None:
    """Refuse what is no forest, does not cover its roots, or uses what is proven elsewhere.

    A cell's two children hold the inputs where one number is at most ``at``, and at least that:
    together all of the cell. So the leaves cover the root, by induction. Hidden bounds hold on the
    box of one problem, so only its own cells may use them.

    Raises
    ------
    CertificateRejected
    """
    cells, hidden, sets = proof.cells, proof.hidden, len(proof.lines)
    number = np.arange(len(cells))
    root, split = cells.parent == NONE, cells.split != NONE
    _require((cells.parent >= NONE) & (cells.parent < number), "a cell's parent comes before it")
    _require(np.where(root, cells.side == 0, abs(cells.side) == 1), "a child has one of two sides")
    _within(cells.problem, 0, problems, "a cell's problem")
    _within(cells.group, NONE, groups, "a cell's group")
    _within(cells.split, NONE, features + entries, "what a cell is split at")
    _require(np.isfinite(cells.at), "a cell is split at a finite number")
    children, parents = number[~root], cells.parent[~root]
    for values in (cells.problem, cells.group):
        _require(values[children] == values[parents], "a child is about what its parent is")
    for side in (-1, 1):
        count = np.bincount(parents[cells.side[children] == side], minlength=len(cells))
        _require(count == split, "a split cell has one child on either side, a leaf has none")
    _within(hidden.problem, 0, problems, "the problem of hidden bounds")
    _within(cells.hidden, NONE, len(hidden), "a cell's hidden bounds")
    known = cells.hidden != NONE
    _require(
        hidden.problem[cells.hidden[known]] == cells.problem[known],
        "a cell uses hidden bounds of its own problem",
    )
    for values, what in (
        (cells.lines, "a cell's lines"),
        (hidden.lines, "the lines of hidden bounds"),
        (hidden.own_lines, "the lines of a hidden bound"),
    ):
        _within(values, RULE, sets, what)
    _within(hidden.own_set, 0, len(hidden), "the set of a hidden bound")
    _within(hidden.own_entry, 0, entries, "the entry of a hidden bound")
    _require(abs(hidden.own_side) == 1, "a hidden bound is a lower or an upper one")
    _within(proof.multiplier_cell, 0, len(cells), "the cell of a multiplier")
    _within(proof.multiplier_split, 0, len(cells), "the split of a multiplier")
    _require((proof.multiplier >= 0) & np.isfinite(proof.multiplier), "a multiplier is at least 0")
    if proof.weights is not None:
        _require((proof.weights >= 0) & np.isfinite(proof.weights), "a weight is at least 0")


def _within(values: np.ndarray, first: int, end: int, what: str) -> None:
    _require((values >= first) & (values < end), f"{what} is there")


def _require(holds: np.ndarray, what: str) -> None:
    if not bool(holds.all()):
        place = tuple(int(i) for i in np.argwhere(~holds)[0])
        where = place[0] if len(place) == 1 else place
        raise CertificateRejected(
            f"the proof is broken at place {where}, where it must hold that {what}"
        )


def roots_of(cells: Cells) -> np.ndarray:
    """The root of every cell."""
    root = np.where(cells.parent == NONE, np.arange(len(cells)), cells.parent)
    while True:
        above = root[root]
        if (above == root).all():
            return root
        root = above
