"""Spearman's correlations against scipy's, and weights as repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from sensverify.scores.pearson import partial
from sensverify.scores.resampling import interval, resampled
from sensverify.scores.spearman import spearman, weighted_ranks, weighted_spearman


@pytest.mark.parametrize("ties", [False, True])
def test_the_value_is_scipys(ties: bool) -> None:
    draws = np.random.default_rng(4)
    columns = draws.normal(size=(40, 3)) + draws.normal(size=(40, 1))
    columns = np.round(columns) if ties else columns
    assert np.allclose(spearman(columns), spearmanr(columns).statistic)


def test_a_row_that_counts_twice_is_there_twice() -> None:
    draws = np.random.default_rng(5)
    columns = np.round(draws.normal(size=(25, 3)), 1)
    weights = resampled(draws, 25, 30)
    found = weighted_spearman(columns, weights)
    for each, one in zip(weights, found, strict=True):
        rows = np.repeat(columns, each.astype(int), axis=0)
        assert np.allclose(one, spearmanr(rows).statistic)
        ranks = weighted_ranks(columns[:, 0], each[None])[0]
        assert np.allclose(np.repeat(ranks, each.astype(int)), rankdata(rows[:, 0]))


def test_a_third_column_held_fixed_is_left_out_of_both() -> None:
    draws = np.random.default_rng(6)
    columns = draws.normal(size=(60, 3))
    ranks = np.stack([rankdata(each) for each in columns.T], axis=1)
    fixed = np.stack([np.ones(60), ranks[:, 2]], axis=1)
    left = ranks - fixed @ np.linalg.lstsq(fixed, ranks, rcond=None)[0]
    found = spearman(columns)
    value = partial(found[0, 1], found[0, 2], found[1, 2])
    assert np.isclose(float(value), np.corrcoef(left[:, 0], left[:, 1])[0, 1])


def test_a_constant_column_has_no_correlation() -> None:
    found = spearman(np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 4.0]]))
    assert np.isnan(found[0, 1])
    assert found[1, 1] == 1


def test_an_interval_needs_values_in_nearly_all_resamples() -> None:
    assert interval(np.empty(0)) == (None, None)
    assert interval(np.array([0.5, np.nan])) == (None, None)
    lower, upper = interval(np.arange(101.0))
    assert (lower, upper) == (2.5, 97.5)
