"""Evaluations after trainings: checked before, kept beside the run, never made twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensverify.errors import InputError
from sensverify.runs.watch import Watch
from sensverify.scores import read_scores
from sensverify.scores.transfer import transfer
from sensverify.studies import train as trainings
from sensverify.studies.entries import read_entries
from sensverify.studies.evaluate import read_evaluate
from sensverify.studies.files import parse_study
from sensverify.studies.run import run_study
from sensverify.studies.study import Study

ASKED = {"corruptions": ["invert", "rotation"], "severities": [1, 3], "count": 6}


def document(evaluate: Any) -> dict[str, Any]:
    settings = {"epochs": 1, "batch_size": 8, "metric_samples": 0, "metric_bounds": "none"}
    return {
        "study": {"title": "T", "data": "images.npz", "model": "mlp-6", "loss": "base"}
        | {"seeds": [0]},
        "settings": {**settings, "pgd_steps": 1, "threads": 1},
        "expand": {"corruptions": ["invert", "rotation"], "trainings": ["standard", "each"]},
        "evaluate": evaluate,
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("evaluated")
    rng = np.random.default_rng(0)
    x, y = rng.random((24, 1, 8, 8), np.float32), np.arange(24) % 2
    np.savez(folder / "images.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    return parse_study(document(ASKED), folder=folder)


def rows(path: Path) -> dict[str, Any]:
    """A result without what follows from the clock and the place."""
    values = json.loads(path.read_text())
    model = values["models"][0]
    kept = {name: model[name] for name in ("clean", "corruptions", "missing")}
    for each in (row for found in kept.values() for row in found):
        each.pop("seconds", None)
    return {"sha256": model["model"]["sha256"], "samples": values["data"]["samples_sha256"], **kept}


def test_every_run_has_its_result_and_the_table_is_read(study: Study, tmp_path: Path) -> None:
    outcome = run_study(study, tmp_path)
    assert outcome.complete
    scores = read_scores([tmp_path])
    names = ["standard-seed0", "invert-seed0", "rotation-seed0"]
    assert sorted(each.name for each in scores.networks) == sorted(names)
    assert "test/ERR" in scores.measures
    assert {each.label for each in scores.shifts} >= {"invert/1", "rotation/3"}
    found = transfer(scores, standard="standard")
    roles = {(each.network, each.shift): each.role for each in found.cells}
    assert roles["invert-seed0", "invert"] == "own"
    alone = [tmp_path / "runs" / name / "evaluation.json" for name in names]
    assert sorted(each.name for each in read_scores(alone).networks) == sorted(names)


def test_killed_between_training_and_journal_nothing_is_done_twice(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(study, tmp_path / "whole")
    watch, calls = Watch(), 0
    true = trainings.evaluate_training

    def stops_in_the_second(*given: Any, **options: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls == 2:
            watch.stop()
        return true(*given, **options)

    monkeypatch.setattr(trainings, "evaluate_training", stops_in_the_second)
    out = tmp_path / "out"
    first = run_study(study, out, watch=watch)
    assert [each.key for each in first.entries] == ["standard-seed0"]
    assert not (out / "runs" / "invert-seed0" / "evaluation.json").exists()
    made = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/model.onnx")}
    evaluated = out / "runs" / "standard-seed0" / "evaluation.json"
    before = evaluated.stat().st_mtime_ns
    monkeypatch.setattr(trainings, "evaluate_training", true)
    assert run_study(study, out, resume=True).complete
    assert len(made) == 2
    assert all(path.stat().st_mtime_ns == when for path, when in made.items())
    assert evaluated.stat().st_mtime_ns == before
    for key in (each.key for each in read_entries(out)):
        path = Path("runs") / key / "evaluation.json"
        assert rows(out / path) == rows(tmp_path / "whole" / path)
        lines = (out / "runs" / key / "evaluation" / "journal.jsonl").read_text().splitlines()
        keys = [json.loads(line).get("key") for line in lines]
        assert len(keys) == len(set(keys))


def test_another_evaluation_is_another_study(study: Study, tmp_path: Path) -> None:
    run_study(replace(study, evaluate={}), tmp_path)
    assert "evaluate" not in json.loads((tmp_path / "study.json").read_text())
    with pytest.raises(InputError, match="holds another study: evaluate"):
        run_study(study, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "[evaluate] names nothing to do"),
        ({"count": 3}, "[evaluate] names nothing to do"),
        ({"corruptions": []}, "[evaluate] names nothing to do"),
        ({"corruption": ["invert"]}, "did you mean 'corruptions'"),
        ({"corruptions": "invert"}, "corruptions needs a list of names"),
        ({"corruptions": ["inverted"]}, "did you mean 'invert'"),
        ({"attacks": ["pdg"]}, "did you mean 'pgd'"),
        ({"attacks": ["pgd(step=3)"]}, "[evaluate]"),
        ({"certify": ["crwn"]}, "did you mean 'crown'"),
        ({"sequences": ["nothing-such"]}, "[evaluate]"),
        ({"measures": ["nothing-such"]}, "[evaluate]"),
        ({**ASKED, "count": 0}, "[evaluate]: `count`"),
        ({**ASKED, "severities": [1, "x"]}, "severities needs a list of numbers"),
        ({**ASKED, "severities": []}, "severities needs a list of numbers"),
        ({**ASKED, "radii": [0.1], "sigmas": [0.1]}, "give `radii` or `sigmas`, not both"),
        ({**ASKED, "radii": [float("nan")]}, "radii needs a list of numbers"),
        ({**ASKED, "sigmas": [-1]}, "`sigmas` must be finite"),
        ({**ASKED, "corrupted": 3}, "corrupted needs a name"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(asked: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_study(document(asked))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parts_that_are_not_named_are_left_out() -> None:
    assert read_evaluate(ASKED, "[evaluate]") == ASKED
