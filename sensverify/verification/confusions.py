"""Which classes may not be taken for which others: pairs of them, or a matrix of costs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sensverify.errors import BadData, BadSetting
from sensverify.formats.arrays import read_npy, read_npz
from sensverify.registry.names import did_you_mean

ANY = "*"
"""Every class, in a pair."""


def all_confusions(outputs: int) -> np.ndarray:
    """No class may be taken for another, ``[outputs, outputs]``, boolean."""
    return ~np.eye(outputs, dtype=bool)


def pairs(text: str, outputs: int, names: Sequence[str] = ()) -> np.ndarray:
    """The confusions of pairs such as ``3:5,5:3``: a class, and what it may not be taken for.

    Parameters
    ----------
    text : str
        Classes are numbers from 0, names, or ``*`` for every one.
    outputs : int
    names : sequence of str
        Of the classes, in order; empty where they have none.

    Returns
    -------
    boolean numpy array, shape ``[outputs, outputs]``
        By class and by what it may not be taken for.

    Raises
    ------
    BadSetting
        A pair is none, or names no class.
    """
    found = np.zeros((outputs, outputs), dtype=bool)
    for pair in text.split(","):
        first, colon, second = (part.strip() for part in pair.partition(":"))
        if not (first and colon and second):
            raise BadSetting(
                f"`targets`: '{pair.strip()}' is no pair of classes",
                "give A:B, a class and what it may not be taken for",
            )
        places = [_classes(each, outputs, names) for each in (first, second)]
        found[np.ix_(*places)] = True
        if first == second != ANY:
            raise BadSetting(f"`targets`: '{pair.strip()}' is one class twice", "give two")
    return found & all_confusions(outputs)


def _classes(word: str, outputs: int, names: Sequence[str]) -> list[int]:
    if word == ANY:
        return list(range(outputs))
    if word in names:
        return [list(names).index(word)]
    if word.isdecimal() and len(word) < 9 and int(word) < outputs:
        return [int(word)]
    known = f", or {', '.join(names)}" if 0 < len(names) <= 20 else ""
    raise BadSetting(
        f"`targets`: '{word}' is no class of this network{did_you_mean(word, names)}",
        f"classes are 0 to {outputs - 1}{known}, or {ANY} for all",
    )


def costly(path: Path, outputs: int) -> np.ndarray:
    """The confusions that cost something, by a matrix in a file.

    Parameters
    ----------
    path : Path
        ``.csv`` with a row for each class, ``.npy``, or ``.npz`` with one array: in row i and
        column j, what it costs to take class i for class j. The diagonal does not count.
    outputs : int

    Returns
    -------
    boolean numpy array, shape ``[outputs, outputs]``

    Raises
    ------
    BadData
        The file cannot be read, holds another shape, a cost that is negative or not finite, or
        none above 0.
    """
    costs = _read_costs(path)
    if costs.shape != (outputs, outputs):
        raise BadData(
            f"'{path}' holds costs of shape {costs.shape}; expected ({outputs}, {outputs}), a row "
            "and a column for each class"
        )
    if not (np.isfinite(costs) & (costs >= 0)).all():
        raise BadData(f"'{path}': costs must be finite and at least 0")
    found = (costs > 0) & all_confusions(outputs)
    if not found.any():
        raise BadData(f"'{path}': no confusion costs anything, so that nothing is asked")
    return found


def _read_costs(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return read_npy(path).astype(np.float64)
    if path.suffix == ".npz":
        arrays = read_npz(path, required=("costs",))
        return arrays["costs"].astype(np.float64)
    if path.suffix != ".csv":
        raise BadData(f"'{path}' is no matrix of costs", "give a .csv, .npy or .npz file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if any(cell.strip() for cell in row)]
        return np.array([[float(cell) for cell in row] for row in rows], dtype=np.float64)
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadData(
            f"'{path}' holds no matrix of numbers: {reason}",
            "write one row of numbers for each class, with commas between them",
        ) from None
