"""Tables: columns of features, and maybe one of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sensverify.data.dataset import Dataset
from sensverify.data.labels import is_text, listed
from sensverify.data.reading import LABELS, LAST
from sensverify.errors import BadData
from sensverify.registry.names import did_you_mean


def find_label(names: Sequence[str], asked: str | None, what: str) -> int | None:
    """The position of the column of labels; None where there is none.

    Parameters
    ----------
    names : sequence of str
    asked : str or None
        As of `Reading`.
    what : str
        Name of the table, for messages.

    Raises
    ------
    BadData
        There is no such column, or two could be it.
    """
    if asked is not None:
        if asked in names:
            return list(names).index(asked)
        if asked == LAST:
            return len(names) - 1
        raise BadData(
            f"{what} has no column '{asked}'{did_you_mean(asked, names)}",
            f"its columns are {listed(names)}; `label={LAST}` is the last one",
        )
    found = [place for place, name in enumerate(names) if name.lower() in LABELS]
    if len(found) > 1:
        both = " and ".join(f"'{names[place]}'" for place in found)
        raise BadData(
            f"{what}: the columns {both} could both hold the labels",
            "say which: `label=NAME`, as in FILE.csv(label=NAME)",
        )
    return found[0] if found else None


def label_note(names: Sequence[str], label: int | None, asked: str | None) -> str:
    """A guess about the column of labels, in words; empty where somebody said which it is."""
    if asked is not None:
        return ""
    if label is None:
        return f"no column is called {', '.join(LABELS)}: there are no labels"
    return f"the labels are the column '{names[label]}'"


def table_dataset(
    name: str, columns: Mapping[str, np.ndarray], label: str | None, *, first: int = 0
) -> Dataset:
    """The samples of a table: every column but that of the labels is a feature.

    Parameters
    ----------
    name : str
    columns : mapping from str to numpy array, shape ``[samples]``
        Numbers, or objects.
    label : str or None
        As of `Reading`.
    first : int
        Number of the first row in messages.

    Raises
    ------
    BadData
        There are no features, or a value of one is missing or no number.
    """
    what, names = f"data '{name}'", list(columns)
    place = find_label(names, label, what)
    features = [each for number, each in enumerate(names) if number != place]
    if not features:
        raise BadData(f"{what} has no columns of features", "give one column for each feature")
    rows = len(columns[features[0]])
    wide = any(columns[each].dtype.itemsize >= 8 for each in features)
    x = np.empty((rows, len(features)), dtype=np.float64 if wide else np.float32)
    for number, each in enumerate(features):
        x[:, number] = _feature(columns[each], f"{what}, column '{each}'", first)
    y = None
    if place is not None:
        y = _labels(columns[names[place]], f"{what}, column '{names[place]}'", first)
    note = label_note(names, place, label)
    return Dataset(name, x, y, notes=(note,) if note else ())


def _feature(values: np.ndarray, what: str, first: int) -> np.ndarray:
    if values.dtype.kind == "O":
        values = _numbers(values, what, first)
    if values.dtype.kind not in "biuf":
        raise BadData(
            f"{what} holds {values.dtype} values, and features are numbers",
            "leave the column out, encode it as numbers, or, where it holds the labels, say "
            "`label=NAME`",
        )
    if values.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
        row = first + int(finite.argmin())
        raise BadData(f"{what}: row {row} is missing or infinite", "fill it in, or leave it out")
    return values


def _numbers(values: np.ndarray, what: str, first: int) -> np.ndarray:
    """Objects as numbers, where all of them are."""
    for row, each in enumerate(values.tolist()):
        if each is None or not isinstance(each, int | float):
            raise BadData(
                f"{what}: row {first + row} is {str(each)[:40]!r} and no number",
                "leave the column out, encode it as numbers, or, where it holds the labels, say "
                "`label=NAME`",
            )
    return values.astype(np.float64)


def _labels(values: np.ndarray, what: str, first: int) -> np.ndarray:
    """Class numbers, targets, or names."""
    if values.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
        row = first + int(finite.argmin())
        raise BadData(f"{what}: row {row} is missing", "label it, or leave it out")
    if is_text(values):
        kinds = {isinstance(each, str) for each in values.tolist()}
        if kinds == {False}:
            return _numbers(values, what, first)
    return values
