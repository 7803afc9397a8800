"""The multipliers from which bounds follow by weak duality, as plain arrays.

A `Proof` is what a method found, not what anybody has checked: whoever evaluates it recomputes
every bound from the network, the boxes and the numbers here. Nonlinear nodes are taken in the
order of the network, and what enters them is flattened and joined: these numbers are the
*entries*. (Rewrites of a network keep its nonlinear nodes, their order and their entries, so a
proof found on the simplified network is one for the network as the file stores it.)
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from sensverify.errors import BadShape

RULE = -1
"""In place of a line set: the evaluator chooses slopes itself, CROWN's, from the bounds at hand."""

NONE = -1
"""In place of a parent, a group, a split or hidden bounds: there is none."""


@dataclass(frozen=True, eq=False)
class Lines:
    """Sets of slopes: of a line below and of one above every nonlinear function.

    Any slopes are valid: the evaluator finds the tightest intercept that belongs to each. Of a
    `Windowed` operator, the slopes on the numbers of a window.

    Parameters
    ----------
    lower, upper : numpy array, shape ``[sets, entries]``, float32 or float64
        ``upper`` may be None: the chord.
    """

    lower: np.ndarray
    upper: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.lower)


@dataclass(frozen=True, eq=False)
class OwnLines:
    """Single bounds on entries, each with a line set of its own.

    Parameters
    ----------
    sample, entry, side : integer numpy arrays, shape ``[bounds]``
        The box, the entry, and which end: -1 the lower, 1 the upper one.
    lines : Lines
        A set for each.
    """

    sample: np.ndarray
    entry: np.ndarray
    side: np.ndarray
    lines: Lines


@dataclass(frozen=True, eq=False)
class Hidden:
    """Sets of bounds on the entries over a whole input box, each with what proves it.

    Parameters
    ----------
    problem : integer numpy array, shape ``[sets]``
        The box that they hold on.
    lower, upper : numpy array, shape ``[sets, entries]``, float64
    lines : integer numpy array, shape ``[sets]``
        The line set that proves them, layer after layer, or `RULE`.
    own_set, own_entry, own_side, own_lines : integer numpy arrays, shape ``[exceptions]``
        Bounds with a line set of their own: the hidden set, the entry, which end (-1 the lower,
        1 the upper one) and the line set.
    """

    problem: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    lines: np.ndarray
    own_set: np.ndarray
    own_entry: np.ndarray
    own_side: np.ndarray
    own_lines: np.ndarray

    def __len__(self) -> int:
        return len(self.problem)


@dataclass(frozen=True, eq=False)
class Cells:
    """Split trees over problems: a root is a problem's box, children cover their parent.

    A cell is split at one number: an input feature, or an entry. One child holds the inputs where
    it is at most ``at``, the other those where it is at least that. A cell that is not split is a
    leaf, and proves its rows by lines of its own.

    Parameters
    ----------
    problem, group : integer numpy array, shape ``[cells]``
        The box, and the group of rows that the tree is about (`NONE`: all). As the root's.
    parent : integer numpy array, shape ``[cells]``
        An earlier cell, or `NONE` for a root.
    side : integer numpy array, shape ``[cells]``
        -1 for the child of ``<= at``, 1 for the one of ``>= at``, 0 for a root.
    split : integer numpy array, shape ``[cells]``
        `NONE` for a leaf; below the number of input features, the feature; from there on, the
        entry plus that number.
    at : numpy array, shape ``[cells]``, float64
    hidden : integer numpy array, shape ``[cells]``
        Of a leaf: the set in `Hidden` whose bounds it uses, cut by the signs on its path; `NONE`
        has the evaluator bound the layers on the leaf itself.
    lines : integer numpy array, shape ``[cells]``
        Of a leaf: its line set, or `RULE`.
    """

    problem: np.ndarray
    group: np.ndarray
    parent: np.ndarray
    side: np.ndarray
    split: np.ndarray
    at: np.ndarray
    hidden: np.ndarray
    lines: np.ndarray

    def __len__(self) -> int:
        return len(self.problem)

    @classmethod
    def roots(
        cls,
        problem: np.ndarray,
        *,
        group: np.ndarray | None = None,
        hidden: np.ndarray | None = None,
        lines: np.ndarray | None = None,
    ) -> Cells:
        """Trees of one cell each; what is left out is `NONE`, and `RULE` for the lines."""
        count = len(problem)

        def filled(values: np.ndarray | None) -> np.ndarray:
            return np.full(count, NONE) if values is None else np.asarray(values, np.int64)

        return cls(
            problem=np.asarray(problem, np.int64),
            group=filled(group),
            parent=filled(None),
            side=np.zeros(count, np.int64),
            split=filled(None),
            at=np.zeros(count),
            hidden=filled(hidden),
            lines=filled(lines),
        )


