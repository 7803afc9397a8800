"""The CSV tables of an evaluation hold what its rows hold."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from statistics import fmean, median
from typing import Any

import pytest

from sensverify.evaluation.curves import worst_curve
from sensverify.evaluation.results import Evaluation, Missing
from sensverify.report.evaluation.document import evaluation_document
from sensverify.report.tabular import document_to_csv
from tests.report.shown import evaluation_tables

Make = Callable[..., Evaluation]


TABLES = (
    *("accuracy", "attacks", "samples", "pairs", "corruptions", "corruption-means"),
    *("sequences", "calibration", "confusion", "measures", "missing"),
)


def read_all(evaluation: Evaluation) -> dict[str, list[dict[str, str]]]:
    document, found = evaluation_document(evaluation), {}
    for name, text in document_to_csv(document).items():
        assert text.endswith("\r\n")
        found[name] = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        # No row is shorter or longer than the header.
        columns = set(document.data[name].columns)
        assert all(set(row) == columns and None not in row.values() for row in found[name])
    return found


def read(evaluation: Evaluation, name: str) -> list[dict[str, str]]:
    return read_all(evaluation)[name]


def known(values: Iterable[float | None]) -> list[float]:
    """The values without None."""
    return [value for value in values if value is not None]


def test_every_table_can_be_read(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("a", "b"))
    tables = read_all(evaluation)
    assert tuple(tables) == TABLES
    for row in tables.pop("pairs"):
        assert (row["first"], row["second"]) == ("a", "b")
    for rows in tables.values():
        assert {row["network"] for row in rows} == {"a", "b"}


def test_tables_without_rows_are_left_out(make_evaluation: Make) -> None:
    nothing: dict[str, Any] = {
        "attacks": {},
        "methods": {},
        "corruptions": {},
        "measures": (),
        "missing": (),
    }
    tables = evaluation_tables(make_evaluation(network={**nothing, "sequences": ()}))
    assert set(tables) == {"accuracy", "calibration", "confusion", "samples"}


def test_accuracy(make_evaluation: Make) -> None:
    evaluation = make_evaluation()
    (model,) = evaluation.models
    rows: dict[tuple[str, str, float | None], dict[str, str]] = {
        (row["kind"], row["name"], float(row["radius"])): row
        for row in read(evaluation, "accuracy")
    }
    for attack in model.attacks:
        row = rows.pop(("attack", attack.attack, attack.radius))
        assert int(row["count"]) == int(row["samples"]) - len(attack.broken)
        assert float(row["lower"]) <= float(row["share"]) <= float(row["upper"])
    for proven in model.certified:
        assert int(rows.pop(("certified", proven.method, proven.radius))["count"]) == len(
            proven.certified
        )
    for point in worst_curve(model, evaluation.radii)[1:]:
        assert int(rows.pop(("worst", "worst of all attacks", point.radius))["count"]) == (
            point.rate.count
        )
    assert {key[:2] for key in rows} == {("clean", "test"), ("clean", "train")}


def test_attacks(make_evaluation: Make) -> None:
    # So many that every attack breaks some at every radius.
    evaluation = make_evaluation(network={"samples": 500})
    (model,) = evaluation.models
    wrong = set(model.clean[0].wrong)
    for row, attack in zip(read(evaluation, "attacks"), model.attacks, strict=True):
        new = [place for place in attack.broken if place not in wrong]
        right = attack.classified.samples - len(wrong)
        assert float(row["success"]) == pytest.approx(len(new) / right)
        assert float(row["median_linf"]) == pytest.approx(
            median(known(attack.linf[k] for k in new))
        )


def test_success_over_all_samples(make_evaluation: Make) -> None:
    evaluation = replace(make_evaluation(network={"samples": 500}), success_of_all=True)
    (model,) = evaluation.models
    for row, attack in zip(read(evaluation, "attacks"), model.attacks, strict=True):
        every = {*model.clean[0].wrong, *attack.broken}
        assert float(row["success"]) == pytest.approx(len(every) / 500)


def test_samples(make_evaluation: Make) -> None:
    evaluation = make_evaluation(network={"samples": 60})
    (model,) = evaluation.models
    for place, row in enumerate(read(evaluation, "samples")):
        assert int(row["sample"]) == place
        assert row["right"] == str(place not in model.clean[0].wrong).lower()
        reach = known(each.reach[place] for each in model.attacks)
        assert row["broken_from"] == (repr(min(reach)) if reach else "")
        proven = [each.radius for each in model.certified if place in each.certified]
        assert row["certified_to"] == (repr(max(proven)) if proven else "")
        if reach and proven:
            assert float(row["certified_to"]) < float(row["broken_from"])


def test_corruptions(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("a", "b"))
    rows = read(evaluation, "corruptions")
    clean_of = {m.model.name: m.clean[0].classified.accuracy.share for m in evaluation.models}
    for row, found in zip(
        rows, (row for model in evaluation.models for row in model.corruptions), strict=True
    ):
        assert (row["corruption"], int(row["severity"])) == (found.corruption, found.severity)
        assert float(row["share"]) == found.classified.accuracy.share
        assert row["parameter"] == found.parameter
        if row["network"] == evaluation.reference:
            assert float(row["ce"]) == pytest.approx(100)
        clean, accuracy = clean_of[row["network"]], found.classified.accuracy.share
        assert float(row["residual"]) == pytest.approx(clean - accuracy)
        assert float(row["app"]) == pytest.approx(accuracy / clean)


def test_scores_of_a_severity_are_its_own_and_means_stand_apart(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("a", "b"))
    tables = read_all(evaluation)
    first, second = evaluation.models
    errors = {
        (row.corruption, row.severity): [
            1 - each.classified.accuracy.share for each in (row, other)
        ]
        for row, other in zip(second.corruptions, first.corruptions, strict=True)
    }
    own = [row for row in tables["corruptions"] if row["network"] == "b"]
    for row in own:
        mine, its = errors[row["corruption"], int(row["severity"])]
        assert float(row["ce"]) == pytest.approx(100 * mine / its)
    for row in tables["corruption-means"]:
        rows = [
            each
            for each in tables["corruptions"]
            if (each["network"], each["corruption"]) == (row["network"], row["corruption"])
        ]
        assert int(row["severities"]) == len(rows) == 5
        for name in ("residual", "app"):
            assert float(row[name]) == pytest.approx(fmean(float(each[name]) for each in rows))
        mine, its = (
            sum(errors[each["corruption"], int(each["severity"])][k] for each in rows)
            for k in (0, 1)
        )
        if row["network"] == "b":
            assert float(row["ce"]) == pytest.approx(100 * mine / its)


def test_confusion_and_calibration_add_up(make_evaluation: Make) -> None:
    evaluation = make_evaluation(network={"samples": 80})
    for name in ("confusion", "calibration"):
        sums: dict[tuple[str, ...], int] = {}
        for row in read(evaluation, name):
            case = row["kind"], row["name"], row["at"]
            sums[case] = sums.get(case, 0) + int(row["samples"])
        (model,) = evaluation.models
        cases = len(model.clean) + len(model.attacks) + len(model.corruptions)
        assert len(sums) == cases
        assert set(sums.values()) == {80}


def test_classes_without_names_are_numbers(make_evaluation: Make) -> None:
    evaluation = make_evaluation(network={"samples": 80}, classes=())
    assert {row["label"] for row in read(evaluation, "confusion")} == set(map(str, range(10)))


def test_measures_and_missing(make_evaluation: Make) -> None:
    evaluation = make_evaluation()
    (model,) = evaluation.models
    for row, measure in zip(read(evaluation, "measures"), model.measures, strict=True):
        assert float(row["value"]) == measure.value
        assert row["error"] == ("" if measure.error is None else repr(measure.error))
    for row, missing in zip(read(evaluation, "missing"), model.missing, strict=True):
        assert (row["key"], row["reason"]) == (missing.key, missing.reason)
        assert row["final"] == str(missing.final).lower()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_text_is_a_formula(make_evaluation: Make, text: str) -> None:
    evaluation = make_evaluation(network={"samples": 20})
    (model,) = evaluation.models
    facts: Any = replace(model.model, name=text)
    missing = (Missing(key="attack/x", reason=text),)
    evaluation = replace(evaluation, models=(replace(model, model=facts, missing=missing),))
    tables = read_all(evaluation)
    assert tuple(tables) == tuple(name for name in TABLES if name != "pairs")
    for rows in tables.values():
        assert rows
        assert all(row["network"].startswith("'") for row in rows)
    # A negative number stays one.
    assert any(float(row["value"]) < 0 for row in tables["measures"])


def test_texts_with_commas_quotes_and_lines(make_evaluation: Make) -> None:
    text = 'say "no",\nor: é, ✓'
    evaluation = make_evaluation(network={"missing": (Missing(key="a", reason=text),)})
    assert read(evaluation, "missing")[0]["reason"] == text
