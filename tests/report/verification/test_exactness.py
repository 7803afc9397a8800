"""Attained values beside proven ones: exact boxes, and thresholds that stay undecided."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sensverify.core.results import Guarantee, Status
from sensverify.report.verification.json import report_to_json
from tests.report.shown import verify_page, verify_text

Make = Callable[..., Any]


def shown(report: Any) -> str:
    return " ".join(verify_text(report).split())


@pytest.fixture
def make_attained(make_sample: Make) -> Make:
    """``make_attained(index, width, attained)``: one output, both widths around zero."""

    def make(index: int, width: float, attained: float, **changes: Any) -> Any:
        inner = {"inner_lower": np.array([-attained / 2]), "inner_upper": np.array([attained / 2])}
        return make_sample(index, [-width / 2], [width / 2], **inner, **changes)

    return make


def test_attained_figures(make_sample: Make, make_attained: Make) -> None:
    sample = make_attained(0, 2.0, 1.0)
    assert sample.attained_widths.tolist() == [1.0]
    assert sample.attained_log_volume == 0.0
    assert make_attained(0, 2.0, 0.0).attained_log_volume == -math.inf
    assert make_sample(0, [0], [1]).attained_widths is None
    assert make_sample(0, [0], [1]).attained_log_volume is None


@pytest.mark.parametrize(
    ("limit", "exceeded", "undecided", "status"),
    [(2.0, 0, 0, 0), (1.5, 0, 1, 3), (0.5, 1, 0, 1)],
)
def test_a_threshold_between_attained_and_proven_is_undecided(
    make_attained: Make,
    make_report: Make,
    limit: float,
    exceeded: int,
    undecided: int,
    status: int,
) -> None:
    for change in ({"max_width": limit}, {"max_log_volume": math.log(limit)}):
        report = make_report([make_attained(0, 2.0, 1.0), make_attained(1, 0.1, 0.1)], **change)
        assert len(report.exceeded) == exceeded
        assert len(report.undecided) == undecided
        assert report.exit_status == status
        assert ("threshold undecided" in shown(report)) == bool(undecided)
        assert ("Threshold undecided" in verify_page(report)) == bool(undecided)
        assert ("Every threshold holds" in verify_page(report)) == (status == 0)


def test_exceeded_for_sure_comes_before_undecided(make_attained: Make, make_report: Make) -> None:
    report = make_report([make_attained(0, 2, 1), make_attained(1, 5, 4)], max_width=1.5)
    assert len(report.exceeded) == len(report.undecided) == 1
    assert "1 of 2 samples (largest 5, sample 1)" in report.exceeded[0]
    assert report.exit_status == 1


def test_without_attained_values_the_bounds_decide(make_sample: Make, make_report: Make) -> None:
    report = make_report([make_sample(0, [0], [2])], max_width=1.5)
    assert report.exit_status == 1
    assert report.undecided == ()


def test_an_interrupted_run_says_so(make_sample: Make, make_report: Make) -> None:
    report = make_report([make_sample(0, [0], [1])], interrupted=True, max_width=2.0)
    assert report.exit_status == 3
    assert json.loads(report_to_json(report))["interrupted"] is True
    assert "interrupted" in shown(report)
    page = verify_page(report)
    assert "Interrupted" in page
    assert "Every threshold holds" not in page
    assert (
        json.loads(report_to_json(make_report([make_sample(0, [0], [1])])))["interrupted"] is False
    )


def test_exact_boxes_are_counted(make_sample: Make, make_attained: Make, make_report: Make) -> None:
    exact = make_attained(0, 1.0, 1.0, status=Status.OPTIMAL)
    report = make_report([exact, make_attained(1, 2.0, 1.75)], guarantee=Guarantee.SOLVER)
    text = shown(report)
    assert "50.0 % (1 of 2): both ends of every output are attained" in text
    assert "the others are at most 0.25 too wide" in text
    assert "SOLVER. Proven up to a solver's own tolerances" in text
    assert "at most 0.25 too wide" in verify_page(report)
    assert "too wide" not in shown(make_report([exact]))
    assert "attained" not in shown(make_report([make_sample(0, [0], [1])]))
    statuses = [s["status"] for s in json.loads(report_to_json(report))["samples"]]
    assert statuses == ["OPTIMAL", "BOUNDED"]
