"""The figures of a training as it goes: two CSV files and TensorBoard's.

``metrics.csv`` has a row for every epoch, ``steps.csv`` one for every fiftieth step.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from sensverify.errors import BackendMissing, InputError
from sensverify.runs.files import replace_file
from sensverify.training.board import Board

STEPS_BETWEEN_ROWS = 50
"""A row of ``steps.csv`` stands for one step out of so many, not for their mean."""

METRICS, STEPS, BOARD = "metrics.csv", "steps.csv", "tensorboard"

Row = Mapping[str, float | int | None]


class Table:
    """A CSV file that grows by whole rows; the first column is a whole number that grows.

    Parameters
    ----------
    path : Path
    columns : sequence of str
    last : int
        Rows whose first column is greater are cut off, as is the half row of a killed process;
        with -1 the file is begun anew.

    Raises
    ------
    InputError
        The file has other columns, or the system refuses.
    """

    def __init__(self, path: Path, columns: Sequence[str], last: int = -1) -> None:
        self._path, self._columns = path, tuple(columns)
        self._stream: BinaryIO
        try:
            replace_file(path, _header(columns) if last < 0 else self._kept(last))
            self._stream = path.open("ab")
        except OSError as error:
            raise _unwritable(path, error) from None

    def _kept(self, last: int) -> bytes:
        content = self._path.read_bytes() if self._path.exists() else b""
        header, *lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True) or [b""]
        if header != _header(self._columns):
            raise InputError(
                f"'{self._path}' does not have the columns of this training; move it away to go on"
            )
        try:
            kept = [line for line in lines if int(line.split(b",")[0]) <= last]
        except ValueError:
            raise InputError(
                f"'{self._path}' has been changed: a row does not begin with a whole number"
            ) from None
        return header + b"".join(kept)

    def add(self, row: Row) -> None:
        """Write one row and hand it to the system; what it lacks is left blank.

        Raises
        ------
        InputError
            The system refuses.
        """
        try:
            self._stream.write(_line([row.get(name) for name in self._columns]))
            self._stream.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def sync(self) -> None:
        """Bring all rows to the disk."""
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def close(self) -> None:
        """Raises `OSError` where rows could not be written."""
        self._stream.close()


class Journal:
    """Everything a run directory is told while a training goes on.

    Parameters
    ----------
    directory : Path
    epoch_columns, step_columns : sequence of str
        The first one of each is ``epoch`` and ``step``.
    resumed : (epochs, steps) or None
        What the checkpoint has done that the training goes on from; later rows are cut off.

    Raises
    ------
    BackendMissing
        TensorBoard's files cannot be written.
    InputError
        The files are not those of this training, or the system refuses.
    """

    def __init__(
        self,
        directory: Path,
        epoch_columns: Sequence[str],
        step_columns: Sequence[str],
        resumed: tuple[int, int] | None = None,
    ) -> None:
        check_board()
        self._directory = directory
        epochs, steps = resumed or (-1, -1)
        self._epochs = Table(directory / METRICS, epoch_columns, epochs)
        self._steps = Table(directory / STEPS, step_columns, steps)
        try:
            self._board = Board(directory / BOARD, first_step=steps + 1)
        except OSError as error:
            raise _unwritable(directory / BOARD, error) from None

    def epoch(self, row: Row) -> None:
        """An epoch has ended."""
        self._epochs.add(row)
        self._show(row, "epoch")

    def step(self, row: Row) -> None:
        """A step was made; most are passed over."""
        if (int(row["step"] or 0) - 1) % STEPS_BETWEEN_ROWS == 0:
            self._steps.add(row)
            self._show(row, "step")

    def sync(self) -> None:
        """Bring everything to the disk, as a checkpoint says it is.

        Raises
        ------
        InputError
            The system refuses.
        """
        self._epochs.sync()
        self._steps.sync()
        try:
            self._board.sync()
        except OSError as error:
            raise _unwritable(self._directory / BOARD, error) from None

    def _show(self, row: Row, what: str) -> None:
        for name, value in row.items():
            if value is not None and name not in ("epoch", "step"):
                # "test ERR" belongs to "test".
                part, _, rest = name.partition(" ")
                grouped = part in ("train", "test", "held-out") and rest
                tag = f"{part}/{rest}" if grouped else f"{what}/{name}"
                try:
                    self._board.add(tag, value, int(row["step"] or 0))
                except OSError as error:
                    raise _unwritable(self._directory / BOARD, error) from None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        refusals: list[InputError] = []
        tables = {METRICS: self._epochs, STEPS: self._steps}
        parts: dict[str, Table | Board] = {**tables, BOARD: self._board}
        for name, part in parts.items():
            try:
                # What could not be written before is tried again here.
                part.close()
            except OSError as refused:
                refusals.append(_unwritable(self._directory / name, refused))
        # What the training itself met comes first.
        if refusals and error is None:
            raise refusals[0]


def check_board() -> None:
    """Raise `BackendMissing` where TensorBoard's files cannot be written."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise BackendMissing(
            "a training that is written to a directory needs tensorboardX, which is not "
            "installed; in a copy of sensverify's repository: pip install '.[train]'"
        ) from None


def _header(columns: Sequence[str]) -> bytes:
    return _line(columns)


def _line(cells: Sequence[Any]) -> bytes:
    text = io.StringIO()
    # Floats are written with every digit they need to be read again as they are.
    csv.writer(text, lineterminator="\n").writerow(["" if c is None else c for c in cells])
    return text.getvalue().encode()


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot write '{path}': {error.strerror or error}; checkpoints that are there stay good"
    )
