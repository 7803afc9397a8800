"""Intervals of shares, differences and quotients: other formulas, and how often they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from sensverify.classification.estimates import Effect, Estimate
from sensverify.classification.paired import Paired
from sensverify.classification.rates import Rate
from sensverify.errors import BadSetting


def share(right: Any, name: str = "test") -> Estimate:
    return Estimate.share(np.asarray(right, dtype=bool), name)


def alike(seed: int, samples: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Two classifiers that often err together."""
    random = np.random.default_rng(seed)
    first = random.random(samples) < random.random()
    return first, np.where(random.random(samples) < 0.7, first, random.random(samples) < 0.5)


def ends(found: Estimate | None) -> tuple[float, float]:
    assert found is not None
    return found.lower, found.upper


@pytest.mark.parametrize("seed", range(30))
def test_a_difference_of_shares_has_the_interval_of_pairs(seed: int) -> None:
    first, second = alike(seed)
    found = share(second).minus(share(first))
    wanted = Paired.of(np.flatnonzero(first), np.flatnonzero(second), len(first))
    assert found.value == pytest.approx(wanted.difference)
    assert np.clip(ends(found), -1, 1) == pytest.approx(wanted.interval, abs=1e-12)


def test_a_share_has_wilsons_interval() -> None:
    assert ends(share([1, 1, 0, 1])) == Rate(3, 4).interval
    with pytest.raises(BadSetting):
        share([])


def test_independent_shares_have_nothing_in_common() -> None:
    one, other = share([1, 1, 0, 1] * 5, "a"), share([1, 0, 0] * 7, "b")
    assert one.correlation(other) == 0
    # Newcombe 1998 (unpaired), method 10.
    (low, high), (least, most) = Rate(15, 20).interval, Rate(7, 21).interval
    p, q = 15 / 20, 7 / 21
    found = one.minus(other)
    assert found.lower == pytest.approx(p - q - np.hypot(p - low, most - q))
    assert found.upper == pytest.approx(p - q + np.hypot(high - p, q - least))


@pytest.mark.parametrize("seed", range(12))
def test_a_quotient_is_in_its_interval_where_the_difference_may_be_nothing(seed: int) -> None:
    first, second = alike(seed)
    first[0] = True
    one, other = share(second), share(first)
    lower, upper = ends(one.over(other))
    assert lower <= one.value / other.value <= upper

    # The correlation with a multiple is that with the value: nearer to 0 by the same half a sample.
    def end(side: str) -> Any:
        return lambda q: getattr(one.minus(other.times(q)), side)

    quotient = one.value / other.value
    assert upper == pytest.approx(brentq(end("upper"), quotient, 1e4), rel=1e-9)
    if one.lower > 0:
        assert lower == pytest.approx(brentq(end("lower"), 0, quotient), rel=1e-9)
    else:
        assert lower == 0


def test_what_has_no_end_is_no_quotient() -> None:
    assert share([1, 0]).over(share([0, 0])) is None
    assert ends(share([0, 0]).over(share([1, 1])))[0] == 0
    negative = Estimate(-0.1, -0.2, 0.0, {})
    assert negative.over(share([1, 1])) is None


def test_a_factor_scales_both_ends_and_may_turn_them() -> None:
    one = share([1, 1, 0, 1])
    assert ends(one.times(-2)) == (-2 * one.upper, -2 * one.lower)
    assert one.times(-2).correlation(one) < 0


def test_two_that_never_differed_may_differ_all_the_same() -> None:
    right = [1] * 90 + [0] * 10
    found = share(right).minus(share(right))
    assert (found.value, found.lower < 0, found.upper > 0) == (0, True, True)
    # Some three samples of 100, as by the rule of three.
    assert 0.02 < found.upper < 0.05


def test_other_samples_by_one_name_are_refused() -> None:
    one = Estimate(0.5, 0.4, 0.6, {"a": Effect(np.ones(3), 1.0)})
    with pytest.raises(BadSetting, match="different samples"):
        one.correlation(share([1, 0], "a"))


@pytest.mark.parametrize("samples", [40, 200])
@pytest.mark.parametrize("shares", [(0.9, 0.8, 0.9, 0.8), (0.98, 0.5, 0.97, 0.55)])
def test_intervals_hold_as_often_as_they_say(samples: int, shares: tuple[float, ...]) -> None:
    """Two networks, as they are and under a shift, whose errors hang together."""

    def drawn(count: int, random: np.random.Generator) -> list[np.ndarray]:
        hard = random.random(count)
        noise = (0.05, 0.15, 0.05, 0.15)
        return [
            hard + width * random.normal(size=count) < limit
            for limit, width in zip(shares, noise, strict=True)
        ]

    c, s, c_other, s_other = (each.mean() for each in drawn(1_000_000, np.random.default_rng(1)))
    true = np.array([c - s - (c_other - s_other), s / c, s / c - s_other / c_other])
    random, held, trials = np.random.default_rng(0), np.zeros(3), 300
    for _ in range(trials):
        clean, shifted, its_clean, its_shifted = map(share, drawn(samples, random))
        app, its_app = shifted.over(clean), its_shifted.over(its_clean)
        assert app is not None
        assert its_app is not None
        residual = clean.minus(shifted).minus(its_clean.minus(its_shifted))
        found = np.array([ends(each) for each in (residual, app, app.minus(its_app))])
        held += (found[:, 0] <= true) & (true <= found[:, 1])
    # 95 % of 300 would be below 92 % in one of a hundred such tests.
    assert (held / trials > 0.92).all(), held / trials