@dataclass(frozen=True, eq=False)
class Proof:
    """Proof of lower bounds on linear functions of a network's output over a batch of boxes.

    The rows are those of whoever asked: for a range, the objectives C and then -C; for a query,
    its constraints. A leaf's proof is one backward pass: the rows, weighted where there are
    weights, plus the multiples of the constraints on its path.

    Parameters
    ----------
    cells : Cells
    lines : Lines
    hidden : Hidden
    weights : numpy array or None, shape ``[sets of lines, rows]``
        For leaves with a line set: what the rows of the group are weighed with, at least 0; the
        weighted sum of ``row - limit`` is what the leaf proves to be positive. None: every row
        on its own.
    multiplier_cell, multiplier_split : integer numpy arrays, shape ``[multipliers]``
        A leaf with a line set, and a cell on its path that is split at an entry.
    multiplier : numpy array, shape ``[multipliers]``, float64
        At least 0: what the constraint of that split is weighed with.
    """

    cells: Cells
    lines: Lines
    hidden: Hidden
    weights: np.ndarray | None
    multiplier_cell: np.ndarray
    multiplier_split: np.ndarray
    multiplier: np.ndarray

    @classmethod
    def of(
        cls,
        cells: Cells,
        *,
        entries: int,
        lines: Lines | None = None,
        hidden: Hidden | None = None,
        weights: np.ndarray | None = None,
        multipliers: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    ) -> Proof:
        """A proof where what is left out is empty."""
        none, empty = np.zeros(0, np.int64), np.zeros((0, entries))
        if hidden is None:
            hidden = Hidden(none, empty, empty, none, none, none, none, none)
        if lines is None:
            lines = Lines(empty)
        cell, split, values = multipliers or (none, none, np.zeros(0))
        return cls(cells, lines, hidden, weights, cell, split, values)


def joined(parts: list[Proof], problems: list[int]) -> Proof:
    """Proofs for batches of boxes as one for all of them, one batch after the other.

    Parameters
    ----------
    parts : list of Proof
    problems : list of int
        How many boxes each part is about.

    Raises
    ------
    BadShape
        One part has weights or upper slopes, and another has not.
    """
    if len(parts) == 1:
        return parts[0]
    steps = {"problem": 0, "cell": 0, "lines": 0, "hidden": 0}
    moved = []
    for part, count in zip(parts, problems, strict=True):
        moved.append(_moved(part, dict(steps)))
        steps["problem"] += count
        steps["cell"] += len(part.cells)
        steps["lines"] += len(part.lines)
        steps["hidden"] += len(part.hidden)
    return concatenated(moved)


def _moved(part: Proof, steps: dict[str, int]) -> Proof:
    def by(values: np.ndarray, what: str) -> np.ndarray:
        return np.where(values >= 0, values + steps[what], values)

    cells, hidden = part.cells, part.hidden
    return Proof(
        cells=Cells(
            by(cells.problem, "problem"),
            cells.group,
            by(cells.parent, "cell"),
            cells.side,
            cells.split,
            cells.at,
            by(cells.hidden, "hidden"),
            by(cells.lines, "lines"),
        ),
        lines=part.lines,
        hidden=Hidden(
            by(hidden.problem, "problem"),
            hidden.lower,
            hidden.upper,
            by(hidden.lines, "lines"),
            by(hidden.own_set, "hidden"),
            hidden.own_entry,
            hidden.own_side,
            by(hidden.own_lines, "lines"),
        ),
        weights=part.weights,
        multiplier_cell=by(part.multiplier_cell, "cell"),
        multiplier_split=by(part.multiplier_split, "cell"),
        multiplier=part.multiplier,
    )


def concatenated(parts: list[Any]) -> Any:
    """Dataclasses of arrays as one, field by field; None where none has any."""
    values: list[Any] = []
    for item in fields(parts[0]):
        column = [getattr(part, item.name) for part in parts]
        if all(value is None for value in column):
            values.append(None)
        elif any(value is None for value in column):
            raise BadShape(f"some parts of a proof have {item.name}, others have none")
        elif isinstance(column[0], np.ndarray):
            values.append(np.concatenate(column))
        else:
            values.append(concatenated(column))
    return type(parts[0])(*values)
