"""Figures of shifts by hand: the numbers of their sources, and what they mean at the ends."""

from __future__ import annotations

import pytest
import torch

from sensverify.classification.corruption_error import (
    corruption_error,
    mean_corruption_error,
    relative_corruption_error,
    relative_mean_corruption_error,
)
from sensverify.classification.flips import flip_rate, relative_flip_rate
from sensverify.classification.rates import Rate
from sensverify.classification.shift import (
    app,
    attack_success_rate,
    effective_robustness,
    effective_robustness_as_printed,
    fit_line,
    generalisation_gap,
    minimal_sample_distance,
    residual_robustness,
)
from sensverify.errors import BadData, BadSetting, BadShape, NotMeasured
from tests.measures.classifiers import drawn


def test_the_two_classifiers_of_laugros() -> None:
    """The first is more accurate under the shift, the second loses less to it."""
    first, second = (0.9, 0.68), (0.7, 0.66)
    assert first[1] > second[1]
    assert residual_robustness(*first) == pytest.approx(0.22)
    assert residual_robustness(*second) == pytest.approx(0.04)
    assert app(*first) == pytest.approx(0.756, abs=5e-4)
    assert app(*second) == pytest.approx(0.943, abs=5e-4)


def test_a_shift_that_helps_is_not_clipped() -> None:
    assert residual_robustness(0.5, 0.6) == pytest.approx(-0.1)
    assert app(0.5, 0.6) == pytest.approx(1.2)


def test_nothing_can_be_preserved_of_nothing() -> None:
    with pytest.raises(NotMeasured, match="accuracy is 0"):
        app(0.0, 0.0)


def test_classifiers_on_a_line_have_no_effective_robustness() -> None:
    clean = [0.5, 0.6, 0.75, 0.9]
    shifted = [0.8 * c - 0.1 for c in clean]
    slope, intercept = fit_line(clean, shifted)
    assert slope == pytest.approx(0.8)
    assert intercept == pytest.approx(-0.1)
    for c, s in zip(clean, shifted, strict=True):
        assert effective_robustness(c, s, slope, intercept) == pytest.approx(0.0, abs=1e-12)
    # More accuracy under the shift is better, but for the printed formula.
    assert effective_robustness(0.6, 0.5, slope, intercept) > 0
    assert effective_robustness_as_printed(0.6, 0.5, 0.8) == pytest.approx(0.2)
    assert effective_robustness_as_printed(0.6, 0.4, 0.8) > 0.2


def test_the_line_is_that_of_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    clean, shifted = drawn(9).sigmoid().tolist(), drawn(9, seed=1).sigmoid().tolist()
    assert fit_line(clean, shifted) == pytest.approx(tuple(numpy.polyfit(clean, shifted, 1)))


def test_a_line_needs_two_points() -> None:
    for clean, shifted in (([], []), ([0.5], [0.4]), ([0.5, 0.5], [0.4, 0.3])):
        with pytest.raises(NotMeasured, match="two classifiers"):
            fit_line(clean, shifted)
    with pytest.raises(BadData, match="2 clean and 1 shifted"):
        fit_line([0.5, 0.6], [0.4])


def test_the_reference_has_a_corruption_error_of_one_hundred() -> None:
    accuracies = [0.8, 0.6, 0.3]
    assert corruption_error(accuracies, accuracies) == pytest.approx(100)
    assert relative_corruption_error(0.9, accuracies, 0.9, accuracies) == pytest.approx(100)
    table = {"fog": accuracies, "snow": [0.5]}
    assert mean_corruption_error(table, table) == pytest.approx(100)
    assert relative_mean_corruption_error(0.9, table, 0.9, table) == pytest.approx(100)


