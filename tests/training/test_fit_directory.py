"""What a training leaves behind, and how it is taken up again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from sensverify.errors import BackendFailure, BadCheckpoint, InputError
from sensverify.runs.watch import Watch
from sensverify.training import Progress, TrainResult, TrainSettings, fit
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
Finished = tuple[Path, TrainResult]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished training that nobody changes."""
    out = tmp_path_factory.mktemp("kept")
    return out, fit(plain_model(), blobs(), "base", SMALL, out=out, resume=True)


@pytest.fixture
def finished(kept: Finished, tmp_path: Path) -> Finished:
    """A finished training to be changed."""
    return shutil.copytree(kept[0], tmp_path / "finished"), kept[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A training of the rich model that nothing happened to."""
    out = tmp_path_factory.mktemp("whole")
    return out, fit(rich_model(), blobs(), "base", SMALL, out=out)


def test_what_a_run_directory_holds(tmp_path: Path) -> None:
    out, split = tmp_path / "run", blobs()
    result = fit(plain_model(), split, "base", SMALL, out=out, description="plain")
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoints",
        "config.json",
        "initial.onnx",
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


def test_the_weights_before_training_are_kept(kept: Finished) -> None:
    x = torch.as_tensor(blobs().test.x)
    with torch.no_grad():
        expected, trained = plain_model()(x).numpy(), kept[1].module(x).numpy()
    session = onnxruntime.InferenceSession(str(kept[0] / "initial.onnx"))
    outputs = session.run(None, {"input": x.numpy()})[0]
    np.testing.assert_allclose(outputs, expected, atol=1e-5, rtol=1e-5)
    assert np.abs(trained - expected).max() > 1e-2


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
    for resume in (False, True):
        with pytest.raises(InputError, match="not empty and holds no training"):
            fit(plain_model(), blobs(), "base", SMALL, out=tmp_path, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_finished_training_is_not_repeated(finished: Finished) -> None:
    out, first = finished
    told: list[Progress] = []
    again = fit(
        plain_model(seed=9), blobs(), "base", SMALL, out=out, resume=True, progress=told.append
    )
    assert not told
    assert same_weights(first.module, again.module)
    assert again.metrics_test == first.metrics_test
    assert again.seconds == first.seconds
    with pytest.raises(InputError, match="holds a training already"):
        fit(plain_model(), blobs(), "base", SMALL, out=out)


def _stop_after(watch: Watch, step: int):  # type: ignore[no-untyped-def]
    return lambda now: watch.stop() if now.step == step else None


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_stopped_training_goes_on(tmp_path: Path, step: int, whole: Finished) -> None:
    watch = Watch()
    halt = _stop_after(watch, step)
    stopped = fit(rich_model(), blobs(), "base", SMALL, out=tmp_path, watch=watch, progress=halt)
    assert stopped.interrupted
    assert stopped.metrics_test is None
    assert not (tmp_path / "result.json").exists()
    resumed = fit(rich_model(seed=4), blobs(), "base", SMALL, out=tmp_path, resume=True)
    assert same_weights(resumed.module, whole[1].module)
    for name in ("metrics.csv", "steps.csv"):
        assert rows(tmp_path / name) == rows(whole[0] / name)


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
    with pytest.raises(BadCheckpoint, match=r"data\.train is another one"):
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


def test_the_lock_is_there_before_the_configuration(tmp_path: Path) -> None:
    """And nothing is changed in a directory that another process has."""
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        (tmp_path / ".config.json.77.part").write_text("half of it")
        for resume in (False, True):
            with pytest.raises(InputError, match="another process"):
                fit(plain_model(), blobs(), "base", SMALL, out=tmp_path, resume=resume)
        assert [path.name for path in tmp_path.iterdir()] == [".config.json.77.part"]
    finally:
        os.close(handle)
    # Its process was killed.
    assert fit(plain_model(), blobs(), "base", SMALL, out=tmp_path, watch=Watch(0)).interrupted
    assert not list(tmp_path.glob(".*"))


def test_only_drafts_of_a_training_are_removed(finished: Finished) -> None:
    out, _ = finished
    kept = [out / ".film.mkv.part", out / ".notes.txt.12.part"]
    kept.append(out / "checkpoints" / ".other.safetensors.12.part")
    left = [out / ".result.json.12.part", out / ".model.onnx.12.part"]
    left.append(out / "checkpoints" / ".step-000004.safetensors.12.part")
    for path in (*kept, *left):
        path.write_text("x")
    with pytest.raises(InputError, match="holds a training already"):
        fit(plain_model(), blobs(), "base", SMALL, out=out)
    assert all(path.exists() for path in (*kept, *left))
    fit(plain_model(), blobs(), "base", SMALL, out=out, resume=True)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in left)


def _edit(path: Path, **changes: object) -> None:
    found = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in found.items() if v is not None}))


def test_a_damaged_result_has_a_way_out(finished: Finished) -> None:
    out, first = finished
    result = out / "result.json"
    whole = json.loads(result.read_text())
    for name in ("metrics", "steps", "weights_sha256", "{"):
        part = json.dumps({key: value for key, value in whole.items() if key != name})
        result.write_text("{" if name == "{" else part)
        with pytest.raises(BadCheckpoint, match=r"result\.json") as refused:
            fit(plain_model(), blobs(), "base", SMALL, out=out, resume=True)
        assert "delete it" in str(refused.value)
    result.unlink()
    again = fit(plain_model(seed=5), blobs(), "base", SMALL, out=out, resume=True)
    assert same_weights(first.module, again.module)
    assert again.metrics_test == first.metrics_test


def test_a_lost_checkpoint_has_a_way_out(finished: Finished) -> None:
    out, first = finished
    for path in (out / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(BadCheckpoint, match=r"delete 'result\.json'"):
        fit(plain_model(), blobs(), "base", SMALL, out=out, resume=True)
    (out / "result.json").unlink()
    again = fit(plain_model(), blobs(), "base", SMALL, out=out, resume=True)
    assert same_weights(first.module, again.module)
    assert len(rows(out / "metrics.csv")) == 2


def test_minus_infinity_survives(tmp_path: Path) -> None:
    """An output that cannot move: the logarithm of its box's volume is minus infinity."""

    def still() -> torch.nn.Module:
        module = plain_model()
        with torch.no_grad():
            module[4].weight.zero_()
        module[4].weight.requires_grad_(False)
        return module

    first = fit(still(), blobs(), "cross-entropy", SMALL, out=tmp_path)
    again = fit(still(), blobs(), "cross-entropy", SMALL, out=tmp_path, resume=True)
    assert first.metrics_test is not None
    assert first.metrics_test.log_volume == float("-inf")
    assert again.metrics_test == first.metrics_test
    kept = json.loads((tmp_path / "result.json").read_text())["metrics"]["test"]
    assert kept["log_volume"] == "-inf"


def test_other_versions_are_told_when_a_training_goes_on(tmp_path: Path) -> None:
    watch = Watch()
    one, two = _stop_after(watch, 4), {"torch": "1.0", "sensverify": "0.0"}
    fit(plain_model(), blobs(), "base", SMALL, out=tmp_path, watch=watch, progress=one)
    versions = json.loads((tmp_path / "config.json").read_text())["versions"]
    _edit(tmp_path / "config.json", versions=versions | two)
    with pytest.warns(UserWarning, match=r"sensverify 0\.0 \(now .*torch 1\.0 \(now") as told:
        fit(plain_model(), blobs(), "base", SMALL, out=tmp_path, resume=True)
    assert [Path(each.filename).name for each in told] == [Path(__file__).name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # It is finished: nothing depends on the versions any more.
        fit(plain_model(), blobs(), "base", SMALL, out=tmp_path, resume=True)


def test_buffers_that_the_module_s_state_leaves_out_are_kept(tmp_path: Path) -> None:
    def model() -> torch.nn.Module:
        module = rich_model()
        module[1]._non_persistent_buffers_set.update(["running_mean", "running_var"])
        assert "1.running_mean" not in module.state_dict()
        return module

    watch = Watch()
    halt = _stop_after(watch, 4)
    fit(model(), blobs(), "base", SMALL, out=tmp_path / "a", watch=watch, progress=halt)
    resumed = fit(model(), blobs(), "base", SMALL, out=tmp_path / "a", resume=True)
    whole = fit(model(), blobs(), "base", SMALL, out=tmp_path / "b")
    read = fit(model(), blobs(), "base", SMALL, out=tmp_path / "b", resume=True)
    expected = dict(whole.module.named_buffers())
    assert not torch.equal(expected["1.running_mean"], torch.zeros(12))
    for found in (resumed, read):
        assert same_weights(found.module, whole.module)
        assert all(torch.equal(expected[k], v) for k, v in found.module.named_buffers())
        assert found.metrics_test == whole.metrics_test


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
