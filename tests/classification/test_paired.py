"""Pairs against scipy, against other implementations, and against what they mean."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sensverify.classification.paired import Paired, holm
from sensverify.errors import BadSetting

counts = st.integers(0, 300)
pairs = st.builds(
    Paired,
    both=st.integers(1, 300),
    only_first=counts,
    only_second=counts,
    neither=counts,
)


def swapped(pair: Paired) -> Paired:
    return Paired(
        both=pair.both,
        only_first=pair.only_second,
        only_second=pair.only_first,
        neither=pair.neither,
    )


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_counts_of_positions(first: set[int], second: set[int]) -> None:
    pair = Paired.of(first, second, 31)
    assert pair.samples == 31
    assert (pair.first.count, pair.second.count) == (len(first), len(second))
    assert (pair.only_first, pair.only_second) == (len(first - second), len(second - first))
    assert pair.difference == pytest.approx(pair.second.share - pair.first.share)


@given(pairs)
def test_the_exact_test_of_scipy(pair: Paired) -> None:
    split = pair.only_first + pair.only_second
    expected = stats.binomtest(pair.only_first, split, 0.5).pvalue if split else 1.0
    assert pair.p_value == pytest.approx(expected, rel=1e-9)


@given(pairs)
def test_the_second_against_the_first_is_the_mirror_image(pair: Paired) -> None:
    other = swapped(pair)
    assert other.difference == -pair.difference
    assert other.p_value == pair.p_value
    assert other.interval == pytest.approx([-end for end in reversed(pair.interval)], abs=1e-12)


@given(pairs)
def test_the_interval_holds_the_difference(pair: Paired) -> None:
    lower, upper = pair.interval
    assert -1 <= lower <= pair.difference <= upper <= 1


def test_published_answers() -> None:
    """Those of the R package contingencytables 3.1.0 on data of Cavo et al. 2012."""
    pair = Paired(both=59, only_first=16, only_second=6, neither=80)
    assert round(pair.difference, 4) == -0.0621
    assert [round(end, 4) for end in pair.interval] == [-0.1186, -0.0046]
    assert round(pair.p_value, 6) == 0.052479


def test_the_table_of_the_method_without_a_sample_in_one_cell() -> None:
    # By hand: Wilson's intervals 14/41 and 19/41, and phi = (14 * 22 - 41 / 2) / sqrt(A).
    pair = Paired(both=14, only_first=0, only_second=5, neither=22)
    (low, high), (least, most) = pair.second.interval, pair.first.interval
    phi = (14 * 22 - 0 - 41 / 2) / math.sqrt(14 * 27 * 19 * 22)
    p, q = 19 / 41, 14 / 41
    lower = 5 / 41 - math.sqrt((p - low) ** 2 - 2 * phi * (p - low) * (most - q) + (most - q) ** 2)
    upper = 5 / 41 + math.sqrt(
        (high - p) ** 2 - 2 * phi * (high - p) * (q - least) + (q - least) ** 2
    )
    assert pair.interval == pytest.approx((lower, upper))


def test_a_network_against_itself() -> None:
    pair = Paired.of({0, 1, 2}, {0, 1, 2}, 5)
    assert (pair.difference, pair.p_value) == (0.0, 1.0)
    lower, upper = pair.interval
    assert lower < 0 < upper


def test_both_always_right() -> None:
    pair = Paired(both=100, only_first=0, only_second=0, neither=0)
    assert pair.p_value == 1.0
    lower, upper = pair.interval
    assert -0.05 < lower < 0 < upper < 0.05


def test_the_more_samples_alike_the_narrower() -> None:
    """Pairs say more than two samples of the same size that have nothing to do with each other."""
    pair = Paired(both=900, only_first=10, only_second=20, neither=70)
    lower, upper = pair.interval
    alone = [(r.interval[1] - r.interval[0]) for r in (pair.first, pair.second)]
    assert upper - lower < math.hypot(*alone)


def test_many_pairs_are_quick_and_small_p_values_are_not_lost() -> None:
    assert Paired(both=0, only_first=4900, only_second=5100, neither=0).p_value == pytest.approx(
        stats.binomtest(4900, 10_000, 0.5).pvalue
    )
    assert 0 < Paired(both=0, only_first=0, only_second=1000, neither=0).p_value < 1e-300
    assert Paired(both=0, only_first=0, only_second=5000, neither=0).p_value == 0.0


@pytest.mark.parametrize("damage", [{"only_first": -1}, {"both": 0}])
def test_counts_that_are_none(damage: dict[str, int]) -> None:
    with pytest.raises(BadSetting):
        Paired(**{"both": 1, "only_first": 0, "only_second": 0, "neither": 0, **damage})


@pytest.mark.parametrize("place", [-1, 3])
def test_positions_of_no_sample(place: int) -> None:
    with pytest.raises(BadSetting, match=str(place)):
        Paired.of({place}, set(), 3)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_steps_down(values: list[float]) -> None:
    """What is rejected at 5 % is what Holm's own procedure rejects: as long as none was kept."""
    adjusted = holm(values)
    assert all(a >= p for a, p in zip(adjusted, values, strict=True))
    rejected, going = set(), True
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        going = going and (len(values) - rank) * values[place] <= 0.05
        if going:
            rejected.add(place)
    assert {place for place, value in enumerate(adjusted) if value <= 0.05} == rejected


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()
    assert holm([0.2]) == (0.2,)
    assert holm([0.6, 0.7]) == (1.0, 1.0)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_no_p_value(value: float) -> None:
    with pytest.raises(BadSetting):
        holm([0.5, value])
