"""What the report of a study shows.

Filled in by ``sensverify.studies``; written and drawn by the modules beside this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sensverify.report.document import Section

VOLUMES = frozenset({"SENSE"})
"""Columns whose mean over seeds is the geometric one: they span orders of magnitude."""


@dataclass(frozen=True)
class Value:
    """One metric of one loss, over seeds.

    Parameters
    ----------
    centre : float
        The mean over seeds; with ``geometric``, the natural logarithm of the geometric mean.
    spread : float or None
        Standard deviation over seeds (divided by their number less one); with ``geometric``, of
        the natural logarithms. None for one seed.
    geometric : bool
    """

    centre: float
    spread: float | None = None
    geometric: bool = False

    @property
    def number(self) -> float:
        """The mean over seeds itself; infinite where no double holds it."""
        if not self.geometric:
            return self.centre
        return math.exp(self.centre) if self.centre < 709 else math.inf

    @property
    def factor(self) -> float | None:
        """By what factor a geometric mean is uncertain, 1 for not at all."""
        return math.exp(self.spread) if self.geometric and self.spread is not None else None


def summarise(values: Sequence[float], *, geometric: bool = False) -> Value | None:
    """Mean and standard deviation; None of no values.

    Parameters
    ----------
    values : sequence of float
        One for each seed; with ``geometric``, their natural logarithms.
    geometric : bool
    """
    if not values:
        return None
    centre = math.fsum(values) / len(values)
    if len(values) < 2 or not math.isfinite(centre):
        return Value(centre, None, geometric)
    squares = math.fsum((value - centre) ** 2 for value in values)
    return Value(centre, math.sqrt(squares / (len(values) - 1)), geometric)


@dataclass(frozen=True)
class Row:
    """One loss in a table.

    Parameters
    ----------
    name : str
    values : mapping from str to Value
        By column; what is missing is not known.
    seeds : int
        Trainings behind the means.
    published : str
        Where the numbers were published; empty for our own.
    """

    name: str
    values: Mapping[str, Value]
    seeds: int = 0
    published: str = ""


@dataclass(frozen=True)
class StudyTable:
    """The losses on the training or on the test samples.

    Parameters
    ----------
    part : str
        ``test`` or ``train``.
    columns : tuple of str
        Metrics, in order; smaller is better in all of them.
    rows : tuple of Row
        Every loss of the study, each followed by what was published about it.
    """

    part: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def is_best(self, row: Row, column: str) -> bool:
        """Whether no other loss of the study has a smaller mean there."""
        rivals = [each.values[column].centre for each in self._own if column in each.values]
        return (
            not row.published
            and column in row.values
            and len(self._own) > 1
            and row.values[column].centre <= min(rivals)
        )

    @property
    def _own(self) -> list[Row]:
        return [row for row in self.rows if not row.published]

    def used_columns(self) -> tuple[str, ...]:
        """The columns for which there is a number."""
        return tuple(c for c in self.columns if any(c in row.values for row in self.rows))


@dataclass(frozen=True)
class Line:
    """One loss in a figure: by epoch, the mean over seeds and the smallest and largest of them.

    Parameters
    ----------
    name : str
    epochs, mean, low, high : tuple of float
        Of equal length.
    marks : tuple of float
        Epochs after which the loss changed its stage.
    """

    name: str
    epochs: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    marks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Course:
    """One metric in the course of the training.

    Parameters
    ----------
    metric, part : str
    lines : tuple of Line
    seeds : int
        How many stand behind the lines, at most.
    """

    metric: str
    part: str
    lines: tuple[Line, ...]
    seeds: int = 1


@dataclass(frozen=True)
class Trail:
    """The way of one training through sensitivity and energy.

    Parameters
    ----------
    name : str
    seed : int
    epochs, energy : tuple of float
        Energy is the training loss with its penalties.
    sense : mapping from str to tuple of float
        Sensitivity on some samples, by what they are called.
    """

    name: str
    seed: int
    epochs: tuple[float, ...]
    energy: tuple[float, ...]
    sense: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Fact:
    """A loss or a training in words: the same fields for each."""

    name: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyReport:
    """Everything that a report of a study shows.

    Parameters
    ----------
    title, note, question : str
        The question in one sentence.
    tables : tuple of StudyTable
    courses : tuple of Course
    trails : tuple of Trail
    draws_seeds, draws_energy : bool
        Whether the trails are drawn over the epochs, and against the energy.
    sections : tuple of Section
        Analyses of other packages.
    losses : tuple of Fact
        What was trained.
    warnings : tuple of str
        Trainings that failed or are missing.
    record : mapping from str to str
        What is needed to repeat the study: machine, versions, seeds, times.
    meanings : mapping from str to str
        What every column says.
    """

    title: str
    note: str
    question: str
    tables: tuple[StudyTable, ...]
    courses: tuple[Course, ...]
    trails: tuple[Trail, ...]
    losses: tuple[Fact, ...]
    warnings: tuple[str, ...]
    record: Mapping[str, str]
    meanings: Mapping[str, str]
    draws_seeds: bool = False
    draws_energy: bool = False
    sections: tuple[Section, ...] = ()
