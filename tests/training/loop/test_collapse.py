"""The alarm for networks that have become constant."""

from __future__ import annotations

import numpy as np
import pytest

from sensverify.errors import TrainingFailed
from sensverify.training.loop.collapse import CollapseAlarm, looks_collapsed

LABELS = np.arange(100) % 4
CONSTANT = np.full(100, 2)
ENTROPY = float(np.log(4))


@pytest.mark.parametrize(
    ("predictions", "labels", "loss", "expected"),
    [
        (CONSTANT, LABELS, ENTROPY, True),
        (CONSTANT, LABELS, 40.0, True),
        (CONSTANT, LABELS, float("nan"), True),
        # It has learnt something, though one class still wins everywhere.
        (CONSTANT, LABELS, 0.9 * ENTROPY, False),
        (LABELS, LABELS, ENTROPY, False),
        # Nearly all labels are of that class.
        (CONSTANT, np.where(np.arange(100) < 95, 2, 1), 0.5, False),
    ],
)
def test_one_look(predictions: np.ndarray, labels: np.ndarray, loss: float, expected: bool) -> None:
    assert looks_collapsed(predictions, labels, loss) == expected


def collapsed(alarm: CollapseAlarm, step: int, done: float = 0.1) -> None:
    alarm.look(CONSTANT, LABELS, ENTROPY, step, done=done)


def better(alarm: CollapseAlarm, step: int, done: float = 0.1) -> None:
    alarm.look(LABELS, LABELS, ENTROPY, step, done=done)


def test_it_goes_off_after_three_epochs_and_a_hundred_steps() -> None:
    alarm = CollapseAlarm()
    better(alarm, 30)
    for step in range(50, 150, 20):
        collapsed(alarm, step)
    with pytest.raises(TrainingFailed, match=r"has collapsed: .* gives class 2"):
        collapsed(alarm, 150)
    alarm = CollapseAlarm()
    better(alarm, 0)
    collapsed(alarm, 1000)
    collapsed(alarm, 2000)
    with pytest.raises(TrainingFailed):
        collapsed(alarm, 3000)


def test_one_good_epoch_begins_the_count_again() -> None:
    alarm = CollapseAlarm()
    for step in range(0, 10_000, 1000):
        (better if step % 3000 == 2000 else collapsed)(alarm, step, done=0.9)


def test_what_was_never_better_has_half_of_the_training() -> None:
    alarm = CollapseAlarm()
    for step in range(0, 500, 10):
        collapsed(alarm, step, done=step / 1000)
    with pytest.raises(TrainingFailed, match="has not left the constant"):
        collapsed(alarm, 500, done=0.5)


def test_a_training_that_got_better_late_and_collapses_is_seen_at_once() -> None:
    alarm = CollapseAlarm()
    for step in range(0, 200, 10):
        collapsed(alarm, step, done=step / 1000)
    better(alarm, 200)
    collapsed(alarm, 210)
    collapsed(alarm, 260)
    with pytest.raises(TrainingFailed, match="has collapsed"):
        collapsed(alarm, 310)


def test_what_earlier_checkpoints_kept_of_it_is_read() -> None:
    assert CollapseAlarm(**{"looks": 2, "since": 40}) == CollapseAlarm(2, 40, better=False)
