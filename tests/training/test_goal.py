"""Trainings until a cross-entropy: they end there, resumed or not, and say where they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sensverify.errors import BadSetting
from sensverify.runs.watch import Watch
from sensverify.studies.collect import collect
from sensverify.studies.files import parse_study
from sensverify.studies.run import run_study
from sensverify.training import fit
from sensverify.training.loop.goal import is_reached
from tests.training.trainings import blobs, plain_model, quick, same_weights

GOAL = 0.3


def test_it_ends_after_the_first_epoch_that_reaches_the_goal(tmp_path: Path) -> None:
    settings = quick(epochs=40, metric_bounds="none")
    long = fit(plain_model(), blobs(), "base", settings)
    first = next(n for n, row in enumerate(long.course, 1) if row["train CE"] <= GOAL)
    assert 1 < first < 40
    asked = replace(settings, until_cross_entropy=GOAL)
    found = fit(plain_model(), blobs(), "base", asked, out=tmp_path / "whole")
    assert (found.epochs, found.interrupted, found.missed) == (first, False, None)
    assert len(found.course) == first
    exact = fit(plain_model(), blobs(), "base", replace(settings, epochs=first))
    assert same_weights(found.module, exact.module)


def test_a_stopped_one_ends_at_the_same_epoch(tmp_path: Path) -> None:
    settings = quick(epochs=40, until_cross_entropy=GOAL, metric_bounds="none")
    whole = fit(plain_model(), blobs(), "base", settings)
    watch, out = Watch(), tmp_path / "run"
    part = fit(
        plain_model(), blobs(), "base", settings, out=out, watch=watch,
        progress=lambda now: watch.stop() if now.epoch == 2 else None,
    )  # fmt: skip
    assert part.interrupted
    assert part.missed is None
    found = fit(plain_model(), blobs(), "base", settings, out=out, resume=True)
    assert (found.epochs, found.missed) == (whole.epochs, None)
    assert same_weights(found.module, whole.module)
    # Killed before its result was written, it makes no further epoch.
    (out / "result.json").unlink()
    again = fit(plain_model(), blobs(), "base", settings, out=out, resume=True)
    assert (again.epochs, again.steps) == (whole.epochs, whole.steps)
    assert same_weights(again.module, whole.module)


def test_a_goal_that_is_missed_is_said() -> None:
    settings = quick(epochs=2, until_cross_entropy=1e-9, metric_bounds="none")
    found = fit(plain_model(), blobs(), "base", settings)
    assert (found.epochs, found.interrupted) == (2, False)
    assert found.missed is not None
    assert found.missed.startswith("a cross-entropy of 1e-09 was not reached in 2 epochs: it is ")
    assert (
        fit(plain_model(), blobs(), "base", replace(settings, until_cross_entropy=None)).missed
        is None
    )


@pytest.mark.parametrize(
    ("found", "reached"), [(0.1, True), (0.05, True), (0.11, False), (float("nan"), False)]
)
def test_at_most_and_never_by_nan(found: float, reached: bool) -> None:
    settings = quick(until_cross_entropy=0.1)
    assert is_reached(settings, {"train CE": found}) is reached
    assert not is_reached(settings, {})
    assert not is_reached(quick(), {"train CE": found})


def test_of_both_goals_both_have_to_be_reached() -> None:
    error = quick(until_error=0.1)
    assert is_reached(error, {"train ERR": 0.1})
    assert not is_reached(error, {"train ERR": 0.2, "train CE": 0.0})
    both = quick(until_error=0.1, until_cross_entropy=0.5)
    assert is_reached(both, {"train ERR": 0.0, "train CE": 0.5})
    for missing in ({"train ERR": 0.0}, {"train CE": 0.1}, {"train ERR": 0.0, "train CE": 0.6}):
        assert not is_reached(both, missing)


def test_it_ends_at_an_error() -> None:
    settings = quick(epochs=40, metric_bounds="none")
    long = fit(plain_model(), blobs(), "base", settings)
    first = next(n for n, row in enumerate(long.course, 1) if row["train ERR"] == 0)
    found = fit(plain_model(), blobs(), "base", replace(settings, until_error=0))
    assert (found.epochs, found.missed) == (first, None)
    both = replace(settings, epochs=1, until_error=0, until_cross_entropy=1e-9)
    missed = fit(plain_model(), blobs(), "base", both).missed
    assert missed is not None
    assert [text.split(" was ")[0] for text in missed.split("; ")] == [
        "a cross-entropy of 1e-09", "an error of 0"
    ]  # fmt: skip


def test_what_contradicts_a_goal() -> None:
    with pytest.raises(BadSetting, match="`until_error` looks at metrics"):
        quick(until_error=0.1, metric_samples=0)
    for wrong in (-0.1, 1, float("nan"), "x"):
        with pytest.raises(BadSetting, match="`until_error`"):
            quick(until_error=wrong)
    with pytest.raises(BadSetting, match="`until_cross_entropy` looks at metrics"):
        quick(until_cross_entropy=0.1, metric_samples=0)
    for wrong in (0, -1, float("nan"), "x"):
        with pytest.raises(BadSetting, match="`until_cross_entropy`"):
            quick(until_cross_entropy=wrong)


def test_a_study_names_what_has_not_reached_it(tmp_path: Path) -> None:
    settings = {"epochs": 3, "batch_size": 60, "metric_samples": 20, "final_samples": 10}
    settings |= {"pgd_steps": 1, "threads": 1, "metric_bounds": "none"}
    study = parse_study(
        {
            "study": {
                "title": "T", "data": "iris", "model": "mlp-6", "loss": "base", "seeds": [0]
            },
            "settings": settings,
            "grid": {"until_cross_entropy": [100, 1e-9]},
        }
    )  # fmt: skip
    entries = {each.run: each for each in run_study(study, tmp_path).entries}
    reached, missed = entries["until-cross-entropy-100"], entries["until-cross-entropy-1e-09"]
    assert (reached.epochs, reached.missed) == (1, "")
    assert (missed.epochs, missed.status) == (3, "done")
    (warning,) = collect(tmp_path).warnings
    assert warning.startswith("until-cross-entropy-1e-09, seed 0: a cross-entropy of 1e-09 was not")
    kept = json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[-1])
    assert kept["missed"] == missed.missed
