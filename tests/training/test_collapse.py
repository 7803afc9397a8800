"""The alarm for networks that have become constant."""

from __future__ import annotations

import numpy as np
import pytest

from sensverify.errors import TrainingFailed
from sensverify.training.collapse import CollapseAlarm, looks_collapsed

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


def test_it_goes_off_after_three_epochs_and_a_hundred_steps() -> None:
    alarm = CollapseAlarm()
    for step in range(50, 150, 20):
        alarm.look(CONSTANT, LABELS, ENTROPY, step)
    with pytest.raises(TrainingFailed, match="gives class 2"):
        alarm.look(CONSTANT, LABELS, ENTROPY, 150)
    alarm = CollapseAlarm()
    alarm.look(CONSTANT, LABELS, ENTROPY, 1000)
    alarm.look(CONSTANT, LABELS, ENTROPY, 2000)
    with pytest.raises(TrainingFailed):
        alarm.look(CONSTANT, LABELS, ENTROPY, 3000)


def test_one_good_epoch_begins_the_count_again() -> None:
    alarm = CollapseAlarm()
    for step in range(0, 10_000, 1000):
        good = step % 3000 == 2000
        alarm.look(LABELS if good else CONSTANT, LABELS, ENTROPY, step)
