"""Wilson's interval against the test that it inverts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from sensverify.classification.rates import Rate
from sensverify.errors import BadSetting


@given(st.integers(1, 5000), st.data())
def test_the_interval_inverts_the_score_test(total: int, data: st.DataObject) -> None:
    """At its ends, the count is as many deviations away as the normal 97.5 % quantile says."""
    rate = Rate(data.draw(st.integers(0, total)), total)
    quantile = stats.norm.ppf(0.975)
    lower, upper = rate.interval
    assert 0 <= lower <= rate.share <= upper <= 1

    # The count's own share solves the equation too where its deviation is zero: left out.
    def beyond(share: float) -> float:
        return (rate.share - share) ** 2 * total - quantile**2 * share * (1 - share)

    if rate.count:
        expected = optimize.brentq(beyond, 0.0, rate.share * (1 - 1e-9), xtol=1e-14)
        assert lower == pytest.approx(expected, abs=1e-9)
    if rate.count < total:
        expected = optimize.brentq(beyond, 1 - (1 - rate.share) * (1 - 1e-9), 1.0, xtol=1e-14)
        assert upper == pytest.approx(expected, abs=1e-9)


def test_the_interval_of_scipy() -> None:
    for count, total in ((0, 10), (3, 10), (10, 10), (97, 1000), (1, 1)):
        reference = stats.binomtest(count, total).proportion_ci(method="wilson")
        assert Rate(count, total).interval == pytest.approx((reference.low, reference.high))


def test_none_and_all_are_exact_at_their_end() -> None:
    assert Rate(0, 7).interval[0] == 0.0
    assert Rate(7, 7).interval[1] == 1.0
    assert Rate(0, 7).interval[1] == pytest.approx(1 - Rate(7, 7).interval[0])


def test_more_samples_say_more() -> None:
    widths = [upper - lower for lower, upper in (Rate(n // 4, n).interval for n in (8, 80, 800))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5), (0, 0), (0, -1)])
def test_counts_that_are_none(count: int, total: int) -> None:
    with pytest.raises(BadSetting, match=f"got {count} of {total}"):
        Rate(count, total)
