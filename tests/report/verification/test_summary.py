"""Volumes, log-volumes, their means, and thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sensverify.errors import BadBox

Make = Callable[..., Any]


def test_volume_is_the_product_of_the_widths(make_sample: Make) -> None:
    sample = make_sample(0, [0, 1], [2, 1.5])
    assert sample.widths.tolist() == [2.0, 0.5]
    assert sample.log_volume == pytest.approx(0.0)
    assert sample.volume == pytest.approx(1.0)
    assert sample.degenerate == ()


@pytest.mark.parametrize("width", [1e-200, 1e200])
def test_volume_beyond_a_double(make_sample: Make, make_report: Make, width: float) -> None:
    sample = make_sample(0, [0] * 3, [width] * 3)
    assert sample.volume is None
    assert sample.log_volume == pytest.approx(3 * math.log(width))
    assert make_report([sample]).summary.mean_volume is None


def test_mean_volume_of_volumes_that_just_fit(make_sample: Make, make_report: Make) -> None:
    samples = [make_sample(k, [0], [1.7e308]) for k in range(4)]
    assert make_report(samples).summary.mean_volume == pytest.approx(1.7e308)


def test_degenerate_samples_are_left_out_of_log_volumes(
    make_sample: Make, make_report: Make
) -> None:
    report = make_report([make_sample(0, [0, 0], [1, 0]), make_sample(1, [0, 0], [1, math.e])])
    assert report.summary.degenerate_samples == 1
    assert report.summary.mean_log_volume == pytest.approx(1.0)
    assert report.summary.mean_volume == pytest.approx(math.e / 2)


def test_shares(make_sample: Make, make_report: Make) -> None:
    answers = [(1, True), (1, None), (0, False), (None, None)]
    samples = [
        make_sample(k, [0, 1], [1, 2], label=label, certified=certified)
        for k, (label, certified) in enumerate(answers)
    ]
    summary = make_report(samples).summary
    assert summary.certified_fraction == pytest.approx(1 / 3)
    assert summary.accuracy == pytest.approx(2 / 3)


def test_without_labels_there_are_no_shares(make_sample: Make, make_report: Make) -> None:
    summary = make_report([make_sample(0, [0], [1], label=None)]).summary
    assert summary.certified_fraction is None
    assert summary.accuracy is None


def test_thresholds(make_sample: Make, make_report: Make) -> None:
    samples = [make_sample(0, [0, 0], [1, 0]), make_sample(1, [0, 0], [2, 2])]
    assert make_report(samples).exceeded == ()
    assert make_report(samples, max_width=2.0, max_log_volume=math.log(4)).exceeded == ()
    assert len(make_report(samples, max_width=1.9).exceeded) == 1
    assert len(make_report(samples, max_width=1.9, max_log_volume=1.3).exceeded) == 2
    # A box with a zero width has volume 0, below every threshold.
    assert make_report(samples[:1], max_log_volume=-1e9).exceeded == ()


def test_nan_is_never_a_figure(make_sample: Make) -> None:
    sample = make_sample(0, [0], [np.nan])
    for figure in ("widths", "log_volume", "volume", "degenerate"):
        with pytest.raises(BadBox, match="NaN"):
            getattr(sample, figure)
