"""The schema ``sensverify.verify/1`` (its keys are tested through the command line)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sensverify.report.verification.json import report_to_json

Make = Callable[..., Any]


def test_inner_and_degenerate(make_sample: Make, make_report: Make) -> None:
    inner = {"inner_lower": np.array([0.25, 1.0]), "inner_upper": np.array([0.5, 1.0])}
    report = make_report([make_sample(3, [0, 1], [1, 1], **inner)])
    sample = json.loads(report_to_json(report))["samples"][0]
    assert sample["inner"] == {"lower": [0.25, 1.0], "upper": [0.5, 1.0]}
    assert sample["degenerate"] == [1]
    assert sample["log_volume"] is None
    assert sample["index"] == 3


def test_a_number_that_is_not_finite_is_never_written(make_sample: Make, make_report: Make) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        report_to_json(make_report([make_sample(0, [0], [1], seconds=float("nan"))]))
