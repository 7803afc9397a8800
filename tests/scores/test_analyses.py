"""Analyses of tables of which the answers are known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from sensverify.errors import BadSetting
from sensverify.scores import CLEAN, Network, Scores, Shift
from sensverify.scores.balance import balance
from sensverify.scores.catalog import ANALYSES
from sensverify.scores.columns import column, group_means
from sensverify.scores.correlate import correlate, weighted_tau
from sensverify.scores.coverage import coverage
from sensverify.scores.gains import gain
from sensverify.scores.overlap import overlap
from sensverify.scores.transfer import transfer
from tests.scores.conftest import table


def measured(values: dict[str, list[float]], names: list[str] | None = None) -> Scores:
    """A table of measures alone."""
    count = len(next(iter(values.values())))
    return Scores(
        networks=tuple(map(Network, names or [f"n{k}" for k in range(count)])),
        shifts=(),
        right=np.zeros((count, 0)),
        total=np.zeros((count, 0)),
        measures=tuple(values),
        values=np.array(list(values.values())).T,
    )


# Columns


def test_columns_are_accuracies_and_what_is_made_of_them() -> None:
    scores = table({"a": {"clean": 0.8, "fog/1": 0.6, "fog/2": 0.2}, "b": {"clean": 0.5}})
    assert column(scores, "fog/2")[0] == 0.2
    assert column(scores, "fog")[0] == pytest.approx(0.4)
    assert column(scores, "residual:fog")[0] == pytest.approx(0.4)
    assert column(scores, "app:fog")[0] == pytest.approx(0.5)
    assert column(scores, "error:fog/1")[0] == pytest.approx(0.4)
    assert column(scores, "shift")[0] == pytest.approx(0.4)
    for name in ("fog", "fog/1", "app:fog", "error:fog", "residual:fog"):
        assert math.isnan(column(scores, name)[1])
    with pytest.raises(BadSetting, match="there is no shift 'frog'"):
        column(scores, "frog")


def test_of_a_network_that_has_nothing_right_app_is_a_hole() -> None:
    assert np.isnan(column(table({"a": {"clean": 0.0, "fog": 0.0}}), "app:fog")).all()


def test_a_name_of_two_things_is_refused() -> None:
    scores = measured({"clean": [1, 2]})
    with pytest.raises(BadSetting, match="is a measure and a shift"):
        column(scores, "clean")
    with pytest.raises(BadSetting, match="there is no column 'l3'"):
        column(measured({"l2": [1, 2]}), "l3")


def test_means_over_seeds_have_holes_where_one_has() -> None:
    names = ["a-seed0", "a-seed1", "b-seed0", "b-seed1"]
    scores = measured({"m": [1, 3, 5, math.nan]}, names)
    groups, means = group_means(scores, scores.values)
    assert groups == ["a", "b"]
    np.testing.assert_array_equal(means, [[2], [math.nan]])


# Correlations


@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_order_is_found(sign: int) -> None:
    x = np.arange(1.0, 21)
    found = correlate(measured({"x": [*x], "y": [*sign * x**3]}), columns=("x",), against=("y",))
    (pair,) = found.pairs
    assert (pair.tau, pair.lower, pair.upper) == (sign, sign, sign)
    assert pair.networks == 20
    assert pair.p_value is not None
    assert pair.p_value < 1e-10


def test_ties_and_holes_are_those_of_scipy() -> None:
    draws = np.random.default_rng(0)
    x, y = draws.integers(0, 5, 60).astype(float), draws.integers(0, 5, 60).astype(float)
    y += x
    x[3] = y[7] = math.nan
    known = ~np.isnan(x + y)
    (pair,) = correlate(
        measured({"x": [*x], "y": [*y]}), columns=("x",), against=("y",), resamples=500
    ).pairs
    expected = kendalltau(x[known], y[known])
    assert pair.tau == expected.statistic
    assert pair.networks == 58
    assert pair.lower is not None
    assert pair.upper is not None
    assert pair.lower < pair.tau < pair.upper


def test_the_interval_of_many_networks_is_that_of_resamples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draws = np.random.default_rng(4)
    x = draws.integers(0, 30, 600).astype(float)
    scores = measured({"x": [*x], "y": [*x + 12 * draws.normal(size=600)]})
    settings: dict[str, Any] = {"columns": ("x",), "against": ("y",), "resamples": 4000}
    (resampled,) = correlate(scores, **settings).pairs
    monkeypatch.setattr("sensverify.scores.correlate._LARGE", 10)
    (normal,) = correlate(scores, **settings).pairs
    assert normal.tau == resampled.tau
    assert resampled.lower is not None
    assert (normal.lower, normal.upper) == pytest.approx(
        (resampled.lower, resampled.upper), abs=4e-3
    )


def test_weights_are_repeated_networks() -> None:
    draws = np.random.default_rng(1)
    x, y = draws.integers(0, 4, 12).astype(float), draws.integers(0, 4, 12).astype(float)
    counts = draws.multinomial(12, np.full(12, 1 / 12), size=5)
    for count, tau in zip(counts, weighted_tau(x, y, counts.astype(float)), strict=True):
        expected = kendalltau(np.repeat(x, count), np.repeat(y, count)).statistic
        assert tau == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("x", "reason"),
    [([1, 1, 1, 1], "'x' is constant"), ([1, 2, math.nan, math.nan], "fewer than 3 networks")],
)
def test_what_has_no_tau_says_why(x: list[float], reason: str) -> None:
    scores = measured({"x": x, "y": [1, 2, 3, 4]})
    (pair,) = correlate(scores, columns=("x",), against=("y",)).pairs
    assert (pair.tau, pair.lower, pair.upper, pair.p_value) == (None, None, None, None)
    assert reason in pair.reason


def test_an_interval_over_resamples_without_a_tau_is_none() -> None:
    scores = measured({"x": [0, 0, 0, 1], "y": [1, 2, 3, 4]})
    (pair,) = correlate(scores, columns=("x",), against=("y",)).pairs
    assert pair.tau is not None
    assert (pair.lower, pair.upper) == (None, None)


def test_correlations_with_each_other_are_symmetric_and_repeatable() -> None:
    draws = np.random.default_rng(2)
    scores = measured({name: [*draws.normal(size=15)] for name in "xyz"})
    found = correlate(scores, columns=("x", "y", "z"))
    by_pair = {(each.first, each.second): each for each in found.pairs}
    assert by_pair["x", "y"].tau == by_pair["y", "x"].tau
    assert by_pair["x", "y"].lower == by_pair["y", "x"].lower
    assert by_pair["z", "z"].tau == 1
    assert correlate(scores, columns=("x", "y", "z")) == found


def test_seeds_are_averaged_or_pooled() -> None:
    names = [f"{name}-seed{seed}" for name in "abc" for seed in (0, 1)]
    scores = measured({"x": [1, 5, 2, 6, 3, 7], "y": [5, 1, 6, 2, 7, 3]}, names)
    settings: dict[str, Any] = {"columns": ("x",), "against": ("y",), "resamples": 0}
    (mean,) = correlate(scores, over="groups", **settings).pairs
    (pooled,) = correlate(scores, **settings).pairs
    assert (mean.tau, mean.networks) == (1, 3)
    assert pooled.networks == 6
    assert pooled.tau is not None
    assert pooled.tau < 0


def test_an_empty_table_has_no_columns() -> None:
    scores = Scores(
        networks=(Network("a"),), shifts=(), right=np.zeros((1, 0)), total=np.zeros((1, 0))
    )
    with pytest.raises(BadSetting, match="neither measures nor shifts"):
        correlate(scores)


# Transfer

SHIFTS = ("gaus", "art", "obstr", "blur", "contr", "bright", "color", "transl", "rot", "flip")
PUBLISHED = {
    "standard": (0.83, (0.81, 0.81, 0.95, 0.78, 0.87, 0.94, 0.72, 0.89, 0.94, 0.78), 0.85),
    "fgsm": (0.81, (0.91, 0.89, 0.93, 0.91, 0.78, 0.87, 0.69, 0.82, 0.91, 0.78), 0.85),
    "fgsm_ll": (0.82, (0.96, 0.87, 0.95, 0.91, 0.73, 0.88, 0.67, 0.83, 0.92, 0.78), 0.85),
    "pgd": (0.75, (0.95, 0.88, 0.94, 0.94, 0.75, 0.87, 0.69, 0.81, 0.91, 0.79), 0.85),
    "pgd_ll": (0.76, (0.94, 0.85, 0.95, 0.93, 0.75, 0.86, 0.61, 0.83, 0.92, 0.79), 0.84),
}
"""Laugros 2022, Tables 3.1 (clean) and 3.2: APP of every corruption, and the printed mean."""
HELD_OUT = (0.83, 0.84, 0.96, 0.82, 0.94, 0.97, 0.76, 0.92, 0.95, 0.78)
"""Table 3.3: APP of networks that were trained with all corruptions but that one."""


def published() -> Scores:
    rows = {
        name: {"clean": clean, **{s: clean * a for s, a in zip(SHIFTS, apps, strict=True)}}
        for name, (clean, apps, _) in PUBLISHED.items()
    }
    for shift, kept in zip(SHIFTS, HELD_OUT, strict=True):
        rows[f"no-{shift}"] = {"clean": 0.83, shift: 0.83 * kept}
    return table(rows, total=10_000)


def test_the_published_means_and_what_was_held_out() -> None:
    found = transfer(published())
    for name, (_, apps, mean) in PUBLISHED.items():
        ours = found.mean_app(name)
        assert ours == pytest.approx(mean, abs=0.005 + 1e-9)
        row = [each.app for each in found.cells if each.network == name]
        assert row == pytest.approx(apps, abs=1e-3)
    assert [each.shift for each in found.held_out] == [*SHIFTS]
    assert [each.app for each in found.held_out] == pytest.approx(HELD_OUT, abs=1e-3)
    assert all(each.gain is not None and each.gain.difference >= 0 for each in found.held_out)
    # Of the ten, flip gains nothing: no sign.
    signs = {each.shift: each.gain.sign for each in found.held_out if each.gain is not None}
    assert signs["flip"] == ""
    assert signs["contr"] == "+"
    assert found.mean_app("no-gaus") is None


def test_a_sign_stands_only_where_the_interval_says_so() -> None:
    rows = {
        "standard": {"clean": 0.9, "fog": 0.5, "rain": 0.5},
        "fog": {"clean": 0.9, "fog": 0.9, "rain": 0.52},
        "rain": {"clean": 0.9, "fog": 0.2, "rain": 0.6},
    }
    cells = {(each.network, each.shift): each for each in transfer(table(rows)).cells}
    signs = {place: each.gain.sign for place, each in cells.items() if each.gain is not None}
    assert signs == {
        ("fog", "fog"): "+",
        ("fog", "rain"): "",
        ("rain", "fog"): "-",
        ("rain", "rain"): "",
    }
    assert cells["fog", "fog"].role == "own"
    assert cells["standard", "fog"].gain is None


def test_what_is_proven_is_no_shift_unless_it_is_named() -> None:
    scores = Scores(
        networks=(Network("standard"), Network("fog")),
        shifts=(Shift("ibp", 0.1, "certified"), Shift("fog")),
        right=np.array([[1, 2], [3, 4]]),
        total=np.full((2, 2), 4),
    )
    assert transfer(scores).shifts == ("fog",)
    assert transfer(scores, shifts=("ibp", "fog")).shifts == ("ibp", "fog")


def paired_table(wrong: dict[str, list[int]], total: int = 100) -> Scores:
    rows = list(wrong)
    return Scores(
        networks=tuple(map(Network, rows)),
        shifts=(CLEAN, Shift("fog")),
        right=[[total, total - len(each)] for each in wrong.values()],  # type: ignore[arg-type]
        total=np.full((len(rows), 2), total),
        wrong={(k, 1): np.array(each) for k, each in enumerate(wrong.values())},
    )


def test_pairs_tell_more_than_counts() -> None:
    """Ten samples more, of fifty: the same counts say nothing where nobody knows which."""
    scores = paired_table({"standard": [*range(50)], "fog": [*range(40)]})
    both = gain(scores, 1, 0, "fog")
    assert both is not None
    assert (both.paired, both.sign) == (True, "+")
    alone = gain(table({"standard": {"fog": 0.5}, "fog": {"fog": 0.6}}), 1, 0, "fog")
    assert alone is not None
    assert (alone.paired, alone.sign) == (False, "")
    assert alone.difference == pytest.approx(both.difference)
    # Newcombe 1998, method 10, by hand from Wilson's intervals of 60 and 50 of 100.
    low, high = 0.5020026, 0.6905987
    least, most = 0.4038315, 0.5961685
    assert alone.lower == pytest.approx(0.1 - math.hypot(0.6 - low, most - 0.5), abs=1e-6)
    assert alone.upper == pytest.approx(0.1 + math.hypot(high - 0.6, 0.5 - least), abs=1e-6)


def test_networks_are_compared_with_the_standard_one_of_their_seed() -> None:
    rows = {
        "standard-seed0": {"fog": 0.1},
        "standard-seed1": {"fog": 0.5},
        "fog-seed1": {"fog": 0.9},
    }
    (found,) = (each for each in transfer(table(rows)).cells if each.gain is not None)
    assert found.gain is not None
    assert (found.role, found.gain.standard) == ("own", 0.5)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"a": {"fog": 0.1}, "b": {"fog": 0.1}}, "no network 'standard'"),
        ({"standard": {"fog": 0.1}}, "no network beside the standard one"),
    ],
)
def test_transfers_that_are_none(rows: dict[str, dict[str, float]], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        transfer(table(rows))


# Overlap

S = np.array([[1, 0.6, 0, -0.4], [0.6, 1, 0.25, 0], [0, 0.25, 1, 0], [-0.4, 0, 0, 1]])
"""Overlaps that are planted; symmetric, with ones."""
NAMES = ("fog", "rain", "blur", "tilt")


def planted(total: int = 1_000_000) -> Scores:
    """``A[m_i, c_j] = a - d_j + g_j S_ij``, of which the overlaps are S."""
    lost, gained = (0.3, 0.4, 0.35, 0.5), (0.2, 0.25, 0.1, 0.3)
    standard = {name: 0.9 - d for name, d in zip(NAMES, lost, strict=True)}
    rows = {"standard": {"clean": 0.9, **standard}}
    for i, name in enumerate(NAMES):
        row = {n: standard[n] + gained[j] * S[i, j] for j, n in enumerate(NAMES)}
        rows[name] = {"clean": 0.9, **row}
    return table(rows, total)


@pytest.mark.parametrize("metric", ["residual", "app", "accuracy"])
def test_planted_overlaps_are_found(metric: Any) -> None:
    found = overlap(planted(), metric=metric)
    raw = [[found.of(a, b).raw for b in NAMES] for a in NAMES]
    np.testing.assert_allclose(np.array(raw, dtype=float), S, atol=1e-5)
    score = [[found.of(a, b).score for b in NAMES] for a in NAMES]
    np.testing.assert_allclose(np.array(score, dtype=float), np.maximum(S, 0), atol=1e-5)
    assert found.clean == (0.9, 0.9)


def test_the_overlap_by_hand() -> None:
    rows = {
        "standard": {"clean": 0.9, "fog": 0.5, "rain": 0.4},
        "fog": {"clean": 0.9, "fog": 0.9, "rain": 0.6},
        "rain": {"clean": 0.9, "fog": 0.7, "rain": 0.8},
    }
    assert overlap(table(rows)).of("fog", "rain").raw == pytest.approx(0.5)


def test_an_own_gain_within_noise_is_no_overlap() -> None:
    rows = {
        "standard": {"clean": 0.9, "fog": 0.5, "rain": 0.4},
        "fog": {"clean": 0.9, "fog": 0.9, "rain": 0.6},
        "rain": {"clean": 0.9, "fog": 0.7, "rain": 0.45},
    }
    pair = overlap(table(rows)).of("fog", "rain")
    assert (pair.raw, pair.score) == (None, None)
    assert "own gain of 'rain' is within noise" in pair.reason
    rows["rain"] = {"clean": 0.9, "fog": 0.7}
    assert "'rain' has a hole" in overlap(table(rows)).of("fog", "rain").reason


def test_a_gain_in_accuracy_alone_is_none_in_the_metric() -> None:
    rows = {
        "standard": {"clean": 0.5, "fog": 0.4, "rain": 0.4},
        "fog": {"clean": 0.9, "fog": 0.7, "rain": 0.4},
        "rain": {"clean": 0.5, "fog": 0.4, "rain": 0.5},
    }
    scores = table(rows, 1000)
    assert "gains nothing on its own shift" in overlap(scores).of("fog", "rain").reason
    assert overlap(scores, metric="accuracy").of("fog", "rain").raw == 0


def test_a_hole_elsewhere_is_named() -> None:
    rows = {
        "standard": {"clean": 0.9, "fog": 0.5, "rain": 0.4},
        "fog": {"clean": 0.9, "fog": 0.9},
        "rain": {"clean": 0.9, "fog": 0.7, "rain": 0.8},
    }
    assert overlap(table(rows)).of("fog", "rain").reason == "a cell is a hole"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"standard": {"fog": 0.1}, "fog": {"fog": 0.5}}, "overlaps need two networks"),
        ({"standard": {"fog": 0.1}, "x": {"fog": 0.5}}, "there are none"),
        ({"fog": {"fog": 0.1, "rain": 0.1}, "rain": {"fog": 0.5}}, "no network 'standard'"),
        ({"fog-seed0": {"fog": 0.1}, "standard": {"fog": 0.1}}, "there is fog"),
        (
            {"fog-seed0": {"fog": 0.1, "rain": 0.1}, "rain": {}, "standard": {"fog": 0.1}},
            "the network of 'rain' is called without a seed, and those of 'fog' with one",
        ),
    ],
)
def test_overlaps_that_are_none(rows: dict[str, dict[str, float]], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        overlap(table(rows))


def test_overlaps_of_several_seeds_are_means_over_them() -> None:
    """Two seeds with the overlaps S + D and S - D; the standard networks differ."""
    shifted = 0.1 * np.array([[0, 1, 1, 0], [1, 0, -1, 2], [1, -1, 0, 0], [0, 2, 0, 0]])
    rows = {}
    for seed, (overlaps, lost) in enumerate(((S + shifted, 0.4), (S - shifted, 0.5))):
        rows[f"standard-seed{seed}"] = {"clean": 0.9, **dict.fromkeys(NAMES, 0.9 - lost)}
        for i, name in enumerate(NAMES):
            gains = dict(zip(NAMES, 0.2 * overlaps[i], strict=True))
            row = {other: 0.9 - lost + gained for other, gained in gains.items()}
            rows[f"{name}-seed{seed}"] = {"clean": 0.9, **row}
    found = overlap(table(rows, 1_000_000))
    assert (found.seeds, len(found.networks)) == (2, 10)
    raw = np.array([[found.of(a, b).raw for b in NAMES] for a in NAMES], dtype=float)
    np.testing.assert_allclose(raw, S, atol=1e-5)
    del rows["rain-seed1"]
    holed = overlap(table(rows, 1_000_000))
    assert holed.of("fog", "rain").reason == "there is no network 'rain-seed1'"
    assert holed.of("fog", "blur").raw == pytest.approx(0, abs=1e-5)
    one = {name: row for name, row in rows.items() if name.endswith("0")}
    assert overlap(table(one, 1_000_000)).seeds == 1


def test_a_network_with_several_names_is_found_by_each() -> None:
    """Of two shifts, the network without the one is that of the other."""
    scores = planted()
    renamed = tuple(
        Network("no-fog", "a" * 64, ("rain",)) if each.name == "rain" else each
        for each in scores.networks
    )
    found = overlap(replace(scores, networks=renamed))
    assert found.shifts == NAMES
    assert found.of("fog", "rain").raw == pytest.approx(0.6, abs=1e-5)


def test_balance_and_coverage_of_planted_overlaps() -> None:
    found = balance(planted(), benchmark=("fog", "rain", "blur"))
    assert found.members == pytest.approx({"fog": 0.3, "rain": 0.425, "blur": 0.125}, abs=1e-5)
    assert found.deviation == pytest.approx(np.std([0.3, 0.425, 0.125]), abs=1e-5)
    covered = {s.shift: s for s in coverage(planted(), benchmark=("fog", "blur")).shifts}
    assert (covered["rain"].covered, covered["rain"].member) == (True, "fog")
    assert covered["tilt"].covered is False
    assert [*covered] == ["rain", "tilt"]


def test_a_shift_that_was_not_measured_is_not_called_uncovered() -> None:
    rows = {
        "standard": {"clean": 0.9, "fog": 0.5, "rain": 0.4, "tilt": 0.5},
        "fog": {"clean": 0.9, "fog": 0.9, "rain": 0.4, "tilt": 0.5},
        "rain": {"clean": 0.9, "fog": 0.5, "rain": 0.42, "tilt": 0.5},
        "tilt": {"clean": 0.9, "fog": 0.5, "rain": 0.4, "tilt": 0.9},
    }
    scores = table(rows)
    found = {s.shift: s.covered for s in coverage(scores, benchmark=("fog", "rain")).shifts}
    assert found == {"tilt": None}
    (none,) = (s for s in coverage(scores, benchmark=("fog", "tilt")).shifts)
    assert (none.shift, none.covered, none.largest) == ("rain", None, None)
    assert balance(scores).members["rain"] is None
    assert balance(scores).deviation is None


@pytest.mark.parametrize(
    ("kind", "members", "words"),
    [
        ("coverage", ("fog", "snow"), "no network was trained with 'snow'"),
        ("coverage", NAMES, "a shift that is not in it"),
        ("balance", ("fog",), "the balance of one shift is none"),
    ],
)
def test_benchmarks_that_are_none(kind: str, members: tuple[str, ...], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        ANALYSES.make(kind, planted(), benchmark=members)


def test_networks_of_a_grid_belong_to_the_shift_before_its_point() -> None:
    rows: dict[str, dict[str, float]] = {}
    for point, lift in (("wide", 0.0), ("deep", 0.1)):
        rows |= {
            f"standard_{point}-seed0": {"clean": 0.9, "fog": 0.5 + lift, "blur": 0.4},
            f"fog_{point}-seed0": {"clean": 0.9, "fog": 0.9, "blur": 0.5},
            f"blur_{point}-seed0": {"clean": 0.9, "fog": 0.7, "blur": 0.8},
            f"no-fog_{point}-seed0": {"clean": 0.9, "fog": 0.6, "blur": 0.7},
        }
    found = transfer(table(rows))
    cells = {(each.network, each.shift): each for each in found.cells}
    # Each is compared with the standard network of its own point.
    for point, expected in (("wide", 0.4), ("deep", 0.3)):
        own = cells[f"fog_{point}-seed0", "fog"]
        assert own.role == "own"
        assert own.gain is not None
        assert own.gain.difference == pytest.approx(expected)
        assert cells[f"no-fog_{point}-seed0", "fog"].role == "held-out"
        assert cells[f"standard_{point}-seed0", "fog"].gain is None
    # (0.1 / 0.4 + 0.2 / 0.4) / 2 and (0.1 / 0.4 + 0.1 / 0.3) / 2, and their mean.
    both = overlap(table(rows))
    assert both.seeds == 2
    expected = (0.375 + (0.25 + 1 / 3) / 2) / 2
    assert both.of("fog", "blur").score == pytest.approx(expected)
