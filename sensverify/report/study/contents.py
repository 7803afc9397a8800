"""Contents of the report of a study.

Filled in by ``sensverify.studies``; written and drawn by the modules beside this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """One loss in a table: its numbers by column, and the trainings behind their means.

    ``published`` is where the numbers were published, empty for our own.
    """

    name: str
    values: Mapping[str, Value]
    seeds: int = 0
    published: str = ""


@dataclass(frozen=True)
class StudyTable:
    """The losses on the ``test`` or ``train`` samples, each followed by numbers published of it.

    In all of the columns smaller is better.
    """

    part: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def is_best(self, row: Row, column: str) -> bool:
        """True where no other loss of the study has a smaller mean in the column."""
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

    ``marks`` are the epochs after which the loss changed its stage.
    """

    name: str
    epochs: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    marks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Course:
    """One metric on one part in the course of the training, of at most so many seeds."""

    metric: str
    part: str
    lines: tuple[Line, ...]
    seeds: int = 1


@dataclass(frozen=True)
class Trail:
    """The way of one training through energy, the loss with its penalties, and sensitivity.

    ``sense`` is by the samples that it is taken on.
    """

    name: str
    seed: int
    epochs: tuple[float, ...]
    energy: tuple[float, ...]
    sense: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class StudyReport:
    """Everything that a report of a study shows.

    ``question`` is one sentence, ``draws_seeds`` and ``draws_energy`` are whether the trails are
    drawn over the epochs and against the energy, ``losses`` what was trained, by name, ``warnings``
    what failed or is missing, ``record`` what is needed to repeat the study, ``meanings`` what
    every column says, ``sections`` analyses of other packages, and ``complete`` whether every
    training has ended.
    """

    title: str
    note: str
    question: str
    tables: tuple[StudyTable, ...]
    courses: tuple[Course, ...]
    trails: tuple[Trail, ...]
    losses: Mapping[str, Mapping[str, str]]
    warnings: tuple[str, ...]
    record: Mapping[str, str]
    meanings: Mapping[str, str]
    draws_seeds: bool = False
    draws_energy: bool = False
    sections: tuple[Section, ...] = ()
    complete: bool = True
