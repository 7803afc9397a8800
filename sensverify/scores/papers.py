"""Tables that papers print, to stand beside those of an analysis of the same kind."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import isnan
from typing import Any

from sensverify.errors import BadSetting, UnknownName
from sensverify.registry.names import did_you_mean
from sensverify.scores.agreement import Agreement
from sensverify.scores.benchmarks import Benchmarks, Drawn
from sensverify.scores.categories import Categories
from sensverify.scores.correlate import Correlations
from sensverify.scores.table import CLEAN, Network
from sensverify.scores.transfer import Transfers

Numbers = Mapping[tuple[str, str], float]
"""By row and column."""

MEAN = "mean"
"""The column of the mean over those beside it."""

_KINDS = {"categories": "agreement"}
"""Analyses that have the numbers of another kind."""


@dataclass(frozen=True, kw_only=True)
class Paper:
    """One printed table.

    Parameters
    ----------
    name : str
    source : str
        Where it is printed.
    about : str
        Its numbers, in words.
    kind : str
        The analysis whose numbers it has.
    columns, rows : tuple of str
        As that analysis names them.
    numbers : mapping from (str, str) to float
        By row and column, without those that are not printed.
    """

    name: str
    source: str
    about: str
    kind: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    numbers: Numbers

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any]) -> Paper:
        """The table of plain values, as the data file has it."""
        columns, rows = tuple(values["columns"]), values["rows"]
        numbers = {
            (row, column): float(number)
            for row, printed in rows.items()
            for column, number in zip(columns, printed, strict=True)
            if not isnan(number)
        }
        return cls(
            name=name,
            source=values["source"],
            about=values["about"],
            kind=values["kind"],
            columns=columns,
            rows=tuple(rows),
            numbers=numbers,
        )

    def fits(self, kind: str) -> bool:
        """Whether an analysis of that kind has such numbers."""
        return _KINDS.get(kind, kind) == self.kind


@cache
def papers() -> Mapping[str, Paper]:
    """All printed tables by name."""
    text = files("sensverify.scores").joinpath("papers.toml").read_text(encoding="utf-8")
    return {name: Paper.of(name, values) for name, values in tomllib.loads(text).items()}


def find_papers(names: Sequence[str], kinds: Sequence[str]) -> tuple[Paper, ...]:
    """The printed tables of some names, each of which has the numbers of one of the analyses.

    Raises
    ------
    UnknownName
        There is none of a name.
    BadSetting
        One has the numbers of another analysis, or is named twice.
    """
    known = papers()
    for name in names:
        if name not in known:
            raise UnknownName(
                f"there is no printed table '{name}'{did_you_mean(name, tuple(known))}",
                f"there are {', '.join(known)}",
            )
        if names.count(name) > 1:
            raise BadSetting(f"the printed table '{name}' is named twice", "name it once")
        if not any(known[name].fits(kind) for kind in kinds):
            fitting = [each.name for each in known.values() if any(map(each.fits, kinds))]
            raise BadSetting(
                f"the printed table '{name}' has numbers of {known[name].kind}",
                f"ask for that analysis; of {' and '.join(kinds) or 'none'} there "
                f"{'are ' + ', '.join(fitting) if fitting else 'is none'}",
            )
    return tuple(known[name] for name in names)


def numbers_of(result: object) -> dict[tuple[str, str], float | None]:
    """The numbers of a result by row and column as printed tables have them; none of other kinds.

    Of networks that differ in the seed alone, ``NAME-seedN``, the mean is NAME's.
    """
    if isinstance(result, Correlations):
        return {(each.first, each.second): each.tau for each in result.pairs}
    if isinstance(result, Transfers):
        return _of_transfers(result)
    if isinstance(result, Benchmarks):
        return {(benchmark_row(each), each.target): each.correlation for each in result.rows}
    if isinstance(result, Categories):
        result = result.others
    if isinstance(result, Agreement):
        return {
            ("same", "correlation"): result.same,
            ("different", "correlation"): result.different,
        }
    return {}


def beside_ours(paper: Paper, ours: Mapping[tuple[str, str], float | None]) -> Numbers:
    """Our numbers that a printed table has, too.

    A mean over other columns is another mean.
    """
    columns = {column for _, column in ours}
    other = columns - {MEAN, CLEAN.name} != {*paper.columns} - {MEAN, CLEAN.name}
    return {
        key: value
        for key in paper.numbers
        if (value := ours.get(key)) is not None and not (key[1] == MEAN and other)
    }


def benchmark_row(each: Drawn) -> str:
    """The row of a kind of benchmarks: ``6 x 2, 0.0`` of categories, members and deviation."""
    return f"{each.categories} x {each.members}, {each.deviation:.1f}"


def _of_transfers(found: Transfers) -> dict[tuple[str, str], float | None]:
    """APP, its mean, and clean accuracy."""
    cells: dict[tuple[str, str], list[float | None]] = {}
    for each in found.cells:
        cells.setdefault((Network(each.network).group, each.shift), []).append(each.app)
    for name in found.networks:
        group = Network(name).group
        cells.setdefault((group, CLEAN.name), []).append(found.clean[name])
        cells.setdefault((group, MEAN), []).append(found.mean_app(name))
    return {key: _mean(values) for key, values in cells.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
