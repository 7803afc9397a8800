"""A result of every kind, small, as commands write them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import sensverify as sv
from sensverify import verification
from sensverify.evaluation import calibrate_temperature
from sensverify.registry.calls import Call
from sensverify.report.benchmark.json import benchmark_to_json
from sensverify.report.certificates.json import check_to_json
from sensverify.report.scores.document import Analysed
from sensverify.report.scores.json import analysis_to_json
from sensverify.report.slopes.json import slopes_to_json
from sensverify.report.training.json import training_to_json
from sensverify.report.verification.property import property_to_json
from sensverify.scores import Source
from sensverify.scores.transfer import transfer
from sensverify.training import fit
from tests.report.benchmark.test_document import found, made
from tests.report.certificates.test_certified import checked_report
from tests.report.verification.test_property import REPORT
from tests.scores.conftest import table as scores_table
from tests.training.trainings import blobs, plain_model, quick


@cache
def _texts() -> dict[str, str]:
    evaluated = sv.evaluate(
        "iris",
        count=6,
        train_samples=0,
        attacks=("fgsm",),
        corruptions=(),
        sequences=(),
        measures=(),
        min_accuracy="10%",
    )
    trained = fit(plain_model(), blobs(), "base", quick(epochs=1, metric_samples=0))
    scores = scores_table({"standard": {"fog": 0.5}, "fog": {"fog": 0.9}})
    analysed = Analysed(
        scores=replace(scores, sources=(Source("folder/scores.csv", "csv", "0" * 64),)),
        call=Call("transfer"),
        result=transfer(scores),
    )
    return {
        "analyse": analysis_to_json(analysed),
        "benchmark": benchmark_to_json(made([found("a", "sat", expected="sat")])),
        "calibrate": calibrate_temperature("digits", "digits").to_json(),
        "check": check_to_json(checked_report()),
        "critical-radius": verification.critical_radius(
            "iris", sigma=0.05, samples=(0, 2)
        ).to_json(),
        "diff": verification.diff("iris", "iris", samples=(0, 2)).to_json(),
        "evaluate": evaluated.to_json(),
        "property": property_to_json(REPORT),
        "slopes": slopes_to_json(verification.slopes("iris", sigma=0.01, samples=(0, 1))),
        "train-result": training_to_json(trained),
        "verify": sv.verify("iris", samples=(20, 22), max_width=1e-3).to_json(),
    }


KINDS = (
    "analyse",
    "benchmark",
    "calibrate",
    "check",
    "critical-radius",
    "diff",
    "evaluate",
    "property",
    "slopes",
    "train-result",
    "verify",
)


def result(kind: str) -> dict[str, Any]:
    """A fresh copy of the values of a result."""
    values: dict[str, Any] = json.loads(_texts()[kind])
    return values


def write(path: Path, values: Any) -> Path:
    """Write values as JSON, in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def write_page(path: Path, title: str) -> Path:
    """Write what begins as a page of ours."""
    from sensverify.report.document import Document
    from sensverify.report.html import document_to_html

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document_to_html(Document(title=title, heading=title)), encoding="utf-8")
    return path
