"""The JSON of an evaluation: everything in the rows, finite, and what follows from them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sensverify.classification.predictions import Bin, Classified
from sensverify.evaluation.curves import worst_curve
from sensverify.evaluation.results import (
    AttackRow,
    CertifiedRow,
    CleanRow,
    CorruptionRow,
    Evaluation,
    MeasureRow,
    Missing,
    SequenceRow,
)
from sensverify.evaluation.scores import summarise
from sensverify.report.evaluation.json import SCHEMA, evaluation_to_json

Make = Callable[..., Evaluation]
ROWS: dict[str, Any] = {
    "clean": CleanRow,
    "attacks": AttackRow,
    "certified": CertifiedRow,
    "corruptions": CorruptionRow,
    "sequences": SequenceRow,
    "measures": MeasureRow,
    "missing": Missing,
}


def rebuilt(kind: Any, values: dict[str, Any]) -> Any:
    """A row from its JSON."""
    fields = {name: values[name] for name in kind.__dataclass_fields__}
    for name, value in fields.items():
        if name == "classified":
            fields[name] = Classified(
                tuple(map(tuple, value["confusion"])),
                tuple(Bin(**each) for each in value["bins"]),
            )
        elif isinstance(value, list):
            fields[name] = tuple(value)
    return kind(**fields)


def test_every_row_comes_back(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("a", "b"), network={"samples": 40})
    found = json.loads(evaluation_to_json(evaluation))
    assert found["schema"] == SCHEMA
    for model, values in zip(evaluation.models, found["models"], strict=True):
        for name, kind in ROWS.items():
            assert tuple(rebuilt(kind, row) for row in values[name]) == getattr(model, name)


def test_what_was_asked_is_there(make_evaluation: Make) -> None:
    evaluation = make_evaluation()
    found = json.loads(evaluation_to_json(evaluation))
    assert found["data"]["name"] == evaluation.data
    assert found["data"]["samples"] == evaluation.samples
    assert found["class_names"] == list(evaluation.classes)
    assert found["data"]["samples_sha256"] == evaluation.samples_sha256
    assert found["labels"] == list(evaluation.labels)
    assert found["gates"] == found["comparisons"] == []
    for name in ("radius_unit", "settings", "reference", "machine", "device", "seed", "baseline"):
        assert found[name] == getattr(evaluation, name)
    assert found["versions"] == evaluation.record.versions
    assert found["radii"] == list(evaluation.radii)
    assert found["clip"] == [0.0, 1.0]
    assert found["interrupted"] is False


def test_scores_follow_with_their_intervals(make_evaluation: Make) -> None:
    evaluation = make_evaluation()
    (model,) = evaluation.models
    scores = json.loads(evaluation_to_json(evaluation))["models"][0]["scores"]
    (summary,) = summarise(evaluation)
    assert scores["summary"]["clean"]["share"] == summary.clean.share
    assert (scores["summary"]["clean"]["lower"], scores["summary"]["clean"]["upper"]) == (
        summary.clean.interval
    )
    (worst,) = (line for line in scores["lines"] if line["kind"] == "worst")
    curve = worst_curve(model, evaluation.radii)
    assert [(p["radius"], p["rate"]["count"]) for p in worst["points"]] == [
        (point.radius, point.rate.count) for point in curve
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_are_finite(make_evaluation: Make, value: float) -> None:
    evaluation = make_evaluation()
    (model,) = evaluation.models
    row = replace(model.measures[0], value=value)
    broken = replace(evaluation, models=(replace(model, measures=(row,)),))
    with pytest.raises(ValueError, match="JSON"):
        evaluation_to_json(broken)


def test_it_is_the_json_that_the_library_reads_and_writes(make_evaluation: Make) -> None:
    text = evaluation_to_json(make_evaluation(data='say "é"\n', settings={}))
    assert text.endswith("}\n")
    again = json.loads(text)
    assert json.loads(json.dumps(again)) == again
    # Rows of a confusion matrix stand on one line.
    assert max(map(len, text.splitlines())) > 100
    assert len(text.splitlines()) < len(text) / 20
