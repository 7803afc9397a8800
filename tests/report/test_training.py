"""Metrics of a training in words."""

from __future__ import annotations

import math

import pytest

from sensverify.report.training import metric_text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ERR", 0.0226, "2.26 %"),
        ("PGD_ERR", 1.0, "100.00 %"),
        ("SENSE", 5530.0, "5.53e3"),
        ("SENSE", 4.58e12, "4.58e12"),
        ("SENSE", 2.9e-5, "2.90e-5"),
        ("SENSE", 0.0, "0.00e0"),
        ("SENSE", None, "-"),
        ("SENSE", math.inf, "inf"),
        ("LOG_VOLUME", -math.inf, "-inf"),
        ("CE", 0.0789, "0.0789"),
    ],
)
def test_metrics_in_words(name: str, value: float | None, text: str) -> None:
    assert metric_text(name, value) == text
