"""Figures of a run beside limits: what is missing or not known passes nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensverify.core.gates import Limit
from sensverify.core.results import Status
from sensverify.errors import BadData, BadSetting
from sensverify.report.verification.json import report_to_json
from sensverify.runs.watch import Watch
from sensverify.verification import SampleResult, verify
from sensverify.verification import asking as module
from sensverify.verification.gates import figures

CERTIFIED = "pcu"
"""Proven, changed, undecided."""


def samples(verdicts: str, label: int | None = 0, **changes: Any) -> list[SampleResult]:
    """One output each, between minus and plus one half of the sample's number from 1."""
    return [
        SampleResult(
            **{
                "index": k,
                "label": label,
                "prediction": 0,
                "output": np.zeros(1),
                "status": Status.BOUNDED,
                "lower": np.array([-(k + 1) / 2]),
                "upper": np.array([(k + 1) / 2]),
                "inner_lower": None,
                "inner_upper": None,
                "certified": {"p": True, "c": False, "u": None}[verdict],
                "seconds": 0.0,
                **changes,
            }
        )
        for k, verdict in enumerate(verdicts)
    ]


def test_shares_go_from_what_is_proven_to_what_is_possible():
    found = figures(samples("ppcu"))
    ends = {name: (figure.least, figure.most, figure.count) for name, figure in found.items()}
    assert ends == {
        "min_certified": (0.5, 0.75, 4),
        "min_accuracy": (1.0, 1.0, 4),
        "max_changed": (0.25, 0.5, 4),
        "max_width": (4.0, 4.0, 4),
        "max_log_volume": (math.log(4), math.log(4), 4),
    }


def test_samples_that_are_missing_may_be_anything():
    found = figures(samples("pppc"), missing=4)
    assert (found["min_certified"].least, found["min_certified"].most) == (3 / 8, 7 / 8)
    assert (found["min_accuracy"].least, found["min_accuracy"].most) == (0.5, 1.0)
    assert (found["max_changed"].least, found["max_changed"].most) == (1 / 8, 5 / 8)
    assert (found["max_width"].least, found["max_width"].most) == (4.0, math.inf)


def test_what_is_attained_is_where_a_figure_begins():
    inner = {"inner_lower": np.array([-0.25]), "inner_upper": np.array([0.25])}
    found = figures(samples("p", **inner))["max_width"]
    assert (found.least, found.most) == (0.5, 1.0)
    stopped = figures(samples("p", stopped=True))["max_width"]
    assert (stopped.least, stopped.most) == (-math.inf, 1.0)


def test_nothing_is_a_figure_of_nothing():
    assert figures([]) == {}
    assert set(figures(samples("pu", label=None))) == {"max_width", "max_log_volume"}


def test_a_stopped_run_leaves_open_what_the_rest_may_change(monkeypatch):
    monkeypatch.setattr(module, "_LARGEST_BATCH", 1)
    watch = Watch()
    report = verify(
        module.VerifyRequest(
            "iris", samples=(0, 4), sigma=0.01, min_certified=1.0, max_width=100.0, max_changed=0.9
        ),
        watch=watch,
        progress=lambda done, total: watch.stop() if done == 2 else None,
    )
    assert report.interrupted
    assert [sample.certified for sample in report.samples] == [True, True]
    assert {gate.name: str(gate.verdict) for gate in report.gates} == {
        "min_certified": "undecided",
        "max_width": "undecided",
        "max_changed": "passed",
    }
    assert report.exit_status == 3
    # An open end is no number of JSON.
    wide = next(g for g in json.loads(report_to_json(report))["gates"] if g["name"] == "max_width")
    assert (wide["most"], wide["verdict"]) == (None, "undecided")


def test_limits_in_python(tmp_path: Path):
    kept = tmp_path / "kept.json"
    first = verify("iris", samples=(0, 30), min_certified="10%", per_class=True)
    assert [gate.group for gate in first.gates] == [None, "setosa", "versicolor", "virginica"]
    kept.write_text(report_to_json(first))
    again = verify(
        "iris",
        samples=(0, 30),
        method="ibp",
        max_width=Limit(2.0, "*"),
        min_accuracy="baseline",
        baseline=str(kept),
    )
    accuracy, width = again.gates
    assert (accuracy.limit, accuracy.baseline) == (first.summary.accuracy,) * 2
    assert width.baseline == pytest.approx(first.summary.max_width)
    assert again.max_width == pytest.approx(2 * first.summary.max_width)
    assert (again.exit_status, bool(again.exceeded)) == (
        (1, True) if width.verdict.value == "failed" else (0, False)
    )


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"min_certified": 2}, BadSetting),
        ({"min_certified": math.nan}, BadSetting),
        ({"min_certified": "baseline"}, BadSetting),
        ({"baseline": "nowhere.json"}, BadSetting),
        ({"min_accuracy": 0.5, "baseline": "nowhere.json"}, BadData),
        ({"min_accuracy": 0.5, "per_class": True, "samples": (0, 2)}, BadData),
    ],
)
def test_gates_that_cannot_be(settings, error):
    with pytest.raises(error):
        verify("iris", **settings)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"max_deviation": 50.0}, {"max_deviation": "passed"}),
        ({"max_deviation": [50.0, 0.0, 50.0]}, {"max_deviation": "failed"}),
        ({"output_range": (-50.0, 50.0)}, {"max_outside": "passed"}),
        ({"output_range": (0.0, 50.0)}, {"max_outside": "failed"}),
    ],
)
def test_limits_of_each_output_are_gates_too(settings, found):
    report = verify("iris", samples=(0, 2), **settings)
    assert {gate.name: str(gate.verdict) for gate in report.gates} == found
    assert report.exit_status == ("failed" in found.values())
    assert bool(report.exceeded) == ("failed" in found.values())
    written = json.loads(report_to_json(report))["gates"]
    assert {gate["name"]: gate["verdict"] for gate in written} == found


def test_without_labels_predictions_are_kept(tmp_path: Path):
    x = np.array([[5.1, 3.5, 1.4, 0.2]], dtype=np.float32)
    np.savez(tmp_path / "bare.npz", x=x)
    report = verify("iris", data=str(tmp_path / "bare.npz"), radius=0.01, min_certified=1)
    assert [(gate.name, str(gate.verdict)) for gate in report.gates] == [
        ("min_certified", "passed")
    ]
    with pytest.raises(BadData):
        verify("iris", data=str(tmp_path / "bare.npz"), radius=0.01, min_accuracy=0)
