"""Metrics over the epochs, from the files of run directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensverify.studies.courses import History, course, read_history, trail
from sensverify.studies.study import Training
from sensverify.training.settings import TrainSettings


def training(name: str = "a", seed: int = 0) -> Training:
    return Training(name, "base", TrainSettings(seed=seed))


def history(name: str, seed: int, *senses: float) -> History:
    rows = tuple(
        {"epoch": float(k), "test SENSE": sense, "test CE": sense}
        for k, sense in enumerate(senses, start=1)
    )
    return History(training(name, seed), rows)


def test_means_and_ranges() -> None:
    histories = [history("a", 0, 1, 10), history("a", 1, 100, 10, 3), history("b", 0, 2)]
    sense, entropy = (course(histories, metric, "test") for metric in ("SENSE", "CE"))
    assert [line.name for line in sense.lines] == ["a", "b"]
    # The third epoch has one seed only.
    assert sense.lines[0].epochs == (1, 2)
    assert sense.lines[0].mean == pytest.approx((10, 10))
    assert entropy.lines[0].mean == pytest.approx((50.5, 10))
    assert (entropy.lines[0].low, entropy.lines[0].high) == ((1, 10), (100, 10))
    assert sense.seeds == 2
    assert not course(histories, "ERR", "test").lines
    marked = course(histories, "CE", "test", marks={"a": (1.5,)})
    assert [line.marks for line in marked.lines] == [(1.5,), ()]


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    assert read_history(tmp_path, training()).rows == ()
    text = "epoch,step,test ERR\n1,2,0.5\n2,4,\n3,6,0."
    (tmp_path / "metrics.csv").write_text(text)
    assert read_history(tmp_path, training()).rows == (
        {"epoch": 1, "step": 2, "test ERR": 0.5},
        {"epoch": 2, "step": 4},
    )


def test_volumes_that_no_double_holds_are_not_drawn() -> None:
    rows = ({"epoch": 1.0, "test LOG_SENSE": 2000.0}, {"epoch": 2.0, "test LOG_SENSE": 0.0})
    assert History(training(), rows).column("test", "SENSE") == {2.0: 1.0}


def row(epoch: int, step: int, loss: float) -> dict[str, float]:
    return {
        "epoch": float(epoch),
        "step": float(step),
        "loss": loss,
        "test SENSE": 10.0 * epoch,
        "train SENSE": epoch,
    }


def test_energy_of_full_batches_is_that_of_the_weights_measured() -> None:
    parts = {"test": 1, "train": 4}
    whole = trail(History(training(), (row(1, 1, 3.0), row(2, 2, 2.0), row(3, 3, 1.0))), parts)
    assert whole is not None
    assert (whole.epochs, whole.energy) == ((1, 2), (2.0, 1.0))
    assert whole.sense["1 test samples"] == (10, 20)
    assert whole.sense["all 5 samples"] == pytest.approx((14 / 5, 28 / 5))
    cut = trail(History(training(), (row(1, 5, 3.0), row(2, 10, 2.0))), parts)
    assert cut is not None
    assert cut.energy == (3.0, 2.0)
    assert trail(History(training(), ()), parts) is None
