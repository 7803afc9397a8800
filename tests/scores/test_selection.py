"""The members of a benchmark, against every other choice."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

import numpy as np
import pytest

from sensverify.errors import BadSetting
from sensverify.scores import Scores
from sensverify.scores.overlap import overlap
from sensverify.scores.selection import selection
from tests.scores.conftest import table

CATEGORIES = (("a", "b", "c", "d"), ("e", "f", "g"))


def drawn() -> Scores:
    """Networks with symmetric overlaps that have all been drawn."""
    names = [name for each in CATEGORIES for name in each]
    shares = np.random.default_rng(0).uniform(0.1, 0.9, (7, 7))
    shares = (shares + shares.T) / 2
    np.fill_diagonal(shares, 1)
    rows = {"standard": {"clean": 0.9, **dict.fromkeys(names, 0.5)}}
    for place, one in enumerate(names):
        gains = {other: 0.5 + 0.4 * shares[place, k] for k, other in enumerate(names)}
        rows[one] = {"clean": 0.9, **gains}
    return table(rows, 10**6)


@pytest.mark.parametrize("members", [2, 3])
def test_no_other_choice_overlaps_less(members: int) -> None:
    scores = drawn()
    found, overlaps = selection(scores, categories=CATEGORIES, members=members), overlap(scores)
    for category, chosen in zip(CATEGORIES, found.chosen, strict=True):
        means = {
            names: fmean(overlaps.of(*pair).score or 0 for pair in combinations(names, 2))
            for names in combinations(category, members)
        }
        assert chosen.overlap == pytest.approx(min(means.values()))
        assert means[chosen.members] == pytest.approx(chosen.overlap)
        assert chosen.overlap <= chosen.mean
        assert chosen.category == category
    assert len(found.benchmark) == 2 * members


def test_the_smallest_category_says_how_many() -> None:
    found = selection(drawn(), categories=CATEGORIES)
    assert [len(each.members) for each in found.chosen] == [3, 3]
    assert found.chosen[1].members == ("e", "f", "g")


def test_without_categories_they_are_found() -> None:
    rows = {"standard": {"clean": 0.9, **dict.fromkeys("abcd", 0.5)}}
    for name in "abcd":
        block = "ab" if name in "ab" else "cd"
        gains = {other: 0.85 if other in block else 0.5 for other in "abcd"}
        rows[name] = {"clean": 0.9, **gains, name: 0.9}
    found = selection(table(rows, 10_000))
    assert {frozenset(each.members) for each in found.chosen} == {
        frozenset("ab"),
        frozenset("cd"),
    }


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = drawn()
    for settings, words in (
        ({"categories": CATEGORIES, "members": 4}, "4 members of each .* one has 3: e, f, g"),
        ({"categories": (("a",), ("b", "c"))}, "2 members of each .* one has 1: a"),
        ({"categories": (("a", "b"), ())}, "one has 0: none"),
        ({"categories": (("a", "b"), ("b", "c"))}, "'b' is in two categories"),
        ({"categories": (("a", "x"),)}, "no network was trained with 'x'"),
    ):
        with pytest.raises(BadSetting, match=words):
            selection(scores, **settings)  # type: ignore[arg-type]
    monkeypatch.setattr("sensverify.scores.selection._MOST", 3)
    with pytest.raises(BadSetting, match="4 choices of 3 of 4"):
        selection(scores, categories=CATEGORIES)


def test_overlaps_that_are_not_measured_are_refused() -> None:
    scores = drawn()
    right = scores.right.copy()
    right[scores.place("b")] = right[0]
    weak = Scores(networks=scores.networks, shifts=scores.shifts, right=right, total=scores.total)
    with pytest.raises(BadSetting, match="'a' with 'b' is not measured: the own gain of 'b'"):
        selection(weak, categories=CATEGORIES)
