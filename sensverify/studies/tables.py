"""Final metrics of a study, over seeds, beside what was published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sensverify.measures import METRICS
from sensverify.report.study.contents import VOLUMES, Row, StudyTable, Value, summarise
from sensverify.studies.entries import DONE, Entry
from sensverify.studies.study import Study

_FIRST = ("CE", "ERR", "ADV_LOSS", "ADV_ERR")
COLUMNS = (*_FIRST, *(name for name in METRICS if name not in (*_FIRST, "LOG_SENSE")))
"""Metrics of a table, first those that Wang et al., Table 1, begins with. SENSE is printed as a
geometric mean, which says what its logarithm would."""


def study_table(study: Study, entries: Sequence[Entry], part: str) -> StudyTable:
    """Every loss of a study on the training or on the test samples.

    Parameters
    ----------
    study : Study
    entries : sequence of Entry
        Its journal; failed trainings have no numbers.
    part : str
        ``test`` or ``train``.
    """
    rows, twins = [], study.twins
    for each in study.runs:
        trained = twins.get(each.name, each.name)
        found = [
            entry.metrics[part]
            for entry in entries
            if entry.run == trained and entry.status == DONE and part in entry.metrics
        ]
        rows.append(Row(each.name, _values(found), len(found)))
        published = study.published.get(each.name)
        if published is not None and part in published.numbers:
            numbers = published.numbers[part]
            values = {name: _published(name, number) for name, number in numbers.items()}
            rows.append(Row(each.name, values, 0, published.source))
    return StudyTable(part, COLUMNS, tuple(rows))


def _values(found: Sequence[Mapping[str, float | None]]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for column in COLUMNS:
        numbers = [number for each in found if (number := each.get(column)) is not None]
        volume = column in VOLUMES
        value = summarise(_logs(found, column) if volume else numbers, geometric=volume)
        if value is not None:
            values[column] = value
        arithmetic = summarise(numbers) if volume and len(numbers) == len(found) else None
        if arithmetic is not None:
            values[f"{column}_ARITHMETIC"] = arithmetic
    return values


def _logs(found: Sequence[Mapping[str, float | None]], column: str) -> list[float]:
    """Natural logarithms, also of volumes that no double holds."""
    logs = []
    for each in found:
        log, number = each.get(f"LOG_{column}"), each.get(column)
        if log is not None:
            logs.append(log)
        elif number is not None:
            logs.append(_log(number))
    return logs


def _published(column: str, number: float) -> Value:
    return Value(_log(number), None, True) if column in VOLUMES else Value(number)


def _log(number: float) -> float:
    return math.log(number) if number > 0 else -math.inf
