"""Searches over tables: the protocol, its intervals, and tables that cannot be searched."""

from __future__ import annotations

from dataclasses import replace
from math import nan, sqrt

import numpy as np
import pytest
from scipy.stats import t

from sensverify.errors import BadData, BadSetting
from sensverify.models.nas201 import COUNT, UNIQUE, unique_cells
from sensverify.scores import CLEAN, Network, Scores, Shift
from sensverify.scores.catalog import ANALYSES
from sensverify.scores.nas.local_search import LocalSearch
from sensverify.scores.nas.planted import planted
from sensverify.scores.nas.random_search import RandomSearch
from sensverify.scores.nas.search import Searches, nas_search, search_table
from sensverify.scores.nas.top import nas_top

MADE = planted(0)


def published(holes: int = 0) -> Scores:
    """A table of the unique cells, as the published one is, of which the last lack the attack."""
    cells = unique_cells()
    draws = np.random.default_rng(0)
    right = draws.integers(0, 10_001, size=(len(cells), 2))
    total = np.full_like(right, 10_000)
    if holes:
        right[-holes:, 1] = total[-holes:, 1] = 0
    return Scores(
        networks=tuple(Network(cell.name) for cell in cells),
        shifts=(CLEAN, Shift("fgsm@Linf", 1.0, "attack")),
        right=right,
        total=total,
    )


def test_local_search_finds_what_was_planted() -> None:
    found = nas_search(MADE.scores, strategies=(LocalSearch(),), runs=5)
    clean, attack = found.goals
    assert (clean.column, clean.cell, clean.cells) == ("clean", MADE.clean.index, COUNT)
    assert (attack.column, attack.cell) == ("attack", MADE.attacked.index)
    assert {each.cell for each in found.found if each.objective == "clean"} == {MADE.clean.index}
    assert {each.cell for each in found.found if each.objective == "attack"} == {
        MADE.attacked.index
    }
    best = {each.column: each.value for each in found.best}
    for mean in found.means:
        if mean.column == mean.objective:
            assert mean.mean == pytest.approx(best[mean.column])
            assert mean.lower == pytest.approx(mean.upper)
    # What is given up: each is no better than the optimum on what it did not search for.
    told = {(m.objective, m.column): m.mean for m in found.means}
    assert told["clean", "attack"] < best["attack"] - 0.1
    assert told["attack", "clean"] < best["clean"] - 0.1


def test_means_and_intervals_are_student_s() -> None:
    found = nas_search(
        MADE.scores, objectives=("clean",), strategies=(RandomSearch(),), runs=12, queries=20
    )
    values = np.array([each.value for each in found.found])
    (mean,) = [each for each in found.means if each.column == "clean"]
    reach = t.ppf(0.975, 11) * values.std(ddof=1) / sqrt(12)
    assert mean.runs == 12
    assert (mean.mean, mean.lower, mean.upper) == pytest.approx(
        (values.mean(), values.mean() - reach, values.mean() + reach)
    )
    course = found.courses["clean", "random"]
    assert len(course) == 20
    assert (np.diff(course) >= 0).all()
    assert course[-1] == pytest.approx(values.mean())
    assert all(each.queries == 20 and 1 <= each.after <= 20 for each in found.found)


def test_random_search_finds_what_order_statistics_say() -> None:
    """Of the best of n values, the share of all that are above it is 1 / (n + 1) on average."""
    found = nas_search(
        published(), objectives=("clean",), strategies=(RandomSearch(),), runs=300, queries=99
    )
    # By measurement, not by cell: of isomorphic ones one is drawn, each as likely by their number.
    assert found.goals[0].measured == UNIQUE
    values = np.array([each.value for each in found.found])
    assert np.mean(1 - values) == pytest.approx(0.01, abs=0.003)


def test_a_run_is_the_same_whatever_else_is_searched() -> None:
    alone = nas_search(MADE.scores, objectives=("attack",), strategies=(LocalSearch(),), runs=2)
    beside = nas_search(MADE.scores, strategies=(RandomSearch(), LocalSearch()), runs=3)
    kept = [
        each
        for each in beside.found
        if (each.objective, each.strategy) == ("attack", "local") and each.run < 2
    ]
    assert list(alone.found) == kept
    other = nas_search(MADE.scores, objectives=("attack",), strategies=(RandomSearch(),), seed=1)
    assert other.found[0].cell != beside.found[3 * 2].cell


def test_every_search_is_heard() -> None:
    heard: list[tuple[int, int]] = []
    settings = {n: s.default for n, s in ANALYSES.settings(ANALYSES["nas-search"]).items()}
    search_table(
        MADE.scores,
        **{**settings, "runs": 2, "queries": 3},
        heard=lambda done, total: heard.append((done, total)),
    )
    assert heard == [(done, 12) for done in range(1, 13)]


def test_published_tables_of_unique_cells_are_whole() -> None:
    found = nas_search(published(), runs=2, queries=30)
    assert [(each.cells, each.measured) for each in found.goals] == [(COUNT, UNIQUE)] * 2
    assert all(each.queries == 30 for each in found.found)


