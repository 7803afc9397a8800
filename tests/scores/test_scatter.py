"""Points of two columns, by groups of networks."""

from __future__ import annotations

import pytest
from scipy.stats import kendalltau

from sensverify.errors import BadSetting
from sensverify.scores.scatter import group_of, scatter
from tests.scores.conftest import table

ROWS = {
    "sam-0": {"clean": 0.9, "fog": 0.1},
    "sam-1": {"clean": 0.8, "fog": 0.2},
    "sam-2": {"clean": 0.7, "fog": 0.3},
    "asam-0": {"clean": 0.5, "fog": 0.1},
    "asam-1": {"clean": 0.6, "fog": 0.2},
    "asam-2": {"clean": 0.7, "fog": 0.4},
    "asam-3": {"clean": 0.7},
}


def test_groups_may_say_the_opposite_of_all() -> None:
    found = scatter(table(ROWS), columns=("clean",), against=("fog",), by=("sam", "asam"))
    (pair,) = found.pairs
    assert found.groups == ("sam", "asam")
    assert pair.taus["sam"] == (3, -1)
    assert pair.taus["asam"] == (3, 1)
    rows = [row for row in ROWS.values() if "fog" in row]
    expected = kendalltau([row["clean"] for row in rows], [row["fog"] for row in rows]).statistic
    assert pair.taus["all"] == (6, pytest.approx(expected))
    assert [(each.network, each.group) for each in pair.dots[2:4]] == [
        ("sam-2", "sam"),
        ("asam-0", "asam"),
    ]
    assert (pair.dots[0].first, pair.dots[0].second) == (0.9, 0.1)


def test_few_points_and_constants_have_no_tau() -> None:
    scores = table({name: {"clean": 0.5, "fog": 0.1 * k} for k, name in enumerate("abc")})
    (pair,) = scatter(scores, columns=("clean",), against=("fog",)).pairs
    assert pair.taus == {"all": (3, None)}
    scores = table({"a": {"clean": 0.5, "fog": 0.1}, "b": {"clean": 0.6}})
    (pair,) = scatter(scores, columns=("clean",), against=("fog",)).pairs
    assert pair.taus == {"all": (1, None)}


def test_seeds_are_averaged_where_that_is_asked_for() -> None:
    scores = table({"a-seed0": {"clean": 0.5, "fog": 0.2}, "a-seed1": {"clean": 0.7, "fog": 0.4}})
    (pair,) = scatter(scores, columns=("clean",), against=("fog",), over="groups").pairs
    ((network, first),) = [(dot.network, dot.first) for dot in pair.dots]
    assert (network, first) == ("a", pytest.approx(0.6))


def test_what_is_refused() -> None:
    assert group_of("asam-1", ("sam", "asam")) == "asam"
    with pytest.raises(BadSetting, match="'sam-0' is of no group"):
        scatter(table(ROWS), by=("sgd", "asam"))
    with pytest.raises(BadSetting, match="there are no two columns"):
        scatter(table(ROWS), columns=("fog",), against=("fog",))
    with pytest.raises(BadSetting, match="there is no shift 'frog'"):
        scatter(table(ROWS), columns=("frog",))
