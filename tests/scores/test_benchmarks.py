"""Benchmarks of planted factors, whose correlations have a closed form, and their draws."""

from __future__ import annotations

from itertools import combinations
from math import comb, sqrt

import numpy as np
import pytest

from sensverify.errors import BadSetting
from sensverify.scores import Scores
from sensverify.scores.benchmarks import (
    Benchmarks,
    Drawn,
    benchmarks,
    deviation_of,
    legal_substitutions,
)
from tests.scores.conftest import table

TOTAL = 10**9


def planted(sizes: tuple[int, ...], noise: float) -> tuple[Scores, tuple[tuple[str, ...], ...]]:
    """A factor for every category, and one for every shift, all orthogonal over the networks.

    The target is the sum of the factors of the categories.
    """
    width = len(sizes) + sum(sizes)
    networks = width + 1
    draws = np.random.default_rng(0).normal(size=(networks, width + 1))
    draws[:, 0] = 1
    # Orthogonal to the constant column too, so that all means are 0.
    factors = np.linalg.qr(draws)[0][:, 1:].T
    names, columns, own = [], {}, len(sizes)
    for place, size in enumerate(sizes):
        names.append(tuple(f"c{place}-{k}" for k in range(size)))
        for name in names[-1]:
            columns[name] = factors[place] + noise * factors[own]
            own += 1
    columns["target"] = factors[: len(sizes)].sum(axis=0)
    rows = {
        f"n{k}": {"clean": 0.9, **{name: 0.5 - 0.1 * column[k] for name, column in columns.items()}}
        for k in range(networks)
    }
    return table(rows, TOTAL), tuple(names)


def row(found: Benchmarks, deviation: float = 0.0) -> Drawn:
    (one,) = (each for each in found.rows if each.deviation == pytest.approx(deviation, abs=1e-6))
    return one


@pytest.mark.parametrize(("drawn", "members"), [(1, 1), (2, 3), (4, 3), (6, 2), (6, 3)])
def test_balanced_benchmarks_have_the_correlation_of_their_closed_form(
    drawn: int, members: int
) -> None:
    noise = 0.8
    scores, names = planted((4,) * 6, noise)
    found = benchmarks(
        scores, categories=names, targets=("target",), drawn=(drawn,), members=(members,)
    )
    one = row(found)
    expected = sqrt(drawn / 6) / sqrt(1 + noise**2 / members)
    for value in (one.correlation, one.lower, one.upper):
        assert value == pytest.approx(expected, abs=1e-6)
    total = comb(6, drawn) * comb(4, members) ** drawn
    assert one.every == (total <= 1000)
    assert one.benchmarks == min(total, 1000)
    assert one.networks == len(scores.networks)


def test_uneven_benchmarks_have_the_correlation_of_their_closed_form() -> None:
    noise = 0.5
    scores, names = planted((5,) * 4, noise)
    settings = {"categories": names, "targets": ("target",), "drawn": (4,), "members": (2,)}
    found = benchmarks(scores, **settings, samples=300, substitutions=3, least=20)  # type: ignore[arg-type]
    # Eight members of four categories, all of which stay: all deviations by hand.
    counts = {
        sorted_counts: deviation_of(sorted_counts)
        for sorted_counts in ((2, 2, 2, 2), (1, 2, 2, 3), (1, 1, 3, 3), (1, 1, 2, 4), (1, 1, 1, 5))
    }
    by_deviation = {round(value, 6): key for key, value in counts.items()}
    assert {round(each.deviation, 6) for each in found.rows} == set(by_deviation)
    for each in found.rows:
        kept = np.array(by_deviation[round(each.deviation, 6)])
        expected = kept.sum() / sqrt(4 * (np.sum(kept**2) + noise**2 * kept.sum()))
        assert each.correlation == pytest.approx(expected, abs=1e-6)
        assert each.lower == pytest.approx(expected, abs=1e-6)
    few = benchmarks(scores, **settings, samples=300, substitutions=3, least=10_000)  # type: ignore[arg-type]
    assert [each.deviation for each in few.rows] == [0]
    assert len(few.left_out) == 4


