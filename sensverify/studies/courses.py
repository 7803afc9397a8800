"""Metrics in the course of trainings, from what their run directories hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from sensverify.report.study.contents import VOLUMES, Course, Line, Trail
from sensverify.studies.study import Training
from sensverify.training.directory.log import EpochRow, read_epochs

_LARGEST_LOG = 690.0
"""Of a volume that is drawn: a double holds no more than e^709."""


@dataclass(frozen=True)
class History:
    """The metrics after every epoch of one training.

    Parameters
    ----------
    training : Training
    rows : tuple of mapping
        By epoch; keys are ``epoch``, ``step``, ``loss`` and such as ``test ERR``. What was not
        measured has no key.
    """

    training: Training
    rows: tuple[EpochRow, ...]

    def column(self, part: str, metric: str) -> dict[float, float]:
        """A metric by epoch; volumes through their logarithm, where there is one."""
        found = {}
        for row in self.rows:
            value = row.get(f"{part} {metric}")
            log = row.get(f"{part} LOG_{metric}") if metric in VOLUMES else None
            if log is not None and log <= _LARGEST_LOG:
                value = math.exp(log)
            if value is not None and math.isfinite(value):
                found[row["epoch"]] = value
        return found


def read_history(folder: Path, training: Training) -> History:
    """The epochs that a run directory has by now; none where it has no such file."""
    return History(training, read_epochs(folder))


def course(
    histories: Sequence[History],
    metric: str,
    part: str,
    *,
    marks: Mapping[str, tuple[float, ...]] = MappingProxyType({}),
) -> Course:
    """A metric over the epochs, a line a loss, over those seeds that have got so far.

    Epochs that not every seed of a loss has reached are left out of its line: a mean over fewer
    would jump. ``marks`` has the epochs after which a loss changes, by its name.
    """
    by_name: dict[str, list[History]] = {}
    for history in histories:
        if history.rows:
            by_name.setdefault(history.training.name, []).append(history)
    lines = []
    for name, group in by_name.items():
        columns = [found for history in group if (found := history.column(part, metric))]
        if columns:
            line = _line(name, columns, geometric=metric in VOLUMES)
            lines.append(replace(line, marks=marks.get(name, ())))
    return Course(metric, part, tuple(lines), max(map(len, by_name.values()), default=0))


def trail(history: History, parts: Mapping[str, int]) -> Trail | None:
    """Sensitivity and energy of one training, epoch by epoch; None where they were not measured.

    Parameters
    ----------
    history : History
    parts : mapping from str to int
        Numbers of samples the metrics were taken on, by ``test`` and ``train``.
    """
    columns = {part: history.column(part, "SENSE") for part in parts}
    energy = _energy(history.rows)
    epochs = sorted(set(energy).intersection(*columns.values()))
    if not epochs:
        return None
    total = sum(parts.values())
    sense = {
        f"{parts['test']} test samples": tuple(columns["test"][e] for e in epochs),
        f"all {total} samples": tuple(
            sum(parts[part] * columns[part][e] for part in parts) / total for e in epochs
        ),
    }
    training = history.training
    return Trail(
        training.name,
        training.seed,
        tuple(epochs),
        tuple(energy[epoch] for epoch in epochs),
        sense,
    )


def _energy(rows: Sequence[EpochRow]) -> dict[float, float]:
    """The training loss by epoch.

    It is the mean over an epoch's mini-batches, taken before the step on each. Where an epoch is
    one mini-batch of all samples, the next epoch's is exactly that of the weights after this one.
    """
    whole = all(row.get("step") == row["epoch"] for row in rows)
    losses = {row["epoch"]: row["loss"] for row in rows if "loss" in row}
    if not whole:
        return losses
    return {epoch: losses[epoch + 1] for epoch in losses if epoch + 1 in losses}


def _line(name: str, columns: Sequence[Mapping[float, float]], *, geometric: bool) -> Line:
    epochs = sorted(set(columns[0]).intersection(*columns[1:]))
    table = [[column[epoch] for column in columns] for epoch in epochs]
    return Line(
        name,
        tuple(epochs),
        tuple(_mean(values, geometric=geometric) for values in table),
        tuple(min(values) for values in table),
        tuple(max(values) for values in table),
    )


def _mean(values: Sequence[float], *, geometric: bool) -> float:
    if not geometric:
        return math.fsum(values) / len(values)
    if min(values) <= 0:
        return 0.0
    return math.exp(math.fsum(math.log(value) for value in values) / len(values))
