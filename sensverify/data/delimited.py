"""Samples from ``.csv`` and ``.tsv`` files: one line a sample, one column a feature."""

from __future__ import annotations

import csv
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from sensverify.data.columns import find_label, label_note
from sensverify.data.dataset import Dataset
from sensverify.data.reading import Reading
from sensverify.errors import BadData
from sensverify.runs.files import reading as reading_file

_BYTES = 4
"""Bytes of memory that a byte of the file can take: a digit and a comma become eight."""

_INDEX = ("", "Unnamed: 0")
"""Names of the first column that pandas gives to numbers of lines."""

_FILL = "fill it in, or leave the line out"

Row = tuple[int, list[str]]
"""A line's number, from 1, and its cells."""


def dataset_of_csv(path: Path, reading: Reading, limit: int) -> Dataset:
    """The samples of a file whose cells are numbers, but for those of the labels' column.

    Columns are separated by commas, semicolons or tabs, whichever the first line has.

    Raises
    ------
    BadData
        The file is empty or too large, lines differ in length, or a cell is no finite number.
    """
    with reading_file(path, BadData):
        if not path.is_file():
            raise BadData(f"there is no file '{path}'")
        size = path.stat().st_size
        if size > limit // _BYTES:
            raise BadData(
                f"'{path}' has {size:,} bytes, above the limit of {limit // _BYTES:,}",
                "keep the samples as arrays x and y of an .npz file",
            )
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return _read(path, _rows(path, stream), reading)


def _rows(path: Path, stream: Iterator[str]) -> Iterator[Row]:
    """The lines that are not empty."""
    line = 0
    try:
        head = next(stream, "")
        rows = csv.reader(
            chain([head], stream), delimiter=_delimiter(head), strict=True, skipinitialspace=True
        )
        for cells in rows:
            line = rows.line_num
            if cells and cells != [""]:
                yield line, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise BadData(f"'{path}', after line {line}: {error}", "mend the line") from None
    except UnicodeDecodeError:
        problem = f"'{path}', after line {line}: this is no text in UTF-8"
        raise BadData(problem, "save it as CSV in UTF-8") from None


def _delimiter(head: str) -> str:
    return next((sign for sign in "\t;" if sign in head), ",")


def _read(path: Path, rows: Iterator[Row], reading: Reading) -> Dataset:
    first, second = next(rows, None), next(rows, None)
    if first is None:
        raise BadData(f"'{path}' is empty", "give one line for each sample")
    header = reading.header
    if header is None:
        header = _names_columns(first[1], None if second is None else second[1])
    if header and second is None:
        raise BadData(f"'{path}' has a header and no samples", "give one line for each sample")
    names = first[1] if header else [f"column {k}" for k in range(1, len(first[1]) + 1)]
    if header and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadData(f"'{path}', line {first[0]}: two columns are called '{twice}'", "name them")
    label = find_label(names, reading.label, f"'{path}'") if header or reading.label else None
    numbers_lines = header and names[0] in _INDEX and label != 0 and len(names) > 1
    table = _Table(path, names, label, index=numbers_lines)
    for row in chain([] if header else [first], [] if second is None else [second], rows):
        table.add(row)
    notes = [] if reading.header is not None else [_header_note(header)]
    notes += [label_note(names, label, reading.label)] if header else []
    named = f"'{names[0]}'" if names[0] else "without a name"
    notes += [f"the column {named} numbers the lines: it is left out"] * table.index
    return table.dataset(tuple(filter(None, notes)))


def _header_note(header: bool) -> str:
    return f"the first line {'names the columns' if header else 'is a sample, not a header'}"


