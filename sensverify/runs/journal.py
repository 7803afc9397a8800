"""A journal: a file of rows that is only ever added to, and goes on after a kill."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, TypeVar

from sensverify.errors import InputError, SensverifyError
from sensverify.runs.files import encoded, lock, reading, writing
from sensverify.runs.json_text import parse_json

Row = TypeVar("Row")

LONGEST = 1 << 26
"""Bytes of a line of JSON."""

STAYS = "what was written before stays good"


@dataclass(frozen=True)
class RowType(Generic[Row]):
    """The form of the rows of a kind of run: one JSON object a line, or a CSV table.

    Parameters
    ----------
    kind : str
        The run, for messages: ``study``.
    to_plain : callable
        From a row to what JSON holds, by name; numbers are finite. Of a CSV table, cells.
    from_plain : callable
        Back; a mapping that is of no row is a KeyError, TypeError, ValueError or AttributeError.
    columns : tuple of str
        Of a CSV table, whose cells are read as text; empty for lines of JSON.
    """

    kind: str
    to_plain: Callable[[Row], Mapping[str, Any]]
    from_plain: Callable[[Mapping[str, Any]], Row]
    columns: tuple[str, ...] = ()

    @property
    def header(self) -> bytes:
        """The first line: the names of the columns, or nothing."""
        return _csv_line(self.columns) if self.columns else b""

    def line(self, row: Row) -> bytes:
        """A row as its line."""
        values = self.to_plain(row)
        if self.columns:
            return _csv_line([values.get(name) for name in self.columns])
        text = json.dumps(dict(values), allow_nan=False, ensure_ascii=False)
        return encoded(text + "\n")

    def whole(self, content: bytes) -> int:
        """The bytes of a file before a last line that was cut off."""
        size = content.rfind(b"\n") + 1
        while self.columns and content.count(b'"', 0, size) % 2:
            # That line ends within a cell.
            size = content.rfind(b"\n", 0, size - 1) + 1
        return size

    def read(self, path: Path, content: bytes) -> list[tuple[Row, int]]:
        """The rows of a file's whole lines, each with the place where its line ends.

        Raises
        ------
        InputError
            They are other lines; the message names the file and the line.
        """
        whole = self.whole(content)
        if self.columns and not whole and not self.header.startswith(content):
            raise self.other(path)
        lines = content[:whole].splitlines(keepends=True)
        found: list[tuple[Row, int]] = []
        end = 0
        values = self._csv_values(path, lines) if self.columns else _json_values(lines)
        for number, (plain, size) in enumerate(values, start=1):
            end += size
            if self.columns and number == 1:
                continue
            try:
                if plain is None:
                    raise ValueError
                found.append((self.from_plain(plain), end))
            except SensverifyError:
                raise
            except (KeyError, TypeError, ValueError, AttributeError):
                raise InputError(
                    f"'{path}', line {number}, is no line of the journal of a {self.kind}"
                ) from None
        return found

    def _csv_values(
        self, path: Path, lines: Sequence[bytes]
    ) -> Iterator[tuple[dict[str, str] | None, int]]:
        """Cells by column and the bytes of their line; the header first."""
        taken = 0

        def texts() -> Iterator[str]:
            nonlocal taken
            for line in lines:
                taken += len(line)
                yield line.decode("utf-8")

        try:
            for number, cells in enumerate(csv.reader(texts())):
                if number == 0 and tuple(cells) != self.columns:
                    raise self.other(path)
                fits = len(cells) == len(self.columns)
                yield (dict(zip(self.columns, cells, strict=True)) if fits else None), taken
                taken = 0
        except (UnicodeDecodeError, csv.Error):
            raise self.other(path) from None

    def other(self, path: Path) -> InputError:
        """The error for a file that holds something else."""
        return InputError(
            f"'{path}' holds something else than the rows of a {self.kind} and is not overwritten; "
            f"its first line is not '{self.header.decode().strip()}'",
            "move it away, or give another `out`",
        )


class Journal(Generic[Row]):
    """A file of rows, open for one process, which only adds to it.

    A last line without its end, left by a process that was killed, is cut off; a file that holds
    anything else is left as it is.

    Parameters
    ----------
    path : Path
        In a folder that is there.
    row_type : RowType

    Attributes
    ----------
    rows : list
        That the file holds.

    Raises
    ------
    InputError
        The file cannot be read or written, holds something else, or is in use.
    """

    def __init__(self, path: Path, row_type: RowType[Row]) -> None:
        self._path, self._type = path, row_type
        self._stream: BinaryIO | None = None
        self._ends: list[int] = []
        self.rows: list[Row] = []

    def __enter__(self) -> Journal[Row]:
        try:
            with writing(self._path):
                self._stream = self._path.open("a+b")
                lock(self._stream.fileno(), self._path, self._type.kind)
                self._stream.seek(0)
                content = self._stream.read()
                found = self._type.read(self._path, content)
                self.rows, self._ends = [row for row, _ in found], [end for _, end in found]
                whole = self._type.whole(content)
                self._stream.truncate(whole)
                if not whole:
                    self._write(self._type.header)
        except BaseException:
            if self._stream is not None:
                with contextlib.suppress(OSError):
                    self._stream.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is None:
            return
        stream, self._stream = self._stream, None
        try:
            # What could not be written before is tried again here.
            with writing(self._path, remedy=STAYS):
                stream.close()
        except InputError:
            # What whoever wrote the rows met comes first.
            if error is None:
                raise

    def add(self, row: Row, *, sync: bool = True) -> None:
        """Write one line and hand it to the disk; without ``sync`` to the system alone."""
        line = self._type.line(row)
        if not self._type.columns and len(line) > LONGEST:
            raise InputError(f"a row has {len(line):,} bytes, more than '{self._path}' may hold")
        self._write(line)
        if sync:
            self.sync()
        self.rows.append(row)
        self._ends.append((self._ends[-1] if self._ends else len(self._type.header)) + len(line))

    def cut(self, count: int) -> None:
        """Forget all rows but the first ``count``."""
        if count < len(self.rows):
            with writing(self._path):
                self._open.truncate(self._ends[count - 1] if count else len(self._type.header))
            del self.rows[count:], self._ends[count:]

    def sync(self) -> None:
        """Bring all rows to the disk."""
        with writing(self._path, remedy=STAYS):
            os.fsync(self._open.fileno())

    def _write(self, line: bytes) -> None:
        with writing(self._path, remedy=STAYS):
            self._open.write(line)
            self._open.flush()

    @property
    def _open(self) -> BinaryIO:
        if self._stream is None:
            raise RuntimeError("the journal is not open")
        return self._stream


def read_journal(path: Path, row_type: RowType[Row]) -> list[Row]:
    """The whole rows of a journal that another process may be writing; none where there is none.

    Raises
    ------
    InputError
        The file cannot be read or holds something else.
    """
    with reading(path):
        content = path.read_bytes() if path.exists() else b""
    return [row for row, _ in row_type.read(path, content)]


def _json_values(lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Any] | None, int]]:
    for line in lines:
        values = None
        if len(line) <= LONGEST:
            try:
                values = parse_json(line.decode("utf-8"))
            except ValueError:
                values = None
        yield (values if isinstance(values, dict) else None), len(line)


def _csv_line(cells: Sequence[Any]) -> bytes:
    text = io.StringIO()
    # Floats are written with every digit they need to be read again as they are.
    csv.writer(text, lineterminator="\n").writerow(["" if c is None else c for c in cells])
    return encoded(text.getvalue())
