"""Categories of planted overlaps, and the rule for their number."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sensverify.errors import BackendMissing, BadSetting
from sensverify.report.document import Table
from sensverify.report.scores.categories import categories_section
from sensverify.scores import Scores
from sensverify.scores.agreement import agreement
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


def test_hdbscan_finds_planted_blocks_and_says_isolated() -> None:
    scores = planted(0.8, 0.1)
    found = categories(scores, method="hdbscan")
    assert {frozenset(each) for each in found.categories} == {frozenset(b) for b in BLOCKS}
    assert found.isolated == ()
    rows = {
        network.name: {
            shift.label: float(value) for shift, value in zip(scores.shifts, row, strict=True)
        }
        for network, row in zip(scores.networks, scores.accuracy, strict=True)
    }
    for name in rows:
        rows[name]["alone"] = 0.5
    rows["alone"] = {"clean": 0.9, **dict.fromkeys(sum(BLOCKS, ()), 0.5), "alone": 0.9}
    found = categories(table(rows, 100_000), method="hdbscan")
    assert {frozenset(each) for each in found.categories} == {frozenset(b) for b in BLOCKS}
    assert found.isolated == ("alone",)
    section = categories_section(found)
    (members, *_) = section.data
    assert ("alone", "isolated", None) in [*members.rows]
    (shown,) = (each for each in section.blocks if isinstance(each, Table))
    assert [row.name for row in shown.rows] == ["1", "2", "3", "isolated"]


def test_hdbscan_of_shifts_that_overlap_with_none_has_no_categories() -> None:
    found = categories(planted(0.0), method="hdbscan")
    assert (found.categories, len(found.isolated)) == ((), 7)
    assert (found.same, found.reached) == (None, False)
    assert found.different is not None


def test_hdbscan_has_a_smallest_category_and_no_count() -> None:
    scores = planted(0.8, 0.1)
    found = categories(scores, method="hdbscan", smallest=3)
    assert all(len(each) >= 3 for each in found.categories)
    with pytest.raises(BadSetting, match="leave out `count`"):
        categories(scores, method="hdbscan", count=3)
    with pytest.raises(BadSetting, match="the overlaps of 8 shifts, and those of 7"):
        categories(scores, method="hdbscan", smallest=8)


def test_hdbscan_needs_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(BackendMissing, match=r"scikit-learn.*sensverify\[data\]"):
        categories(planted(0.8), method="hdbscan")


def test_categories_are_tested_on_other_networks() -> None:
    """Networks with one factor a block: robustness correlates wholly within, not between."""
    scores = planted(0.8, 0.1)
    few = categories(scores, count=3)
    assert "there are 0, and 3 are needed" in few.others.reason
    assert (few.others.same, few.others.pairs) == (None, ())
    # Orthogonal factors over four networks.
    factors = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    rows = {
        network.name: {
            shift.label: float(value) for shift, value in zip(scores.shifts, row, strict=True)
        }
        for network, row in zip(scores.networks, scores.accuracy, strict=True)
    }
    for k in range(4):
        rows[f"other{k}"] = {"clean": 0.9} | {
            name: 0.6 + 0.1 * factors[block, k]
            for block, names in enumerate(BLOCKS)
            for name in names
        }
    found = categories(table(rows, 100_000), count=3).others
    assert found.networks == ("other0", "other1", "other2", "other3")
    assert (found.same, found.different) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
    assert sum(each.same for each in found.pairs) == 3 + 1 + 1
    chosen = categories(table(rows, 100_000), count=3, networks=("other0", "other1", "other3"))
    assert len(chosen.others.networks) == 3
    with pytest.raises(BadSetting, match="did you mean 'other0'"):
        categories(table(rows, 100_000), networks=("othr0",))


def test_agreement_of_given_categories_is_that_of_numpy() -> None:
    rng = np.random.default_rng(1)
    names = [name for each in BLOCKS for name in each]
    rows = {
        f"n{k}": {"clean": 0.9, **dict(zip(names, rng.integers(100, 800, 7) / 1000, strict=True))}
        for k in range(9)
    }
    scores = table(rows, 1000)
    found = agreement(scores, categories=BLOCKS)
    expected = np.corrcoef(scores.clean[:, None] - scores.accuracy[:, 1:], rowvar=False)
    block = [k for k, each in enumerate(BLOCKS) for _ in each]
    same = [expected[i, j] for i in range(7) for j in range(i) if block[i] == block[j]]
    other = [expected[i, j] for i in range(7) for j in range(i) if block[i] != block[j]]
    assert found.same == pytest.approx(np.mean(same))
    assert found.different == pytest.approx(np.mean(other))


def test_agreement_says_what_it_does_not_know() -> None:
    rows = {f"n{k}": {"clean": 0.9, "a": 0.5, "b": 0.1 * k, "c": 0.2 * k} for k in range(4)}
    del rows["n0"]["c"]
    del rows["n1"]["c"]
    found = agreement(table(rows), categories=(("a", "b"), ("c",)))
    reasons = {(each.first, each.second): each.reason for each in found.pairs}
    assert reasons["a", "b"] == "'a' is constant"
    assert reasons["b", "c"] == "fewer than 3 networks have both"
    assert (found.same, found.different) == (None, None)
    for groups, words in (
        ((), "fewer than two shifts"),
        ((("a",),), "fewer than two shifts"),
        ((("a", "b"), ("b",)), "'b' is in two categories"),
        ((("a", "z"),), "no shift 'z'"),
    ):
        with pytest.raises(BadSetting, match=words):
            agreement(table(rows), categories=groups)


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