def test_substitutions_reach_the_deviations_that_the_thesis_prints() -> None:
    reached, waiting = {(2,) * 6}, [(2,) * 6]
    while waiting:
        counts = waiting.pop()
        for one, other in legal_substitutions(counts, (20,) * 6):
            changed = list(counts)
            changed[one] -= 1
            changed[other] += 1
            assert deviation_of(changed) > deviation_of(counts)
            after = tuple(changed)
            if after not in reached:
                reached.add(after)
                waiting.append(after)
    printed = {0, 0.577, 0.816, 1, 1.155, 1.414, 1.528, 1.826, 2.236}
    assert {round(deviation_of(each), 3) for each in reached} == printed


def test_no_substitution_takes_what_is_not_there() -> None:
    assert legal_substitutions((1, 1), (5, 5)) == []
    assert legal_substitutions((2, 2), (2, 2)) == []
    assert legal_substitutions((2, 2, 0), (2, 3, 9)) == [(0, 1)]
    assert legal_substitutions((2, 3), (9, 9)) == [(0, 1)]


def test_all_benchmarks_are_counted_once_where_they_are_few() -> None:
    scores, names = planted((2, 3, 4), 1.0)
    found = benchmarks(scores, categories=names, targets=("target",))
    expected = {
        (number, members): sum(
            int(np.prod([comb(size, members) for size in chosen]))
            for chosen in combinations((2, 3, 4), number)
        )
        for number in (1, 2, 3)
        for members in (1, 2)
    }
    assert {(e.categories, e.members): e.benchmarks for e in found.rows} == expected
    assert all(each.every for each in found.rows)


def test_samples_are_different_and_the_same_again() -> None:
    scores, names = planted((6, 6, 6), 1.0)
    settings = {"categories": names, "targets": ("target",), "drawn": (3,), "members": (3,)}
    found = benchmarks(scores, **settings, samples=50)  # type: ignore[arg-type]
    assert (row(found).benchmarks, row(found).every) == (50, False)
    assert benchmarks(scores, **settings, samples=50) == found  # type: ignore[arg-type]


def test_holes_and_constants_have_no_correlation() -> None:
    rows = {
        f"n{k}": {"clean": 0.9, "a": 0.5, "b": 0.4 + k / 50, "t": 0.3 + k / 20} for k in range(4)
    }
    settings = {"categories": (("a",), ("b",)), "targets": ("t",), "drawn": (1,)}
    found = benchmarks(table(rows), **settings)  # type: ignore[arg-type]
    assert row(found).reason == "a benchmark is constant"
    del rows["n0"]["a"], rows["n1"]["t"]
    found = benchmarks(table(rows), **settings)  # type: ignore[arg-type]
    assert (row(found).networks, row(found).correlation) == (2, None)
    assert "fewer than 3" in row(found).reason


def test_what_is_refused() -> None:
    scores, names = planted((2, 3), 1.0)
    for settings, words in (
        ({"targets": ("target",)}, "drawn from categories"),
        ({"categories": names}, "measured by shifts"),
        ({"categories": (("c0-0",), ()), "targets": ("target",)}, "drawn from categories"),
        ({"categories": (("c0-0",), ("c0-0",)), "targets": ("target",)}, "is in two categories"),
        ({"categories": (("target",),), "targets": ("target",)}, "a target as well"),
        ({"categories": (("c9",),), "targets": ("target",)}, "there is no shift 'c9'"),
        ({"categories": names, "targets": ("target",), "members": (3,)}, "cannot have 3 members"),
        ({"categories": names, "targets": ("target",), "drawn": (0,)}, "cannot have 0 categories"),
    ):
        with pytest.raises(BadSetting, match=words):
            benchmarks(scores, **settings)  # type: ignore[arg-type]