def test_corruption_errors_by_hand() -> None:
    # Errors .2 + .5 of .4 + 1.0; losses .1 + .4 of .1 + .7.
    assert corruption_error([0.8, 0.5], [0.6, 0.0]) == pytest.approx(50)
    error = relative_corruption_error(0.9, [0.8, 0.5], 0.7, [0.6, 0.0])
    assert error == pytest.approx(62.5)
    # One severity: 100 times the residual robustness over the reference's.
    error = relative_corruption_error(0.9, [0.68], 0.7, [0.66])
    expected = 100 * residual_robustness(0.9, 0.68) / residual_robustness(0.7, 0.66)
    assert error == pytest.approx(expected)
    assert relative_corruption_error(0.5, [0.6], 0.7, [0.66]) < 0


def test_a_mean_over_corruptions_is_not_a_ratio_of_means() -> None:
    own, other = {"fog": [0.9], "snow": [0.5]}, {"fog": [0.8], "snow": [0.0]}
    assert mean_corruption_error(own, other) == pytest.approx(50)
    other = {"fog": [0.5], "snow": [0.0]}
    assert mean_corruption_error(own, other) == pytest.approx((20 + 50) / 2)
    # Losses 0 of .3 and .4 of .8.
    value = relative_mean_corruption_error(0.9, own, 0.8, other)
    assert value == pytest.approx((0 + 50) / 2)


def test_a_reference_that_loses_nothing_is_no_measure() -> None:
    with pytest.raises(NotMeasured, match="no errors"):
        corruption_error([0.5], [1.0])
    with pytest.raises(NotMeasured, match="loses no accuracy"):
        relative_corruption_error(0.9, [0.5, 0.5], 0.7, [0.7, 0.7])
    # Also where rounding says otherwise: 3 * .3 is not .1 + .2 + .6.
    with pytest.raises(NotMeasured, match="loses no accuracy"):
        relative_corruption_error(0.9, [0.5] * 3, 0.3, [0.1, 0.2, 0.6])


def test_corruptions_and_severities_must_be_the_same() -> None:
    with pytest.raises(BadData, match="2 and 1"):
        corruption_error([0.5, 0.4], [0.5])
    with pytest.raises(BadData, match="0 and 0"):
        corruption_error([], [])
    with pytest.raises(BadData, match="got fog and snow"):
        mean_corruption_error({"fog": [0.5]}, {"snow": [0.5]})
    with pytest.raises(BadData, match="none"):
        relative_mean_corruption_error(0.9, {}, 0.9, {})


@pytest.mark.parametrize("value", [-0.01, 1.01, 87.3, float("nan"), float("inf")])
def test_percentages_are_refused(value: float) -> None:
    for function, *arguments in (
        (residual_robustness, value, 0.5),
        (residual_robustness, 0.5, value),
        (app, value, 0.5),
        (app, 0.5, value),
        (effective_robustness, value, 0.5, 1.0, 0.0),
        (effective_robustness, 0.5, value, 1.0, 0.0),
        (effective_robustness_as_printed, 0.5, value, 1.0),
        (fit_line, [0.5, value], [0.4, 0.3]),
        (fit_line, [0.5, 0.6], [0.4, value]),
        (corruption_error, [value], [0.5]),
        (corruption_error, [0.5], [value]),
        (relative_corruption_error, value, [0.5], 0.6, [0.5]),
        (relative_corruption_error, 0.6, [0.5], value, [0.5]),
        (mean_corruption_error, {"fog": [value]}, {"fog": [0.5]}),
        (generalisation_gap, value, 0.5),
        (generalisation_gap, 0.5, value),
    ):
        with pytest.raises(BadData) as refused:
            function(*arguments)
        assert f"{value:g}" in refused.value.problem, (function, arguments)
        assert "percentages" in refused.value.remedy, (function, arguments)


@pytest.mark.parametrize("slope", [float("nan"), float("inf")])
def test_a_line_is_finite(slope: float) -> None:
    with pytest.raises(BadData, match="no finite number"):
        effective_robustness(0.5, 0.5, slope, 0.0)
    with pytest.raises(BadData, match="no finite number"):
        effective_robustness(0.5, 0.5, 1.0, slope)
    with pytest.raises(BadData, match="no finite number"):
        effective_robustness_as_printed(0.5, 0.5, slope)


