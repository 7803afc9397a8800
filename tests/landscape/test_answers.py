"""Answers on made minima: correlations are scipy's, and the claim says what the intervals say."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from sensverify.errors import BadData
from sensverify.landscape.answers import (
    EVERY,
    WITH_MARKED,
    Answers,
    MeasuredMinimum,
    answers,
    main_column,
    over_estimates,
)
from sensverify.landscape.sensitivity import ATTAINED, Column, SensitivitySettings, names_of

SETTINGS = SensitivitySettings(sigmas=(0.05, 0.1))
MAIN = main_column(SETTINGS).name


Law = Callable[[float, np.random.Generator], float | None]


def minima(count: int, sensitivity: Law, *, marked: int = 0) -> list[MeasuredMinimum]:
    draws = np.random.default_rng(1)
    found = []
    for place in range(count):
        energy = 0.1 + 0.01 * place
        value = sensitivity(energy, draws)
        values = dict.fromkeys(names_of(SETTINGS), value)
        if value is not None and value == value:
            values[Column("sensitivity", ATTAINED, 0.1, "all").name] = value * 0.999
        found.append(
            MeasuredMinimum(
                key=f"m{place + 1}",
                energy=energy,
                smooth_energy=energy,
                weight_norm=float(draws.normal(5, 1)),
                stationary=place >= marked,
                stationarity=1e-9,
                funnel="m1" if place % 2 else "m2",
                basin_log_volume=None,
                values=values,
            )
        )
    return found


def rising(energy: float, draws: np.random.Generator) -> float:
    return float(np.exp(energy + 0.2 * draws.normal()))


def test_the_main_column_is_exact_at_a_tenth_over_all() -> None:
    assert MAIN == "sensitivity(exact, sigma=0.1, all)"
    other = SensitivitySettings(sigmas=(0.2, 0.3), methods=("lp-dual", "crown"))
    assert main_column(other).name == "sensitivity(crown, sigma=0.2, all)"


def test_correlations_are_scipys_and_intervals_hold_them() -> None:
    rows = minima(60, rising)
    found = answers(rows, SETTINGS, resamples=300)
    each = found.of(MAIN)
    assert each is not None
    x, y = [row.energy for row in rows], [row.values[MAIN] for row in rows]
    assert np.isclose(each.spearman.value, spearmanr(x, y).statistic)
    assert np.isclose(each.spearman.p_value, spearmanr(x, y).pvalue)
    assert np.isclose(each.kendall.value, kendalltau(x, y).statistic)
    for estimate in (each.spearman, each.kendall, each.partial):
        assert estimate.lower < estimate.value < estimate.upper
    # The norm is drawn by itself: held fixed, it changes little.
    assert abs(each.partial.value - each.spearman.value) < 0.1
    assert found.claim.verdict == "holds"
    assert found.claim.answer == each


@pytest.mark.parametrize(
    ("sensitivity", "verdict"),
    [
        (rising, "holds"),
        (lambda energy, draws: 1 / rising(energy, draws), "the opposite holds"),
        (lambda energy, draws: float(draws.random()), "is open"),
    ],
)
def test_the_claim_says_what_the_intervals_say(sensitivity: Law, verdict: str) -> None:
    assert answers(minima(50, sensitivity), SETTINGS).claim.verdict == verdict


def test_ends_of_ranges_that_disagree_leave_it_open() -> None:
    rows = minima(50, rising)
    name = Column("sensitivity", ATTAINED, 0.1, "all").name
    rows = [
        MeasuredMinimum(**{**vars(each), "values": {**each.values, name: 1 / each.energy}})
        for each in rows
    ]
    assert answers(rows, SETTINGS).claim.verdict == "is open"


def test_few_minima_claim_nothing_however_well_they_are_ordered() -> None:
    for count, verdict in ((9, "is open"), (10, "holds")):
        claim = answers(minima(count, lambda energy, _: energy), SETTINGS).claim
        assert claim.verdict == verdict
        assert claim.answer is not None
        assert claim.answer.spearman.value == pytest.approx(1)
    assert "9 minima are too few" in answers(minima(9, rising), SETTINGS).claim.reason


def test_without_resamples_nothing_is_claimed() -> None:
    claim = answers(minima(50, rising), SETTINGS, resamples=0).claim
    assert (claim.verdict, claim.reason) == ("is open", "it has no interval")


def test_funnels_and_marked_minima_have_answers_of_their_own() -> None:
    rows = minima(40, rising, marked=5)
    found = answers(rows, SETTINGS, resamples=50)
    assert names(found) == {EVERY, "m1", "m2", WITH_MARKED}
    counts = {g: found.of(MAIN, g).networks for g in names(found)}  # type: ignore[union-attr]
    assert counts == {EVERY: 35, "m1": 18, "m2": 17, WITH_MARKED: 40}


def names(found: Answers) -> set[str]:
    return {each.group for each in found.ranks if each.column == MAIN}


def test_minima_that_are_not_stationary_never_count_silently() -> None:
    claim = answers(minima(20, rising, marked=20), SETTINGS).claim
    assert claim.verdict == "is open"
    assert "no minimum is stationary" in claim.reason


def test_a_weight_norm_that_tells_all_leaves_nothing() -> None:
    rows = minima(20, lambda energy, draws: energy)
    rows = [MeasuredMinimum(**{**vars(each), "weight_norm": each.energy}) for each in rows]
    each = answers(rows, SETTINGS, resamples=20).of(MAIN)
    assert each is not None
    assert (each.partial.value, each.spearman.value) == (None, 1.0)
    assert "tells all" in each.partial.reason


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "at least 3 minima, and 0"),
        (minima(1, rising), "at least 3 minima, and 1"),
        (minima(9, lambda *_: 2.5), "all minima have the same"),
        (minima(9, lambda *_: nan), "no minimum has a finite"),
        (minima(9, lambda *_: None), "no minimum has a finite"),
    ],
)
def test_what_cannot_be_answered_is_refused(rows: list[MeasuredMinimum], said: str) -> None:
    with pytest.raises(BadData, match=said):
        answers(rows, SETTINGS)


def test_a_hole_is_left_out_of_its_column() -> None:
    rows = minima(20, rising)
    holes = {**rows[3].values, MAIN: None}
    rows[3] = MeasuredMinimum(**{**vars(rows[3]), "values": holes})
    found = answers(rows, SETTINGS, resamples=20)
    assert found.of(MAIN).networks == 19  # type: ignore[union-attr]


def test_over_estimates_are_relative_to_what_is_attained() -> None:
    rows = minima(4, lambda *_: 2.0)
    found = {(each.method, each.sigma): each.values for each in over_estimates(rows, SETTINGS)}
    assert np.allclose(found["lp-dual", 0.1], (2 - 1.998) / 1.998)
    assert found["crown", 0.05] == (0.0,) * 4
    assert over_estimates(rows, SensitivitySettings(methods=("crown",))) == ()
