"""The figures of a training as it goes: two CSV files and TensorBoard's.

``metrics.csv`` has a row for every epoch, ``steps.csv`` one for every fiftieth step, and
``step-metrics.csv`` one for every step after which metrics were taken.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from sensverify.errors import InputError, missing
from sensverify.runs.files import writing
from sensverify.runs.journal import Journal, RowType
from sensverify.training.directory.board import Board

STEPS_BETWEEN_ROWS = 50
"""A row of ``steps.csv`` stands for one step out of so many, not for their mean."""

METRICS, STEPS, BOARD = "metrics.csv", "steps.csv", "tensorboard"
STEP_METRICS = "step-metrics.csv"

Row = Mapping[str, float | int | None]
EpochRow = Mapping[str, float]
"""Figures of an epoch; what was not measured has no key."""


class TrainingLog:
    """Everything a run directory is told while a training goes on.

    Parameters
    ----------
    directory : Path
    epoch_columns, step_columns : sequence of str
        The first one of each is ``epoch`` and ``step``, a whole number that grows.
    resumed : (epochs, steps) or None
        Done by the checkpoint that the training goes on from; later rows are cut off, and all
        without one.
    step_metrics : sequence of str
        Columns of the metrics after steps, the first one ``step``; none where none are taken.

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
        *,
        step_metrics: Sequence[str] = (),
    ) -> None:
        check_board()
        epochs, steps = resumed or (None, None)
        self._measured: Journal[Row] | None = None
        with ExitStack() as stack:
            self._epochs = _table(stack, directory / METRICS, epoch_columns, epochs)
            self._steps = _table(stack, directory / STEPS, step_columns, steps)
            if step_metrics:
                self._measured = _table(stack, directory / STEP_METRICS, step_metrics, steps)
            board = Board(directory / BOARD, first_step=0 if steps is None else steps + 1)
            self._board = stack.enter_context(board)
            self._open = stack.pop_all()

    def epoch(self, row: Row) -> None:
        """An epoch has ended."""
        self._epochs.add(row, sync=False)
        self._show(row, "epoch")

    def step(self, row: Row) -> None:
        """A step was made; most are passed over."""
        if (int(row["step"] or 0) - 1) % STEPS_BETWEEN_ROWS == 0:
            self._steps.add(row, sync=False)
            self._show(row, "step")

    def measured(self, row: Row) -> None:
        """Metrics were taken after a step."""
        if self._measured is not None:
            self._measured.add(row, sync=False)
            self._show({k: v for k, v in row.items() if k != "seconds"}, "step")

    def sync(self) -> None:
        """Bring everything to the disk, as a checkpoint says it is.

        Raises
        ------
        InputError
            The system refuses.
        """
        for part in (self._epochs, self._steps, self._measured, self._board):
            if part is not None:
                part.sync()

    def _show(self, row: Row, what: str) -> None:
        for name, value in row.items():
            if value is not None and name not in ("epoch", "step"):
                # "test ERR" belongs to "test".
                part, _, rest = name.partition(" ")
                grouped = part in ("train", "test", "held-out") and rest
                tag = f"{part}/{rest}" if grouped else f"{what}/{name}"
                self._board.add(tag, value, int(row["step"] or 0))

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)


def _table(stack: ExitStack, path: Path, columns: Sequence[str], last: int | None) -> Journal[Row]:
    """A table with its rows up to the one whose first column is ``last``; with None it is new."""
    if last is None:
        with writing(path):
            path.unlink(missing_ok=True)
    elif not path.exists():
        raise InputError(
            f"'{path}' is gone, and the training that is resumed has written rows into it",
            "put it back, or begin another training",
        )

    def read(cells: Mapping[str, Any]) -> Row:
        return {**cells, columns[0]: int(cells[columns[0]])}

    rows = RowType[Row]("training", lambda row: row, read, tuple(columns))
    journal = stack.enter_context(Journal(path, rows))
    journal.cut(sum(int(row[columns[0]] or 0) <= (last or 0) for row in journal.rows))
    return journal


def read_epochs(directory: Path) -> tuple[EpochRow, ...]:
    """The epochs that a run directory has by now; none where it has no such file.

    Keys are ``epoch``, ``step``, ``loss`` and such as ``test ERR``.
    """
    path = directory / METRICS
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError):
        text = ""
    # A training that is running may be writing its last line.
    whole = text[: text.rfind("\n") + 1]
    rows = (_numbers(row) for row in csv.DictReader(io.StringIO(whole, newline="")))
    return tuple(row for row in rows if "epoch" in row)


def _numbers(row: Mapping[str | None, str | None]) -> dict[str, float]:
    found = {}
    for name, text in row.items():
        try:
            # What a training did not measure is an empty cell.
            found[str(name)] = float(text or "")
        except (TypeError, ValueError):
            continue
    return found


def check_board() -> None:
    """Raise `BackendMissing` where TensorBoard's files cannot be written."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        user = "a training that is written to a directory"
        raise missing("tensorboardX", "train", user) from None
