"""Sums over pairs, against all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from sensverify.scores.concordance import pair_sums


@pytest.mark.parametrize(
    ("count", "kinds"), [(1, 1), (2, 1), (2, 2), (7, 3), (64, 2), (65, 100), (333, 20), (500, 9999)]
)
def test_sums_are_those_over_all_pairs(count: int, kinds: int) -> None:
    draws = np.random.default_rng(count + kinds)
    x, y = (draws.integers(kinds, size=count) - kinds / 3 for _ in range(2))
    one, other = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    expected = ((one * other).sum(axis=1), np.abs(one).sum(axis=1), np.abs(other).sum(axis=1))
    for found, wanted in zip(pair_sums(x, y), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_thousands_of_networks_take_a_moment() -> None:
    x = np.arange(100_000.0)
    both, first, second = pair_sums(x, -x)
    assert (both == -99_999).all()
    assert (first == 99_999).all()
    assert (second == 99_999).all()
