"""What a training is not begun with, and what it stops at."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn

from sensverify.errors import (
    BadData,
    BadSetting,
    TrainingFailed,
    UnsoundResult,
    UnsupportedOperator,
)
from sensverify.models.architectures import build_for
from sensverify.runs.watch import Watch
from sensverify.training import TrainSettings, fit
from sensverify.training.directory.checkpoints import newest_checkpoint
from sensverify.training.engine import Engine
from tests.training.trainings import blobs, iris, plain_model, quick, weights

SMALL = quick(epochs=2, checkpoint_seconds=60.0, metric_samples=12)


def test_a_loss_that_perturbs_needs_a_radius() -> None:
    with pytest.raises(BadSetting, match="how far"):
        fit(plain_model(), blobs(), "cross-entropy + sensitivity", quick(sigma=None))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"hold_out": 48}, "`hold_out`"),
        ({"train_samples": 49}, "`train_samples`"),
        ({"clip": (-0.1, 0.1)}, "`clip`"),
        ({"batch_size": 1, "devices": 2}, "`devices`"),
    ],
)
def test_settings_that_do_not_fit_the_samples(changes: dict[str, object], name: str) -> None:
    with pytest.raises(BadSetting, match=name):
        fit(plain_model(), blobs(), "base", quick(**changes))


def test_no_cuda_device_is_said() -> None:
    if torch.cuda.is_available():
        with pytest.raises(BadSetting, match="CUDA"):
            fit(plain_model(), blobs(), "base", quick(device="cuda", devices=99))
    else:
        with pytest.raises(BadSetting, match="CUDA"):
            fit(plain_model(), blobs(), "base", quick(device="cuda"))


def test_labels_the_model_has_no_output_for() -> None:
    with pytest.raises(BadData, match="label"):
        fit(plain_model(classes=2), blobs(classes=3), "base", SMALL)


def test_a_module_that_is_no_network_is_refused_where_the_loss_needs_one(tmp_path: Path) -> None:
    class Sorting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = plain_model()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x.sort(dim=1).values)

    with pytest.raises(UnsupportedOperator, match="sort"):
        fit(Sorting(), blobs(), "sm", SMALL, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_to_train() -> None:
    module = plain_model().requires_grad_(False)
    with pytest.raises(BadSetting, match="nothing to train"):
        fit(module, blobs(), "base", SMALL)


def test_frozen_parameters_stay() -> None:
    module = plain_model()
    module[0].requires_grad_(False)
    before = weights(module)
    fit(module, blobs(), "base", SMALL)
    assert torch.equal(module[0].weight, before["0.weight"])
    assert not torch.equal(module[2].weight, before["2.weight"])


def test_a_loss_that_is_no_number_stops_before_the_step(tmp_path: Path) -> None:
    settings = quick(optimiser="sgd(lr=1e6)", epochs=5, sigma=None, metric_samples=0)
    module = plain_model()
    with pytest.raises(TrainingFailed, match=r"learning rate.*checkpoint") as caught:
        fit(module, blobs(), "cross-entropy + 1e-5*l2", settings, out=tmp_path)
    assert "the loss is" in str(caught.value) or "gradient" in str(caught.value)
    assert all(bool(torch.isfinite(p).all()) for p in module.parameters())


def test_a_collapsed_network_is_told_with_advice() -> None:
    settings = quick(epochs=30, metric_samples=0)
    with pytest.raises(TrainingFailed, match=r"(not left the constant|collapsed).*ramp"):
        fit(plain_model(), iris(), "cross-entropy + 3*sensitivity(form=log)", settings)


def test_half_precision_does_not_leave_out_steps_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the training is stopped and resumed between them."""
    monkeypatch.setattr(Engine, "scales", True)
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", lambda _: torch.tensor(torch.inf))
    watch = Watch()
    settings = quick(epochs=20, metric_samples=0, checkpoint_seconds=60)
    stopped = fit(
        plain_model(),
        blobs(),
        "cross-entropy",
        settings,
        out=tmp_path,
        watch=watch,
        progress=lambda now: watch.stop() if now.step == 14 else None,
    )
    assert stopped.interrupted
    with pytest.raises(TrainingFailed, match=r"before step 30: the last 30 steps.*bf16-mixed"):
        fit(plain_model(), blobs(), "cross-entropy", settings, out=tmp_path, resume=True)
    checkpoint = newest_checkpoint(tmp_path / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.facts["left out"] == checkpoint.step == 28


def test_half_precision_may_leave_out_a_step_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    norms = iter([torch.inf, torch.inf, 1.0] * 40)
    monkeypatch.setattr(Engine, "scales", True)
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", lambda _: torch.tensor(next(norms)))
    settings = quick(epochs=20, metric_samples=0)
    assert fit(plain_model(), blobs(), "cross-entropy", settings).epochs == 20


@pytest.mark.parametrize("metric_samples", [0, 12])
def test_an_alarm_for_soundness_is_no_failed_training(
    monkeypatch: pytest.MonkeyPatch, metric_samples: int
) -> None:
    def refuted(*arguments: object, **options: object) -> None:
        raise UnsoundResult("method m proved the label of sample 3 for a whole box")

    monkeypatch.setattr(import_module("sensverify.training.loop.measuring"), "measure", refuted)
    settings = quick(epochs=1, metric_samples=metric_samples)
    with pytest.raises(UnsoundResult, match="sample 3"):
        fit(plain_model(), blobs(), "base", settings)


def test_a_training_that_begins_slowly_is_left_alone() -> None:
    """Its output is no better than a constant for a third of its epochs."""
    settings = quick(
        epochs=60, batch_size=8, metric_samples=0, optimiser="adam(lr=3e-4)", schedule="one-cycle"
    )
    settings = TrainSettings.of(settings.as_dict() | {"seed": 2})
    module = build_for("mlp-25-25-25", (4,), 3, seed=2)
    result = fit(module, iris(), "base", settings)
    assert result.metrics_train is not None
    assert result.metrics_train.err < 0.1


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2])
def test_an_ordinary_training_sets_no_alarm_off(rate: float) -> None:
    settings = quick(epochs=15, metric_samples=0, optimiser=f"adam(lr={rate})")
    fit(plain_model(), iris(), "base", settings)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("mlp-8", blobs()), r"takes a Module.*build_for.*got str 'mlp-8'"),
        ((plain_model(), "wine"), r"takes a Split.*load_split.*got str 'wine'"),
        ((plain_model(), blobs(), "base", {"epochs": 1}), r"takes a TrainSettings.*got dict"),
    ],
)
def test_names_in_place_of_objects(arguments: tuple, what: str) -> None:
    with pytest.raises(BadSetting, match=what):
        fit(*arguments)
