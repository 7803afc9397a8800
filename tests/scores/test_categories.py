"""Categories of planted overlaps, and the rule for their number."""

from __future__ import annotations

import numpy as np
import pytest

from sensverify.errors import BadSetting
from sensverify.scores import Scores
from sensverify.scores.categories import categories, k_means
from tests.scores.conftest import table

BLOCKS = (("fog", "frost", "snow"), ("blur", "zoom"), ("tilt", "turn"))


def planted(inside: float, outside: float = 0.0) -> Scores:
    """Networks whose overlaps are ``inside`` a block and ``outside`` of it."""
    block = {name: place for place, names in enumerate(BLOCKS) for name in names}
    rows = {"standard": {"clean": 0.9, **dict.fromkeys(block, 0.5)}}
    for one in block:
        rows[one] = {"clean": 0.9}
        for other in block:
            share = 1.0 if one == other else inside if block[one] == block[other] else outside
            rows[one][other] = 0.5 + 0.4 * share
    return table(rows, 100_000)


def test_planted_blocks_are_found_at_their_number() -> None:
    found = categories(planted(0.8, 0.1), count=3)
    assert {frozenset(each) for each in found.categories} == {frozenset(b) for b in BLOCKS}
    assert found.categories[0] == ("fog", "frost", "snow")
    assert found.same is not None
    assert found.different is not None
    assert found.same > 0.8 > 0 > found.different
    assert found.reached


def test_the_rule_takes_the_first_number_that_is_enough() -> None:
    scores = planted(0.45)
    found = categories(scores)
    number = len(found.categories)
    assert found.reached
    assert number > 2
    for fewer in range(2, number):
        assert not categories(scores, count=fewer).reached
    assert categories(scores, count=number) == found


def test_a_threshold_that_nothing_reaches_is_said() -> None:
    found = categories(planted(0.8, 0.1), threshold=1.0)
    assert not found.reached
    assert found.same is None
    assert len(found.categories) == 7


def test_shifts_without_overlaps_are_left_out() -> None:
    scores = planted(0.8)
    right = scores.right.copy()
    place = scores.place("snow")
    right[place] = right[0]
    weaker = Scores(networks=scores.networks, shifts=scores.shifts, right=right, total=scores.total)
    found = categories(weaker, count=3)
    assert "within noise" in found.left_out["snow"]
    assert sum(map(len, found.categories)) == 6


def test_k_means_is_as_tight_as_that_of_scikit_learn() -> None:
    from sklearn.cluster import KMeans

    vectors = np.random.default_rng(3).normal(size=(40, 4))
    ours = k_means(vectors, 4, 200, np.random.default_rng(0))
    theirs = KMeans(4, n_init=200, random_state=0).fit(vectors)
    spread = sum(
        float(((vectors[ours == k] - vectors[ours == k].mean(axis=0)) ** 2).sum()) for k in range(4)
    )
    assert spread == pytest.approx(theirs.inertia_, rel=1e-9)


def test_equal_vectors_are_one_place() -> None:
    places = k_means(np.zeros((5, 2)), 2, 3, np.random.default_rng(0))
    assert len(places) == 5


def test_categories_that_are_none() -> None:
    with pytest.raises(BadSetting, match="the overlaps of 9 shifts, and those of 7"):
        categories(planted(0.8), count=9)
    rows = {
        "standard": {"clean": 0.9, "a": 0.5, "b": 0.5, "c": 0.5},
        "a": {"clean": 0.9, "a": 0.9, "b": 0.6, "c": 0.6},
        "b": {"clean": 0.9, "a": 0.6, "b": 0.9},
        "c": {"clean": 0.9, "a": 0.6, "b": 0.6, "c": 0.9},
    }
    with pytest.raises(BadSetting, match="a cell is a hole"):
        categories(table(rows))
