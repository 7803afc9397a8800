"""Tables of scores as CSV, read and written: one fact a row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import cast

from sensverify.core.digests import sha256
from sensverify.errors import BadData
from sensverify.runs.files import reading, replace_file, writing
from sensverify.scores.join import shift_of
from sensverify.scores.part import CellRow, Part, Reading
from sensverify.scores.table import KINDS, Kind, Network, Scores, Source

CELLS = ("network", "shift", "severity", "right", "total")
"""Columns that a table of cells has to have; `FURTHER` may follow."""

FURTHER = ("kind", "network_sha256", "samples_sha256", "wrong")

READINGS = ("network", "measure", "value")
"""Columns that a table of measures has to have; network_sha256 may follow."""


def read_csv(path: Path) -> Part:
    """The rows of a CSV file, of cells or of measures.

    Of cells: ``network, shift, severity, right, total``; the severity may be empty, and the shift
    ``clean`` is none. Further columns: ``kind`` (one of `KINDS`), ``network_sha256``,
    ``samples_sha256``, and ``wrong``, the positions of the samples that are wrong, with spaces
    between them. Of measures: ``network, measure, value``, and maybe ``network_sha256``.

    Raises
    ------
    BadData
        The file cannot be read, has other columns, or a row of it is none; says which.
    """
    with reading(path, BadData):
        content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"'{path}' is no CSV file: {error}", "write it in UTF-8") from None
    head = tuple(name.strip() for name in rows[0]) if rows else ()
    wanted = READINGS if "measure" in head else CELLS
    allowed = {*wanted, "network_sha256"} | ({*FURTHER} if wanted is CELLS else set())
    odd = [name for name in head if name not in allowed or head.count(name) > 1]
    if odd or not {*wanted} <= {*head}:
        raise BadData(
            f"'{path}' has the columns {', '.join(head)[:200] or 'none'}",
            f"a table of scores has {', '.join(CELLS)}, and maybe {', '.join(FURTHER)}; one of "
            f"measures {', '.join(READINGS)}, and maybe network_sha256",
        )
    made = Part(source=Source(str(path), "csv", sha256(content)))
    lines = [
        _Line(path, number, dict(zip(head, row, strict=False)))
        for number, row in enumerate(rows[1:], 2)
        if row and _fits(path, number, row, head)
    ]
    if not lines:
        raise BadData(f"'{path}' has no row", "write one for every network and shift")
    if wanted is READINGS:
        return Part(source=made.source, readings=[line.reading() for line in lines])
    samples = {line.text("samples_sha256") or None for line in lines}
    if len(samples) > 1:
        raise BadData(
            f"'{path}' has rows of different samples",
            "write the same samples_sha256 into every row, and other samples into another file",
        )
    return Part(source=made.source, cells=[line.cell() for line in lines], samples=samples.pop())


def _fits(path: Path, number: int, row: list[str], head: tuple[str, ...]) -> bool:
    if len(row) != len(head):
        raise BadData(
            f"'{path}', row {number}: {len(row)} values under {len(head)} columns",
            "put texts with commas into quotation marks",
        )
    return True


class _Line:
    """One row of a file."""

    def __init__(self, path: Path, number: int, values: Mapping[str, str]) -> None:
        self._where, self._values = f"'{path}', row {number}", values

    def text(self, column: str) -> str:
        return self._values.get(column, "").strip()

    def network(self) -> Network:
        if not self.text("network"):
            raise BadData(f"{self._where}: no network is named", "write its name")
        return Network(_bare(self.text("network")), self.text("network_sha256") or None)

    def cell(self) -> CellRow:
        name = _bare(self.text("shift"))
        kind = self.text("kind") or ("clean" if name == "clean" else "shift")
        if not name or kind not in KINDS:
            raise BadData(
                f"{self._where}: the shift '{name}' is of the kind '{kind}'",
                f"name the shift; kinds are {', '.join(KINDS)}",
            )
        severity = self._number("severity") if self.text("severity") else None
        wrong = None
        right, total = self._whole("right"), self._whole("total")
        if "wrong" in self._values and (self.text("wrong") or right == total):
            words = self.text("wrong").split()
            if not all(word.isdecimal() and len(word) < 16 for word in words):
                raise BadData(
                    f"{self._where}: wrong is '{self.text('wrong')[:100]}'",
                    "write positions, counted from 0, with spaces between them",
                )
            wrong = tuple(sorted(map(int, words)))
        return CellRow(
            self.network(), shift_of(name, severity, cast(Kind, kind)), right, total, wrong
        )

    def reading(self) -> Reading:
        measure = _bare(self.text("measure"))
        if not measure:
            raise BadData(f"{self._where}: no measure is named", "write its name")
        return Reading(self.network(), measure, self._number("value"))

    def _number(self, column: str) -> float:
        try:
            value = float(self.text(column))
        except ValueError:
            value = float("nan")
        if not isfinite(value):
            raise BadData(
                f"{self._where}: {column} is '{self.text(column)[:100]}', which is no number",
                "write a number, or leave the row of what was not measured out",
            )
        return value

    def _whole(self, column: str) -> int:
        value = self._number(column)
        if value != int(value):
            raise BadData(
                f"{self._where}: {column} is '{self.text(column)[:100]}'",
                "write how many samples, a whole number",
            )
        return int(value)


def _bare(text: str) -> str:
    """A name without the apostrophe that keeps spreadsheets from taking it for a formula."""
    return text[1:] if text[:2] in ("'=", "'+", "'-", "'@") else text


def cell_rows(scores: Scores) -> Iterator[list[str | int | float | None]]:
    """The cells that are known as rows of `CELLS` and `FURTHER`, which `read_csv` reads."""
    for place in zip(*scores.measured.nonzero(), strict=True):
        row, column = int(place[0]), int(place[1])
        network, shift = scores.networks[row], scores.shifts[column]
        wrong = scores.wrong.get((row, column))
        for name in (network.name, *network.aliases):
            yield [
                name,
                shift.name,
                shift.severity,
                int(scores.right[row, column]),
                int(scores.total[row, column]),
                shift.kind,
                network.sha256,
                scores.samples,
                None if wrong is None else " ".join(map(str, wrong)),
            ]


def reading_rows(scores: Scores) -> Iterator[list[str | float | None]]:
    """The measures that are known as rows of `READINGS` and network_sha256."""
    for row, network in enumerate(scores.networks):
        for name, value in zip(scores.measures, scores.values[row], strict=True):
            if isfinite(value):
                for called in (network.name, *network.aliases):
                    yield [called, name, float(value), network.sha256]


def write_csv(scores: Scores, cells: Path, readings: Path | None = None) -> None:
    """Write a table as CSV: its cells, and its measures into a file of their own.

    Raises
    ------
    BadData
        A file cannot be written.
    """
    _write(cells, (*CELLS, *FURTHER), cell_rows(scores))
    if readings is not None:
        _write(readings, (*READINGS, "network_sha256"), reading_rows(scores))


def _write(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    with writing(path, BadData):
        replace_file(path, text.getvalue().encode())
