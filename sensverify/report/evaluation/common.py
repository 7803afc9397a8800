"""Parts of several sections of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TypeVar

from sensverify.classification.predictions import Classified
from sensverify.classification.rates import Rate
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.report.document import Cell, Column, Data, Number, Value
from sensverify.report.formatting import DASH, percent
from sensverify.report.terminal import FIRST, WIDEST

_T = TypeVar("_T")
RATE = ("count", "samples", "share", "lower", "upper")
"""Columns of `rate_values`."""

CASE = ("kind", "name", "at")
"""Columns that say of which samples a row of `cases` is."""


def interval(rate: Rate) -> str:
    """Wilson's interval: ``95.1 to 97.8 %``."""
    lower, upper = rate.interval
    return f"{100 * lower:.1f} to {percent(upper)}"


def rate_cell(rate: Rate) -> tuple[float, Cell]:
    """A share, and its cell with the interval below."""
    return rate.share, Cell(percent(rate.share), note=interval(rate), value=rate.share)


def rate_values(rate: Rate) -> tuple[Value, ...]:
    """A rate in columns of data."""
    return (rate.count, rate.total, rate.share, *rate.interval)


def number(
    name: str,
    values: Sequence[_T | None],
    make: Callable[[_T], tuple[float | None, Cell]],
    better: int,
    note: str = "",
) -> Number:
    """A number of the summary, of all networks; None is not known."""
    made = [(None, Cell(DASH)) if value is None else make(value) for value in values]
    return Number(name, [cell for _, cell in made], [value for value, _ in made], better, note)


def written(text: Callable[[float], str]) -> Callable[[float], tuple[float, Cell]]:
    """For `number`: a value and its text."""
    return lambda value: (value, Cell(text(value)))


def model_data(
    name: str,
    columns: Sequence[str],
    evaluation: Evaluation,
    rows: Callable[[ModelEvaluation], Iterable[Sequence[Value]]] | None = None,
) -> Data:
    """Data whose first column is the network.

    Without ``rows`` they are those that a `ModelEvaluation` has of the same name.
    """

    def make() -> Iterator[Sequence[Value]]:
        take = attrgetter(*columns)
        for model in evaluation.models:
            for row in map(take, getattr(model, name)) if rows is None else rows(model):
                yield (model.model.name, *row)

    return Data(name, ("network", *columns), make)


def network_names(evaluation: Evaluation, alone: str) -> list[str]:
    """Heads of columns for the networks; of one network, what the column holds."""
    names = [model.model.name for model in evaluation.models]
    return names if len(names) > 1 else [alone]


def network_columns(names: Sequence[str]) -> list[Column]:
    """Columns of a terminal after a first one of names; nothing of any is cut off."""
    # Names that are long are often alike at their beginning.
    first = Column("", width=FIRST, align="left")
    return [first, *(Column(name, width=WIDEST) for name in names)]


def class_names(evaluation: Evaluation) -> tuple[str, ...]:
    """The names of the classes, or their numbers where nobody has named them."""
    count = len(evaluation.models[0].clean[0].classified.confusion)
    return evaluation.classes or tuple(map(str, range(count)))


def cases(model: ModelEvaluation) -> Iterator[tuple[str, str, float | None, Classified]]:
    """Everything that was classified: its kind, name, radius or severity, and predictions."""
    for row in model.clean:
        yield "clean", row.part, None, row.classified
    for attack in model.attacks:
        yield "attack", attack.attack, attack.radius, attack.classified
    for corruption in model.corruptions:
        yield "corruption", corruption.corruption, corruption.severity, corruption.classified