def test_flips_along_sequences() -> None:
    constant = torch.full((3, 5), 7)
    back = torch.tensor([[1, 2, 1]])
    for against in ("previous", "first"):
        assert flip_rate(constant, against=against) == 0.0
    assert flip_rate(back, against="previous") == 1.0
    assert flip_rate(back, against="first") == 0.5
    both = torch.tensor([[1, 2, 1], [4, 4, 5]])
    assert flip_rate(both) == 0.75
    assert flip_rate(both, against="first") == 0.5


@pytest.mark.parametrize(
    "predictions", [torch.ones(3, 1).long(), torch.ones(3).long(), torch.ones(0, 4).long()]
)
def test_flips_need_two_frames(predictions: torch.Tensor) -> None:
    with pytest.raises(BadShape, match="2 frames"):
        flip_rate(predictions)


def test_flips_are_of_classes() -> None:
    with pytest.raises(BadShape, match="whole numbers"):
        flip_rate(torch.rand(3, 4))
    with pytest.raises(BadSetting, match="'last'"):
        flip_rate(torch.ones(3, 4).long(), against="last")


def test_flips_in_percent_of_a_reference() -> None:
    assert relative_flip_rate(0.1, 0.2) == pytest.approx(50)
    assert relative_flip_rate(0.0, 0.2) == 0.0
    with pytest.raises(NotMeasured, match="never flip"):
        relative_flip_rate(0.1, 0.0)
    for rate, other in ((1.1, 0.5), (0.5, -0.1), (float("nan"), 0.5), (0.5, float("nan"))):
        with pytest.raises(BadData, match="flip rate"):
            relative_flip_rate(rate, other)


def test_the_minimal_sample_distance_by_hand() -> None:
    first = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    second = torch.tensor([[1.0, 3.0], [5.0, 3.0]])
    # From (1, 0) to (1, 3), and from (3, 3) to (2, 0).
    assert minimal_sample_distance(first, second) == pytest.approx(3.0)
    assert minimal_sample_distance(second, first) == pytest.approx(10**0.5)
    # Of a set with itself it is the distance of its mean from its nearest sample.
    assert minimal_sample_distance(first, first) == pytest.approx(1.0)
    one = drawn(1, 5)
    assert minimal_sample_distance(one, one) == 0.0
    assert minimal_sample_distance(one.expand(4, -1), one) == 0.0


def test_the_minimal_sample_distance_is_one_of_all_distances() -> None:
    first, second = drawn(6, 3), drawn(9, 3, seed=1)
    distances = [float((first.mean(0) - row).norm()) for row in second]
    assert minimal_sample_distance(first.float(), second) == pytest.approx(min(distances), 1e-6)


def test_what_distances_need() -> None:
    for first, second in ((drawn(3, 2), drawn(3, 4)), (drawn(0, 2), drawn(3, 2)), (drawn(2),) * 2):
        with pytest.raises(BadShape, match="samples, outputs"):
            minimal_sample_distance(first, second)
    with pytest.raises(BadData, match="finite"):
        minimal_sample_distance(drawn(3, 2) * torch.nan, drawn(3, 2))


def test_the_gap_is_test_error_minus_training_error() -> None:
    assert generalisation_gap(1.0, 0.9) == pytest.approx(0.1)
    assert generalisation_gap(0.8, 0.9) == pytest.approx(-0.1)


def test_an_attack_s_successes_in_both_readings() -> None:
    # Of ten samples two are wrong anyway, and the attack breaks four more.
    assert attack_success_rate(10, 2, 6) == Rate(4, 8)
    assert attack_success_rate(10, 2, 6, of="all") == Rate(6, 10)
    assert attack_success_rate(10, 2, 2).share == 0.0
    with pytest.raises(NotMeasured, match="none to break"):
        attack_success_rate(10, 10, 10)
    for counts in ((10, 3, 2), (10, -1, 2), (10, 2, 11)):
        with pytest.raises(BadSetting, match="wrong <= broken"):
            attack_success_rate(*counts)
    with pytest.raises(BadSetting, match="'some'"):
        attack_success_rate(10, 2, 6, of="some")