def _names_columns(first: Sequence[str], second: Sequence[str] | None) -> bool:
    """Whether the first line is a header: it holds no numbers, but for those that pandas counts."""
    if second is None:
        return False
    numbered = [_is_number(cell) for cell in first]
    if not any(numbered):
        return any(map(_is_number, second))
    counted = [cell for cell, number in zip(first, numbered, strict=True) if number]
    return (
        not all(numbered)
        and counted == [str(k) for k in range(len(counted))]
        and (
            any(cell.lower() in ("label", "labels", "target", "targets", "class") for cell in first)
        )
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    # Python's own numbers may be written 1_000.
    return "_" not in cell


def _is_finite(cell: str) -> bool:
    return _is_number(cell) and math.isfinite(float(cell))


@dataclass(eq=False)
class _Table:
    """The cells read so far: numbers in a row, and labels as text.

    ``index``: the first column numbers the lines, as one that pandas writes does.
    """

    path: Path
    names: Sequence[str]
    label: int | None
    index: bool

    def __post_init__(self) -> None:
        self._values = array("d")
        self._labels: list[str] = []
        self._lines = array("q")
        self._known: dict[str, str] = {}
        self._kept = [
            k for k in range(len(self.names)) if k != self.label and (k or not self.index)
        ]

    def add(self, row: Row) -> None:
        """Take one line."""
        line, cells = row
        where = f"'{self.path}', line {line}"
        if len(cells) != len(self.names):
            raise BadData(
                f"{where}: {len(cells)} cells, and the first line has {len(self.names)}",
                "give every line as many",
            )
        if self.label is not None:
            word = cells[self.label]
            if not word:
                raise BadData(
                    f"{where}: the label is empty", "label the sample, or leave the line out"
                )
            # One object for all samples of a class.
            self._labels.append(self._known.setdefault(word, word))
        kept = [cells[k] for k in self._kept]
        try:
            numbers = list(map(float, kept))
            usable = all(map(math.isfinite, numbers)) and "_" not in "".join(kept)
        except ValueError:
            usable = False
        if not usable:
            raise self._refused(cells, where)
        self._values.extend(numbers)
        self._lines.append(line)

    def _refused(self, cells: Sequence[str], where: str) -> BadData:
        """The error for the first cell that is no finite number."""
        place = next(k for k in self._kept if not _is_finite(cells[k]))
        cell, name = cells[place], self.names[place]
        what = name if name.startswith("column ") else f"column '{name}'"
        if not cell or _is_number(cell):
            problem = f"is {cell[:40]!r}, and samples are finite" if cell else "is empty"
            return BadData(f"{where}: the cell of {what} {problem}", _FILL)
        label = "last" if place == len(self.names) - 1 else "NAME"
        if what != name and re.fullmatch(r"[\w-]+", name):
            label = name
        return BadData(
            f"{where}: the cell of {what} is {cell[:40]!r} and no number",
            f"if it is a label, give '{self.path}(label={label})'; if its line is a header, "
            f"'{self.path}(header=yes)'; else encode it as a number",
        )

    def dataset(self, notes: tuple[str, ...]) -> Dataset:
        """All lines as samples."""
        count = len(self._lines)
        if not self._values:
            raise BadData(f"'{self.path}' has no columns of features", "give one for each feature")
        x = np.frombuffer(self._values, dtype=np.float64).reshape(count, -1).copy()
        y = None if self.label is None else self._numbered()
        return Dataset(str(self.path), x, y, notes=notes)

    def _numbered(self) -> np.ndarray:
        """Labels as numbers where all of them are, else as text."""
        numbers = [_is_number(word) for word in self._known]
        if not any(numbers):
            return np.array(self._labels, dtype=object)
        for place, word in enumerate(self._labels):
            if not _is_finite(word):
                raise BadData(
                    f"'{self.path}', line {self._lines[place]}: the label is {word[:40]!r}, and "
                    "others are numbers",
                    "give all labels as numbers, or all as names",
                )
        values = np.array([float(word) for word in self._labels])
        whole = bool((values == np.round(values)).all() and (np.abs(values) < 2**53).all())
        return values.astype(np.int64) if whole else values
