"""Searches over a table, many times each, and what the architectures they find are like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sensverify.errors import BadData, BadSetting
from sensverify.models.nas201 import COUNT
from sensverify.registry.ranges import Range
from sensverify.registry.settings import call_of
from sensverify.scores.columns import shift_names
from sensverify.scores.nas.cells import CellTable, cell_table
from sensverify.scores.nas.landscape import Landscape
from sensverify.scores.nas.strategies import STRATEGIES
from sensverify.scores.nas.strategy import Strategy
from sensverify.scores.table import Scores

DEFAULT: tuple[Strategy, ...] = tuple(map(STRATEGIES.make, ("random", "local", "evolution")))
"""Strategies that take a fraction of a second for a search."""

Heard = Callable[[int, int], None]
"""Is told how many searches are done, and of how many."""


@dataclass(frozen=True)
class Found:
    """One search.

    Parameters
    ----------
    objective : str
    strategy : str
        With its settings.
    run : int
        From 0.
    cell : int
        Index of the best cell that it asked; of equal ones the first.
    value : float
        Of the objective.
    queries : int
        Cells that it asked.
    after : int
        Queries until it asked the best one.
    """

    objective: str
    strategy: str
    run: int
    cell: int
    value: float
    queries: int
    after: int


@dataclass(frozen=True)
class Mean:
    """One column, over the cells that a strategy found.

    Parameters
    ----------
    objective, strategy, column : str
    runs : int
        Those whose cell has the column.
    mean : float or None
        None where no run has it.
    lower, upper : float or None
        95 % interval of the mean by Student's t; None of one run.
    """

    objective: str
    strategy: str
    column: str
    runs: int
    mean: float | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class Goal:
    """A column that is maximised.

    Parameters
    ----------
    column : str
    cells : int
        That can be asked, of 15,625.
    measured : int
        Different measurements among them: isomorphic cells share one.
    value : float
        The largest.
    cell : int
        Index of the first that has it.
    """

    column: str
    cells: int
    measured: int
    value: float
    cell: int


@dataclass(frozen=True)
class Best:
    """The largest value of a column, and whose it is; None of a column that nobody has."""

    column: str
    value: float | None = None
    cell: int | None = None


@dataclass(frozen=True, kw_only=True)
class Searches:
    """Every objective by every strategy.

    Parameters
    ----------
    goals : tuple of Goal
    strategies : tuple of str
    queries, runs, seed : int
    best : tuple of Best
        Of each column that is told, over all cells.
    means : tuple of Mean
    found : tuple of Found
    courses : mapping from (objective, strategy) to array
        Best value after each query, mean over the runs.
    measures : tuple of str
        Columns that are measures, and no shares.
    others : tuple of str
        Networks that are no cells, and left out.
    """

    goals: tuple[Goal, ...]
    strategies: tuple[str, ...]
    queries: int
    runs: int
    seed: int
    best: tuple[Best, ...]
    means: tuple[Mean, ...]
    found: tuple[Found, ...]
    courses: Mapping[tuple[str, str], NDArray[np.float64]]
    measures: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    strategies: Sequence[Strategy]
    names: Sequence[str]
    queries: int
    runs: int
    seed: int


def nas_search(
    scores: Scores,
    *,
    objectives: tuple[str, ...] = (),
    strategies: tuple[Strategy, ...] = DEFAULT,
    columns: tuple[str, ...] = (),
    queries: Annotated[int, Range(1, 1_000_000)] = 300,
    runs: Annotated[int, Range(1, 100_000)] = 100,
    seed: Annotated[int, Range(0)] = 0,
    partial: bool = False,
) -> Searches:
    """Search a table of cells of NAS-Bench-201 by several strategies, many times each.

    Parameters
    ----------
    scores : Scores
        See `sensverify.scores.nas.cells.cell_table`.
    objectives : tuple of str
        Columns to be maximised, each by itself; names as `sensverify.scores.columns.column` has
        them. Default: the clean accuracy, and the mean of those under attack where there are any.
    strategies : tuple of Strategy
    columns : tuple of str
        What is told of the cells that are found. Default: the objectives, the clean accuracy, and
        that under every shift.
    queries : int
        Cells that a search may ask.
    runs : int
        Searches by each strategy; their intervals are those over the runs.
    seed : int
        Of these; a run is the same whatever else is searched.
    partial : bool
        Whether the table may lack an objective of some cells; searches then keep to the others.

    Raises
    ------
    BadData
        No network is a cell, or objectives are not known of all cells.
    BadSetting
        There is no such column, or a strategy is given twice.

    Notes
    -----
    The protocol is that of Table 1 of Jung, Lukasik & Keuper 2023, *Neural architecture design and
    robustness: a dataset*: means over 100 runs. How many queries these had they do not say.
    """
    return search_table(
        scores,
        objectives=objectives,
        strategies=strategies,
        columns=columns,
        queries=queries,
        runs=runs,
        seed=seed,
        partial=partial,
    )


def search_table(
    scores: Scores,
    *,
    objectives: tuple[str, ...],
    strategies: tuple[Strategy, ...],
    columns: tuple[str, ...],
    queries: int,
    runs: int,
    seed: int,
    partial: bool,
    heard: Heard | None = None,
) -> Searches:
    """As `nas_search`, heard after every search."""
    names = tuple(str(call_of(each)) for each in strategies)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or not names:
        raise BadSetting(
            f"the strategy '{twice}' is given twice" if names else "there is no strategy",
            "give different ones",
        )
    goals = tuple(dict.fromkeys(objectives or _objectives(scores)))
    wanted = columns or (*goals, "clean", *shift_names(scores))
    told = tuple(dict.fromkeys(each for each in wanted if each != "clean" or _has_clean(scores)))
    table = cell_table(scores, (*goals, *told))
    plan = _Plan(strategies=strategies, names=names, queries=queries, runs=runs, seed=seed)
    lands = {goal: Landscape(*table.everywhere(goal)) for goal in goals}
    for goal, land in lands.items():
        _check(goal, land, partial)
    total = len(goals) * len(strategies) * runs
    found: list[Found] = []
    courses: dict[tuple[str, str], NDArray[np.float64]] = {}
    for goal, land in lands.items():
        for place, name in enumerate(names):
            each, course = _searched(goal, land, plan, place, len(found), total, heard)
            found += each
            courses[goal, name] = course
    return Searches(
        goals=tuple(_goal(goal, land) for goal, land in lands.items()),
        strategies=names,
        queries=queries,
        runs=runs,
        seed=seed,
        best=tuple(_best(table, name) for name in told),
        means=tuple(_means(table, told, found, goals, names)),
        found=tuple(found),
        courses=courses,
        measures=tuple(each for each in scores.measures if each in (*goals, *told)),
        others=table.others,
    )


def _has_clean(scores: Scores) -> bool:
    return not np.isnan(scores.clean).all()


def _objectives(scores: Scores) -> tuple[str, ...]:
    """The clean accuracy, and that under attacks."""
    found = ("clean",) if _has_clean(scores) else ()
    if any(each.kind == "attack" for each in scores.shifts):
        found = (*found, "attack")
    if not found:
        raise BadSetting(
            "the table has neither clean accuracies nor attacks", "name a column as `objectives`"
        )
    return found


def _check(goal: str, land: Landscape, partial: bool) -> None:
    known = len(land.allowed)
    if known == 0:
        raise BadData(f"the objective '{goal}' is known of no cell", "give scores that have it")
    if known < COUNT and not partial:
        raise BadData(
            f"the objective '{goal}' is known of {known:,} of {COUNT:,} cells, isomorphic ones "
            "among them",
            "say `partial` to search among those alone",
        )


def _searched(
    goal: str,
    land: Landscape,
    plan: _Plan,
    place: int,
    done: int,
    total: int,
    heard: Heard | None,
) -> tuple[list[Found], NDArray[np.float64]]:
    strategy, name = plan.strategies[place], plan.names[place]
    found, courses = [], np.empty((plan.runs, plan.queries))
    for run in range(plan.runs):
        asked = strategy.search(land, plan.queries, np.random.default_rng([plan.seed, run]))
        values = land.values[asked]
        course = np.maximum.accumulate(values)
        # A search that has asked everything stays where it is.
        courses[run] = np.concatenate([course, np.full(plan.queries - len(course), course[-1])])
        after = int(np.argmax(values))
        found.append(
            Found(goal, name, run, int(asked[after]), float(values[after]), len(asked), after + 1)
        )
        if heard is not None:
            heard(done + run + 1, total)
    return found, courses.mean(axis=0)


def _goal(name: str, land: Landscape) -> Goal:
    place = int(np.nanargmax(land.values))
    value = float(land.values[place])
    return Goal(name, len(land.allowed), land.different, value, int(land.owners[place]))


def _best(table: CellTable, name: str) -> Best:
    values, owners = table.everywhere(name)
    if np.isnan(values).all():
        return Best(name)
    place = int(np.nanargmax(values))
    return Best(name, float(values[place]), int(owners[place]))


def _means(
    table: CellTable,
    columns: Sequence[str],
    found: Sequence[Found],
    goals: Sequence[str],
    names: Sequence[str],
) -> list[Mean]:
    values = {column: table.everywhere(column)[0] for column in columns}
    means = []
    for goal in goals:
        for name in names:
            own = [each.cell for each in found if (each.objective, each.strategy) == (goal, name)]
            for column in columns:
                means.append(_mean(goal, name, column, values[column][own]))
    return means


def _mean(goal: str, name: str, column: str, values: NDArray[np.float64]) -> Mean:
    # Here, as it takes seconds.
    from scipy.stats import t

    known = values[~np.isnan(values)]
    if not len(known):
        return Mean(goal, name, column, 0)
    mean = float(known.mean())
    if len(known) == 1:
        return Mean(goal, name, column, 1, mean)
    reach = float(t.ppf(0.975, len(known) - 1) * known.std(ddof=1)) / sqrt(len(known))
    return Mean(goal, name, column, len(known), mean, mean - reach, mean + reach)
