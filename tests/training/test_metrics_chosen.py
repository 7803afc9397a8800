"""Metrics of a training are those that were asked for, after epochs, after steps and at the end."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from sensverify.bounds import LpDual
from sensverify.errors import BadSetting, InputError, UnknownName, UnsupportedOperator
from sensverify.measures import METRICS
from sensverify.runs.watch import Watch
from sensverify.training import Progress, TrainSettings, fit
from tests.odd import Tangent
from tests.training.trainings import blobs, plain_model, quick, rich_model, rows, same_weights

SMALL = {"epochs": 1, "checkpoint_seconds": 60.0, "metric_samples": 12}


def taken(**settings: Any) -> set[str]:
    found = fit(plain_model(), blobs(), "base", quick(**SMALL, **settings)).metrics_test
    assert found is not None
    return {name for name, value in found.row().items() if value is not None}


def test_those_that_are_named_beside_the_two_that_cost_nothing() -> None:
    assert taken(metrics=("PGD_ERR",)) == {"CE", "ERR", "PGD_ERR"}
    assert taken(metrics=()) == {"CE", "ERR"}
    assert taken(metrics=("CROWN_ERR", "JACOB")) == {"CE", "ERR", "JACOB", "CROWN_ERR"}
    assert taken() == set(METRICS)


def test_without_bounds_nothing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("sensverify.classification.classifier.Classifier.bound", never)
    assert taken(metric_bounds="none") == {"CE", "ERR", "JACOB", "SPECTRAL", "PGD_ERR"}


def test_the_values_do_not_depend_on_what_else_is_asked() -> None:
    settings: dict[str, Any] = SMALL | {"epochs": 2}
    every, some = (
        fit(plain_model(), blobs(), "base", quick(**settings, metrics=names)).metrics_test
        for names in (None, ("ADV_ERR", "SENSE"))
    )
    assert every is not None
    assert some is not None
    assert asdict(some) == asdict(every.only(["ADV_ERR", "SENSE"]))


def test_by_another_method(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    tight = fit(plain_model(), blobs(), "base", quick(**SMALL)).metrics_test
    monkeypatch.setattr(LpDual, "bound", never)
    loose = fit(plain_model(), blobs(), "base", quick(**SMALL, metric_bounds="ibp")).metrics_test
    assert tight is not None
    assert loose is not None
    assert loose.crown_err is None
    assert loose.log_sense is not None
    assert tight.log_sense is not None
    assert loose.log_sense > tight.log_sense


def test_columns_are_those_that_are_taken(tmp_path: Path) -> None:
    settings = quick(**SMALL, metrics=("PGD_ERR", "CROWN_ERR"))
    fit(plain_model(), blobs(), "base", settings, out=tmp_path)
    (row,) = rows(tmp_path / "metrics.csv")
    names = ("CE", "ERR", "PGD_ERR")
    expected = {f"{part} {name}" for part in ("train", "test") for name in names}
    assert {name for name in row if name.startswith(("train ", "test "))} == expected
    assert not (tmp_path / "step-metrics.csv").exists()


def test_after_every_so_many_steps(tmp_path: Path) -> None:
    settings = quick(epochs=4, metric_every=2, metric_every_steps=3, checkpoint_seconds=60.0)
    fit(plain_model(), blobs(), "base", settings, out=tmp_path)
    found = rows(tmp_path / "step-metrics.csv")
    # Four steps an epoch: the twelfth ends the third, whose own metrics are not taken.
    assert [(row["step"], row["epoch"]) for row in found] == [
        ("3", "1"),
        ("6", "2"),
        ("9", "3"),
        ("12", "3"),
        ("15", "4"),
    ]
    epochs = rows(tmp_path / "metrics.csv")
    assert [bool(row["test SENSE"]) for row in epochs] == [False, True, False, True]
    assert all(row["test SENSE"] for row in found)


@pytest.mark.parametrize("stop", [3, 6, 7, 12])
def test_stopped_and_resumed_the_rows_are_the_same(tmp_path: Path, stop: int) -> None:
    settings = quick(epochs=4, metric_every_steps=3, checkpoint_seconds=60.0)
    whole = fit(rich_model(), blobs(), "base", settings, out=tmp_path / "whole")
    watch = Watch()

    def listen(now: Progress) -> None:
        if now.step == stop:
            # Metrics that are due after this step are left off in the middle.
            watch.stop()

    out = tmp_path / "broken"
    first = fit(rich_model(), blobs(), "base", settings, out=out, watch=watch, progress=listen)
    assert first.interrupted
    again = fit(rich_model(), blobs(), "base", settings, out=out, resume=True)
    assert same_weights(again.module, whole.module)
    for name in ("metrics.csv", "steps.csv", "step-metrics.csv"):
        assert rows(out / name) == rows(tmp_path / "whole" / name), name


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"metrics": ["PGDERR"]}, UnknownName, "did you mean 'PGD_ERR'"),
        ({"metrics": ["SENSE"]}, BadSetting, "how far"),
        ({"metrics": ["CROWN_ERR"]}, BadSetting, "how far"),
        ({"metrics": ["ADV_ERR"], "sigma": 0.1, "metric_bounds": "none"}, BadSetting, "ADV_ERR"),
        ({"metrics": [3]}, BadSetting, "`metrics` takes"),
        ({"metric_bounds": "lpdual"}, UnknownName, "`metric_bounds`.*lp-dual"),
        ({"metric_bounds": "crown(deep=1)"}, BadSetting, "deep"),
        ({"metric_every_steps": 0}, BadSetting, "`metric_every_steps` takes"),
        ({"metric_every_steps": 5, "metric_samples": 0}, BadSetting, "`metric_samples`"),
    ],
)
def test_what_cannot_be(values: dict[str, Any], error: type[InputError], words: str) -> None:
    with pytest.raises(error, match=words):
        TrainSettings.of(values)


def test_metrics_that_a_network_cannot_have() -> None:
    module = nn.Sequential(nn.Linear(4, 6), Tangent(), nn.Linear(6, 3))
    with pytest.raises(UnsupportedOperator, match="SPECTRAL"):
        fit(module, blobs(), "base", quick(**SMALL, metrics=("SPECTRAL",)))
