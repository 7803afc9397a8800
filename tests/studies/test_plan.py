"""Plans: what a study comes to, before any of it is done; runs that are one training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sensverify.scores.read import read_scores
from sensverify.studies.collect import collect
from sensverify.studies.entries import read_entries
from sensverify.studies.files import parse_study
from sensverify.studies.plan import StudyPlan, plan_study
from sensverify.studies.run import run_study
from sensverify.studies.study import Study

RUN = {"name": "base", "loss": "base"}


def study(**tables: Any) -> Study:
    head = {"title": "T", "data": "iris", "model": "mlp-6", "loss": "base", "seeds": [0, 1]}
    return parse_study({"study": {**head, **tables.pop("study", {})}, **tables})


def plan(**tables: Any) -> StudyPlan:
    return plan_study(study(**tables))


def test_trainings_and_evaluations_are_counted() -> None:
    evaluate = {
        "corruptions": ["rotation", "invert"],
        "severities": [1, 3, 5],
        "attacks": ["fgsm", "pgd", "cw"],
        "radii": [0, 0.1, "8/255"],
        "certify": ["ibp"],
        "measures": ["l2", "sparsity"],
    }
    grid = {"model": ["mlp-6", "mlp-7"], "batch_size": [8, 16, 32]}
    head = {"title": "T", "data": "iris", "loss": "base", "seeds": [0, 1]}
    found = plan_study(parse_study({"study": head, "grid": grid, "evaluate": evaluate}))
    assert (found.runs, found.seeds, found.trainings) == (6, 2, 12)
    # CW looks for the nearest input, at no radius; invert has one severity.
    assert found.tasks == {
        "attacks": 5, "proofs": 2, "corruptions": 4, "measures": 2
    }  # fmt: skip
    assert found.evaluations == 12 * 13
    assert list(found.lines()) == [
        "12 trainings: 6 runs with 2 seeds",
        "156 evaluations: of each network 5 attacks, 2 proofs, 4 corruptions, 2 measures",
    ]


def test_one_is_said_as_one() -> None:
    found = plan(runs=[RUN], evaluate={"attacks": ["fgsm"], "radii": [0.1]}, study={"seeds": [0]})
    assert list(found.lines()) == [
        "1 training: 1 run with 1 seed", "1 evaluation: of each network 1 attack"
    ]  # fmt: skip


def test_what_a_run_is() -> None:
    found = plan(grid={"batch_size": [8, 16]}, settings={"epochs": 3})
    assert list(found.lines()) == ["4 trainings: 2 runs with 2 seeds"]
    terms = study(runs=[RUN]).runs[0].terms
    assert found.described["batch-size-8"] == [terms, "batch_size 8"]


def test_counts_are_those_of_an_evaluation(tmp_path: Path) -> None:
    evaluate = {"attacks": ["fgsm"], "radii": [0.1, 0.2], "measures": ["l2"], "count": 5}
    settings = {"epochs": 1, "metric_samples": 0, "metric_bounds": "none", "threads": 1}
    asked = study(runs=[RUN], evaluate=evaluate, settings=settings, study={"seeds": [0]})
    run_study(asked, tmp_path)
    values = json.loads((tmp_path / "runs" / "base-seed0" / "evaluation.json").read_text())
    (model,) = values["models"]
    (entry,) = read_entries(tmp_path)
    assert entry.all_seconds > entry.seconds > 0
    assert collect(tmp_path).losses["base"]["time"].endswith(" an evaluation")
    assert plan_study(asked).tasks == {
        "attacks": len(model["attacks"]), "measures": len(model["measures"])
    }  # fmt: skip


def test_runs_that_are_one_training_are_made_once(tmp_path: Path) -> None:
    same = [RUN, {"name": "plain", "loss": "cross-entropy + 1e-5*l2"}]
    other = {"name": "smooth", "loss": "label-smoothing"}
    settings = {"epochs": 1, "metric_samples": 5, "metric_bounds": "none", "threads": 1}
    asked = study(runs=[*same, other], settings=settings)
    assert asked.twins == {"plain": "base"}
    found = plan_study(asked)
    assert (found.runs, found.trainings) == (3, 4)
    assert "plain is the same training as base, and is made once" in found.lines()
    outcome = run_study(asked, tmp_path)
    assert outcome.complete
    names = ["base-seed0", "base-seed1", "smooth-seed0", "smooth-seed1"]
    entries = read_entries(tmp_path)
    assert sorted(each.key for each in entries) == names
    assert {each.all_seconds for each in entries} == {each.seconds for each in entries}
    scores = read_scores([tmp_path])
    assert [(each.name, each.aliases) for each in scores.networks] == [
        ("base-seed0", ("plain-seed0",)), ("smooth-seed0", ()),
        ("base-seed1", ("plain-seed1",)), ("smooth-seed1", ()),
    ]  # fmt: skip
    assert sorted(each.name for each in (tmp_path / "runs").iterdir()) == names


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"epochs": 7}},
        {"settings": {"optimiser": "sgd(lr=0.1)"}},
        {"loss": "cross-entropy + 2e-5*l2"},
    ],
)
def test_what_differs_is_trained_twice(change: dict[str, Any]) -> None:
    assert not study(runs=[RUN, {**RUN, "name": "other", **change}]).twins


def test_other_data_or_models_are_other_trainings() -> None:
    head = {"title": "T", "loss": "base", "seeds": [0]}
    grid = {"data": ["iris", "wine"], "model": ["mlp-6", "mlp-7"]}
    assert len(parse_study({"study": head, "grid": grid}).trainings) == 4
