"""A training in two processes is that of one, but for rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sensverify.errors import TrainingFailed
from sensverify.runs.watch import Watch
from sensverify.training import Progress, fit
from sensverify.training.directory.checkpoints import newest_checkpoint
from tests.training.trainings import (
    blobs,
    picture_model,
    pictures,
    plain_model,
    quick,
    rich_model,
    rows,
    same_weights,
)

# Mini-batches of 12 and samples that are shared evenly.
SETTINGS = {"epochs": 2, "metric_samples": 12, "optimiser": "sgd(lr=0.05, momentum=0.9)"}
LOSS = "cross-entropy + 1e-4*l2 + 0.01*sensitivity(form=softplus) + 0.01*spectral + 1e-3*jacobian"


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(tmp_path: Path) -> None:
    told: list[Progress] = []
    both = fit(
        plain_model(),
        blobs(),
        LOSS,
        quick(devices=2, **SETTINGS),
        out=tmp_path,
        progress=told.append,
    )
    alone = fit(plain_model(), blobs(), LOSS, quick(**SETTINGS))
    assert not same_weights(plain_model(), alone.module)
    for name, values in alone.module.state_dict().items():
        torch.testing.assert_close(both.module.state_dict()[name], values, rtol=1e-4, atol=1e-5)
    assert [now.step for now in told if now.metrics is None][:4] == [1, 2, 3, 4]
    assert told[-1].step == 8
    assert len(rows(tmp_path / "metrics.csv")) == 2
    assert both.metrics_test is not None
    assert alone.metrics_test is not None
    assert both.metrics_test.ce == pytest.approx(alone.metrics_test.ce, rel=1e-4)


@pytest.mark.slow
def test_two_processes_stop_and_go_on(tmp_path: Path) -> None:
    """With running statistics, which are averaged, and the ascent of sharpness."""
    settings = quick(devices=2, sharpness="sam(rho=0.05)", **SETTINGS)
    watch = Watch()
    first = fit(
        rich_model(),
        blobs(),
        "base",
        settings,
        out=tmp_path / "a",
        watch=watch,
        progress=lambda now: watch.stop(),
    )
    again = fit(rich_model(), blobs(), "base", settings, out=tmp_path / "a", resume=True)
    whole = fit(rich_model(), blobs(), "base", settings, out=tmp_path / "b")
    assert first.interrupted or same_weights(first.module, whole.module)
    assert not again.interrupted
    assert same_weights(again.module, whole.module)


@pytest.mark.slow
def test_what_the_listener_raises_stops_the_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class MineError(Exception):
        pass

    def listen(now: Progress) -> None:
        if now.step == 2:
            raise MineError("of the one who called")

    settings = quick(devices=2, **SETTINGS | {"epochs": 40, "metric_samples": 0})
    with pytest.raises(MineError, match="of the one who called"):
        fit(plain_model(), blobs(), "cross-entropy", settings, out=tmp_path, progress=listen)
    checkpoint = newest_checkpoint(tmp_path / "checkpoints")
    assert checkpoint is not None
    assert 2 <= checkpoint.step < 160
    # Nor do processes talk about themselves.
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_what_a_process_raises_is_raised() -> None:
    settings = quick(devices=2, **SETTINGS | {"optimiser": "sgd(lr=1e6)"})
    with pytest.raises(TrainingFailed, match="learning rate"):
        fit(plain_model(), blobs(), "cross-entropy + l2", settings)


@pytest.mark.slow
def test_two_processes_see_the_augmented_images_and_the_plateaus_of_one(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "epochs": 4,
        "optimiser": "sgd(lr=1e-4)",
        "schedule": "plateau(patience=0, threshold=0.9, factor=0.5)",
        "augment": "horizontal-flip + rotation + darken",
        "metrics": (),
        "metric_every_steps": 3,
        "metric_samples": 12,
    }
    outs = tmp_path / "both", tmp_path / "alone"
    both, alone = (
        fit(picture_model(), pictures(), "base", quick(devices=devices, **changes), out=out)
        for devices, out in zip((2, 1), outs, strict=True)
    )
    for name, values in alone.module.state_dict().items():
        torch.testing.assert_close(both.module.state_dict()[name], values, rtol=1e-4, atol=1e-5)
    rates = [[row["learning rate"] for row in rows(out / "metrics.csv")] for out in outs]
    assert rates[0] == rates[1] == ["0.0001", "0.0001", "5e-05", "2.5e-05"]
    steps = [[row["step"] for row in rows(out / "step-metrics.csv")] for out in outs]
    assert steps[0] == steps[1] == ["3", "6", "9", "12", "15"]