def test_cells_that_are_missing_are_said_or_left_out() -> None:
    scores = published(holes=200)
    with pytest.raises(BadData, match=r"'attack' is known of [\d,]+ of 15,625 cells.*`partial`"):
        nas_search(scores, runs=2)
    found = nas_search(scores, runs=40, queries=10, partial=True)
    goals = {each.column: each for each in found.goals}
    assert goals["clean"].cells == COUNT
    assert goals["attack"].measured == UNIQUE - 200
    by = {(each.objective, each.strategy, each.column): each for each in found.means}
    assert by["attack", "random", "attack"].runs == 40
    # What was found on clean samples may have no attack: so many are told.
    holes = {cell.index for cell in unique_cells()[-200:]}
    lost = [each for each in found.found if each.objective == "clean" and each.strategy == "random"]
    known = sum(each.cell not in holes for each in lost)
    assert 30 <= by["clean", "random", "attack"].runs <= 40
    assert by["clean", "random", "attack"].runs <= known or known == 40


def test_a_search_that_asks_everything_ends() -> None:
    scores = published()
    few = replace(
        scores,
        networks=scores.networks[:4],
        right=scores.right[:4],
        total=scores.total[:4],
        origin=scores.origin[:4],
        values=scores.values[:4],
    )
    found = nas_search(few, runs=3, queries=50, partial=True)
    for each in found.found:
        assert each.queries == (50 if each.strategy == "evolution" else 4)
        goal = next(goal for goal in found.goals if goal.column == each.objective)
        assert each.value == goal.value
    assert all(len(course) == 50 for course in found.courses.values())


def test_measures_are_objectives_too() -> None:
    values = -MADE.scores.accuracy[:, :1]
    scores = replace(MADE.scores, measures=("jacobian",), values=values)
    found = nas_search(scores, objectives=("jacobian",), strategies=(LocalSearch(),), runs=1)
    assert found.measures == ("jacobian",)
    (mean,) = [each for each in found.means if each.column == "jacobian"]
    assert mean.mean == pytest.approx(values.max())
    assert (mean.lower, mean.upper) == (None, None)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ("nas-search(queries=0)", BadSetting, "queries takes a whole number from 1"),
        ("nas-search(runs=0)", BadSetting, "runs takes a whole number from 1"),
        ("nas-search(strategies=local + local)", BadSetting, "'local' is given twice"),
        ("nas-search(strategies=())", BadSetting, "no strategy"),
        ("nas-search(objectives=(claen))", BadSetting, "no shift 'claen'"),
        ("nas-search(strategies=banana)", Exception, "did you mean 'bananas'"),
        ("nas-search(partial=1)", BadSetting, "partial takes true or false"),
        ("nas-top(count=0)", BadSetting, "count takes a whole number"),
        ("nas-top(nor_conv_3x3=7)", BadSetting, "from 0 to 6"),
        ("nas-top(by=claen)", BadSetting, "no shift 'claen'"),
        ("nas-top(none=6, skip_connect=1)", BadData, "no cell with none=6, skip_connect=1"),
    ],
)
def test_bad_settings(call: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ANALYSES.make(call, MADE.scores)


def test_tables_without_anything_to_search_for() -> None:
    bare = replace(
        MADE.scores,
        shifts=(Shift("fog", 1.0, "corruption"),),
        right=MADE.scores.right[:, :1],
        total=MADE.scores.total[:, :1],
        origin=MADE.scores.origin[:, :1],
    )
    with pytest.raises(BadSetting, match=r"neither clean accuracies nor attacks.*`objectives`"):
        nas_search(bare)
    holed = replace(bare, right=0 * bare.right, total=0 * bare.total)
    with pytest.raises(BadData, match="known of no cell"):
        nas_search(holed, objectives=("fog",), partial=True)
    nothing = replace(MADE.scores, measures=("size",), values=np.full((COUNT, 1), nan))
    with pytest.raises(BadData, match="no cell has a value of 'size'"):
        nas_top(nothing, by="size")


def test_searches_are_named_with_their_settings() -> None:
    found: Searches = ANALYSES.make(
        "nas-search(strategies=evolution(population=9) + random, runs=1, queries=5)", MADE.scores
    )
    assert found.strategies == ("evolution(population=9)", "random")


def test_top_cells_are_those_of_the_largest_values() -> None:
    top = nas_top(MADE.scores, by="clean", count=5)
    # Of isomorphic cells the lowest index stands for all: the planted one may not be among them.
    first = {cell.index for cell in unique_cells()}
    values = MADE.scores.clean
    order = sorted(first, key=lambda index: (-values[index], index))
    assert [each.cell.index for each in top.cells] == order[:5]
    assert [each.rank for each in top.cells] == [1, 2, 3, 4, 5]
    assert top.considered == UNIQUE
    assert top.columns[0] == "clean"
    for edge in range(1, 7):
        shares = [each for each in top.shares if each.edge == edge]
        assert sum(each.top for each in shares) == pytest.approx(1)
        assert sum(each.every for each in shares) == pytest.approx(1)


def test_top_cells_of_a_restriction() -> None:
    top = nas_top(MADE.scores, nor_conv_3x3=2, nor_conv_1x1=0)
    assert top.by == "attack"
    assert top.having == "nor_conv_1x1=0, nor_conv_3x3=2"
    # Figure 5 of the robustness data set counts 408 such cells, with representatives of its own.
    assert top.considered == 405
    for each in top.cells:
        assert (each.cell.count("nor_conv_3x3"), each.cell.count("nor_conv_1x1")) == (2, 0)
