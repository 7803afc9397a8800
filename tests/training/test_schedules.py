"""Schedules of the learning rate: by progress, by epochs, and by what a training has reached."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sensverify.errors import BadSetting, InputError, UnknownName
from sensverify.runs.watch import Watch
from sensverify.training import Progress, TrainSettings, fit
from sensverify.training.schedules import SCHEDULES, Plateau, PlateauState, make_schedule
from tests.training.trainings import blobs, plain_model, quick, rows, same_weights


def test_names_that_are_not_there() -> None:
    words = "constant, cosine, milestones, one-cycle, plateau, step"
    with pytest.raises(UnknownName, match=words):
        SCHEDULES.make("exponential")


def test_schedules() -> None:
    assert {SCHEDULES.make("constant")(p) for p in (0.0, 0.5, 1.0)} == {1.0}
    cosine = SCHEDULES.make("cosine")
    assert [cosine(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.5, 0])
    cycle = SCHEDULES.make("one-cycle(warmup=0.4)")
    assert [cycle(p) for p in (0.0, 0.4, 1.0)] == pytest.approx([0.04, 1, 4e-6])
    steps = SCHEDULES.make("step(every=0.1, factor=0.5)")
    assert [steps(k / 10) for k in range(10)] == pytest.approx([0.5**k for k in range(10)])


@pytest.mark.parametrize("text", ["constant", "cosine", "one-cycle", "one-cycle(warmup=1)", "step"])
def test_a_share_of_the_rate_is_a_share(text: str) -> None:
    schedule = SCHEDULES.make(text)
    assert all(0 < schedule(k / 1000) <= 1 for k in range(1000))


@pytest.mark.parametrize(
    "text", ["one-cycle(warmup=0)", "step(every=2)", "step(factor=0)", "cosine(a=1)"]
)
def test_schedules_that_cannot_be(text: str) -> None:
    with pytest.raises(BadSetting):
        SCHEDULES.make(text)


def factors(text: str, epochs: int, batches: int = 7) -> list[float]:
    """The factor in force at the first and the last step of every epoch."""
    schedule = make_schedule(text, epochs)
    assert callable(schedule)
    steps = epochs * batches
    ends = [[schedule((k * batches + j) / steps) for j in (0, batches - 1)] for k in range(epochs)]
    assert all(first == last for first, last in ends)
    return [first for first, _ in ends]


def test_milestones_in_epochs() -> None:
    """Laugros, Section 3.3.3.2: the rate is divided by 10 after epochs 30, 60 and 80 of 90."""
    found = factors("milestones(at=(30, 60, 80))", 90)
    expected = [1.0] * 30 + [0.1] * 30 + [0.01] * 20 + [0.001] * 10
    assert found == pytest.approx(expected)
    assert factors("milestones(at=(1), factor=0.5)", 3) == [1.0, 0.5, 0.5]


def test_milestones_as_shares() -> None:
    found = factors("milestones", 8)
    assert found == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("milestones(at=(60, 30))", "in order"),
        ("milestones(at=(30, 30))", "in order"),
        ("milestones(at=(0.5, 2))", "shares"),
        ("milestones(at=(1.5, 2))", "whole numbers"),
        ("milestones(at=())", "whole numbers"),
        ("milestones(at=(0, 3))", "above 0"),
        ("milestones(at=(5, 90))", "after epoch 90"),
        ("milestones(at=(30), factor=0)", "factor"),
        ("plateau(of=accuracy)", "held-out-error"),
        ("plateau(patience=-1)", "patience"),
        ("plateau(factor=2)", "factor"),
        ("plateau(of=held-out-loss)", "`hold_out`"),
    ],
)
def test_what_cannot_be(text: str, words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        TrainSettings(schedule=text, epochs=90)


def test_a_plateau_of_what_is_not_measured() -> None:
    settings: dict[str, Any] = {"schedule": "plateau(of=held-out-error)", "hold_out": 10}
    TrainSettings(**settings)
    for changes in ({"metric_every": 2}, {"metric_samples": 0}):
        with pytest.raises(BadSetting, match="after every epoch"):
            TrainSettings(**settings, **changes)


def followed(schedule: Plateau, values: list[float]) -> list[float]:
    state, found = PlateauState(), []
    for value in values:
        state = schedule.after(state, value)
        found.append(state.factor)
    return found


def test_the_rate_falls_where_nothing_gets_better() -> None:
    schedule = Plateau(patience=1, factor=0.5, threshold=0.1, least=0.2)
    # .95 is not a tenth below 1; 0.5 is, and begins to wait anew.
    assert followed(schedule, [1.0, 0.95, 0.93, 0.5, 0.5, 0.49, 0.48, 0.48, 0.48, 0.48]) == [
        1.0,
        1.0,
        0.5,
        0.5,
        0.5,
        0.25,
        0.25,
        0.2,
        0.2,
        0.2,
    ]
    assert followed(Plateau(patience=0), [0.0, 0.0]) == [1.0, 0.1]
    assert followed(Plateau(patience=0), [1.0, float("nan")]) == [1.0, 0.1]


def test_a_rate_that_is_low_is_not_raised() -> None:
    state = PlateauState(best=0.0, waited=9, factor=1e-6)
    assert Plateau(least=1e-4).after(state, 1.0).factor == 1e-6


def rates(folder: Path) -> list[float]:
    return [float(row["learning rate"]) for row in rows(folder / "metrics.csv")]


STALE = quick(
    epochs=6,
    optimiser="sgd(lr=1e-7)",
    schedule="plateau(patience=1, factor=0.5, threshold=0.5)",
    checkpoint_seconds=60.0,
    metric_samples=0,
)


@pytest.mark.parametrize("of", ["loss", "error", "held-out-loss", "held-out-error"])
def test_a_training_that_does_not_move(tmp_path: Path, of: str) -> None:
    schedule = f"plateau(of={of}, patience=1, factor=0.5, threshold=0.5)"
    settings = replace(STALE, schedule=schedule, hold_out=9, metric_samples=9, metrics=())
    fit(plain_model(), blobs(), "base", settings, out=tmp_path)
    # The first epoch is the best; the rate falls after the third and the fifth.
    assert rates(tmp_path) == pytest.approx([1e-7, 1e-7, 1e-7, 5e-8, 5e-8, 2.5e-8])


@pytest.mark.parametrize("stop", [10, 14, 16])
def test_stopped_and_resumed_it_falls_where_it_would_have(tmp_path: Path, stop: int) -> None:
    settings = replace(STALE, optimiser="sgd(lr=0.05, momentum=0.9)")
    whole = fit(plain_model(), blobs(), "base", settings, out=tmp_path / "whole")
    watch, out = Watch(), tmp_path / "broken"

    def listen(now: Progress) -> None:
        if now.step == stop:
            watch.stop()

    first = fit(plain_model(), blobs(), "base", settings, out=out, watch=watch, progress=listen)
    assert first.interrupted
    again = fit(plain_model(), blobs(), "base", settings, out=out, resume=True)
    assert same_weights(again.module, whole.module)
    assert rates(out) == rates(tmp_path / "whole")
    assert len(set(rates(out))) > 1


def test_an_error_that_the_loss_does_not_compute(tmp_path: Path) -> None:
    settings = replace(STALE, schedule="plateau(of=error)")
    with pytest.raises(InputError, match="of=loss"):
        fit(plain_model(), blobs(), "mixup", settings, out=tmp_path)
