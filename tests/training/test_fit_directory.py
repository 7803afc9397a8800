"""What a training leaves behind, and how it is taken up again."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from sensverify.errors import (
    BackendFailure,
    BadCheckpoint,
    InputError,
)
from sensverify.training import Progress, TrainSettings, fit
from sensverify.watch import Watch
from tests.training.trainings import (
    blobs,
    plain_model,
    quick,
    rich_model,
    rows,
    same_weights,
    weights,
)

SMALL = quick(epochs=2, checkpoint_seconds=60.0, metric_samples=12)


def test_what_a_run_directory_holds(tmp_path: Path) -> None:
    out, split = tmp_path / "run", blobs()
    result = fit(plain_model(), split, "base", SMALL, out=out, description="plain")
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoints",
        "config.json",
        "metrics.csv",
        "model.json",
        "model.onnx",
        "result.json",
        "sample.npz",
        "steps.csv",
        "tensorboard",
    ]
    config = json.loads((out / "config.json").read_text())
    assert config["schema"] == "sensverify.train/1"
    assert config["model"]["name"] == "plain"
    assert TrainSettings.of(config["settings"]) == SMALL
    found = json.loads((out / "result.json").read_text())
    assert result.metrics_test is not None
    assert found["metrics"]["test"]["err"] == result.metrics_test.err
    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    outputs = session.run(None, {"input": split.test.x})[0]
    with torch.no_grad():
        expected = result.module(torch.as_tensor(split.test.x)).numpy()
    np.testing.assert_allclose(outputs, expected, atol=1e-4, rtol=1e-4)


def test_the_rows_of_the_journal(tmp_path: Path) -> None:
    settings = quick(epochs=30, metric_every=10, checkpoint_seconds=60)
    result = fit(plain_model(), blobs(), "base", settings, out=tmp_path)
    epochs, steps = rows(tmp_path / "metrics.csv", times=True), rows(tmp_path / "steps.csv")
    assert [row["epoch"] for row in epochs] == [str(k) for k in range(1, 31)]
    assert [row["step"] for row in steps] == ["1", "51", "101"]
    assert [k for k, row in enumerate(epochs, start=1) if row["test CE"]] == [10, 20, 30]
    assert result.metrics_test is not None
    # All test samples are measured after an epoch too.
    assert float(epochs[-1]["test CE"]) == result.metrics_test.ce
    assert float(epochs[-1]["seconds"]) <= result.seconds
    assert float(epochs[-1]["loss"]) < float(epochs[0]["loss"])


def test_a_directory_with_something_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        fit(plain_model(), blobs(), "base", SMALL, out=tmp_path)
    with pytest.raises(InputError, match="no training to resume"):
        fit(plain_model(), blobs(), "base", SMALL, out=tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first = fit(plain_model(), blobs(), "base", SMALL, out=tmp_path, resume=True)
    told: list[Progress] = []
    again = fit(
        plain_model(seed=9), blobs(), "base", SMALL, out=tmp_path, resume=True, progress=told.append
    )
    assert not told
    assert same_weights(first.module, again.module)
    assert again.metrics_test == first.metrics_test
    assert again.seconds == first.seconds
    with pytest.raises(InputError, match="not empty"):
        fit(plain_model(), blobs(), "base", SMALL, out=tmp_path)


def _stop_after(watch: Watch, step: int):  # type: ignore[no-untyped-def]
    return lambda now: watch.stop() if now.step == step else None


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_stopped_training_goes_on(tmp_path: Path, step: int) -> None:
    watch = Watch()
    stopped = fit(
        rich_model(),
        blobs(),
        "base",
        SMALL,
        out=tmp_path / "a",
        watch=watch,
        progress=_stop_after(watch, step),
    )
    assert stopped.interrupted
    assert stopped.metrics_test is None
    assert not (tmp_path / "a" / "result.json").exists()
    resumed = fit(rich_model(seed=4), blobs(), "base", SMALL, out=tmp_path / "a", resume=True)
    whole = fit(rich_model(), blobs(), "base", SMALL, out=tmp_path / "b")
    assert same_weights(resumed.module, whole.module)
    for name in ("metrics.csv", "steps.csv"):
        assert rows(tmp_path / "a" / name) == rows(tmp_path / "b" / name)


def test_a_watch_that_is_over_makes_no_step() -> None:
    module = plain_model()
    before = weights(module)
    result = fit(module, blobs(), "base", SMALL, watch=Watch(0))
    assert result.interrupted
    assert result.epochs == 0
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 3}, r"settings\.epochs is 2 there and 3 now"),
        ({"seed": 1}, r"settings\.seed"),
        ({"sigma": 0.1}, r"settings\.sigma"),
    ],
)
def test_other_settings_are_not_resumed(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    fit(plain_model(), blobs(), "base", SMALL, out=tmp_path, watch=Watch(0))
    other = TrainSettings.of(SMALL.as_dict() | changes)
    with pytest.raises(BadCheckpoint, match=words):
        fit(plain_model(), blobs(), "base", other, out=tmp_path, resume=True)


def test_other_data_losses_and_models_are_not_resumed(tmp_path: Path) -> None:
    fit(plain_model(), blobs(), "base", SMALL, out=tmp_path, watch=Watch(0))
    with pytest.raises(BadCheckpoint, match="train_sha256"):
        fit(plain_model(), blobs(seed=1), "base", SMALL, out=tmp_path, resume=True)
    with pytest.raises(BadCheckpoint, match="loss is"):
        fit(plain_model(), blobs(), "cross-entropy", SMALL, out=tmp_path, resume=True)
    with pytest.raises(BadCheckpoint, match="model"):
        fit(rich_model(), blobs(), "base", SMALL, out=tmp_path, resume=True)
    free = TrainSettings.of(SMALL.as_dict() | {"checkpoint_seconds": 5.0})
    assert not fit(plain_model(), blobs(), "base", free, out=tmp_path, resume=True).interrupted


def test_two_trainings_do_not_share_a_directory(tmp_path: Path) -> None:
    def intrude(now: Progress) -> None:
        if now.step == 1:
            with pytest.raises(InputError, match="another process"):
                fit(plain_model(), blobs(), "base", SMALL, out=tmp_path, resume=True)

    assert not fit(
        plain_model(), blobs(), "base", SMALL, out=tmp_path, progress=intrude
    ).interrupted


def test_a_directory_that_cannot_be_made() -> None:
    with pytest.raises(InputError, match="cannot use"):
        fit(plain_model(), blobs(), "base", SMALL, out="/proc/sensverify-run")


def test_what_onnx_cannot_express_is_trained_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise BackendFailure("the model cannot be written as ONNX: no")

    # The package's name of this module is the function.
    module = import_module("sensverify.training.fit")
    monkeypatch.setattr(module, "write_model", refuse)
    result = fit(plain_model(), blobs(), "base", SMALL, out=tmp_path)
    assert not result.interrupted
    assert "no" in json.loads((tmp_path / "result.json").read_text())["model_failure"]
