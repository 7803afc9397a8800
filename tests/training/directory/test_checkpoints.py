"""Checkpoints are whole or not there, hold every bit, and show their damage."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest
import torch
from torch import nn

from sensverify.errors import BadCheckpoint, InputError
from sensverify.runs.watch import Watch
from sensverify.training import fit
from sensverify.training.directory.checkpoints import (
    Checkpoint,
    checkpoint_files,
    newest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from tests.training.trainings import blobs, plain_model, quick, same_weights

TENSORS = {
    "a/weight": torch.tensor([[1.0, -0.0], [float("nan"), 1e-45]]),
    "a/count": torch.tensor(7),
    "b/half": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3).t(),
    "b/empty": torch.empty(0, 3),
}
FACTS = {"sums": {"loss": [0.1 + 0.2, 3]}, "text": "ü"}


def bits(values: torch.Tensor) -> torch.Tensor:
    return values.contiguous().reshape(-1).view(torch.uint8)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    shared = TENSORS | {"a/tied": TENSORS["a/weight"]}
    path = write_checkpoint(tmp_path / "new", Checkpoint(12, shared, FACTS))
    assert path.name == "step-000012.safetensors"
    found = read_checkpoint(path)
    assert found.step == 12
    assert found.facts == FACTS
    assert found.tensors.keys() == shared.keys()
    for name, values in shared.items():
        assert found.tensors[name].dtype == values.dtype
        assert found.tensors[name].shape == values.shape
        one, other = (
            t.contiguous().reshape(-1).view(torch.uint8) for t in (found.tensors[name], values)
        )
        assert torch.equal(one, other)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none") is None
    for step in (5, 99, 1_234_567, 12):
        write_checkpoint(tmp_path, Checkpoint(step, TENSORS))
    names = [path.name for path in checkpoint_files(tmp_path)]
    assert names == ["step-000099.safetensors", "step-1234567.safetensors"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 0.999])
def test_a_file_cut_short_is_seen(tmp_path: Path, share: float) -> None:
    write_checkpoint(tmp_path, Checkpoint(1, TENSORS, FACTS))
    path = write_checkpoint(tmp_path, Checkpoint(2, TENSORS, FACTS))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadCheckpoint, match=r"step-000002.*delete it to go on from 'step-000001"):
        newest_checkpoint(tmp_path)
    path.unlink()
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, Checkpoint(3, TENSORS, FACTS))
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = read_checkpoint(path)
        except BadCheckpoint:
            continue
        # Padding of the header, whose bits say nothing.
        assert found.facts == FACTS
        assert whole[place : place + 1] == b" "


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "step-000001.safetensors"
    save_file({"x": torch.zeros(2)}, path, {"schema": "other/1"})
    with pytest.raises(BadCheckpoint, match="schema is 'other/1'"):
        read_checkpoint(path)
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(BadCheckpoint, match="schema"):
        read_checkpoint(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadCheckpoint):
        read_checkpoint(path)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """The system itself refuses: files may not grow beyond some bytes."""
    write_checkpoint(tmp_path, Checkpoint(1, TENSORS, FACTS))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        with pytest.raises(InputError, match=r"step-000002.*'step-000001.safetensors' before it"):
            write_checkpoint(tmp_path, Checkpoint(2, TENSORS, FACTS))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001.safetensors"]
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1


SETTINGS = quick(epochs=3, metric_samples=0)


@pytest.fixture(scope="module")
def whole() -> nn.Module:
    """What a training ends with that nothing happens to."""
    return fit(plain_model(), blobs(), "base", SETTINGS).module


def test_a_training_on_a_full_disk_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: nn.Module
) -> None:
    real, calls = os.fsync, [0]

    def full(handle: int) -> None:
        calls[0] += 1
        if calls[0] >= 25:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left"):
            fit(plain_model(), blobs(), "base", SETTINGS, out=tmp_path)
    assert newest_checkpoint(tmp_path / "checkpoints") is not None
    resumed = fit(plain_model(), blobs(), "base", SETTINGS, out=tmp_path, resume=True)
    assert same_weights(resumed.module, whole)


def test_a_damaged_newest_checkpoint_can_be_deleted(tmp_path: Path, whole: nn.Module) -> None:
    watch = Watch()
    halt = lambda now: watch.stop() if now.step == 7 else None  # noqa: E731
    fit(plain_model(), blobs(), "base", SETTINGS, out=tmp_path, watch=watch, progress=halt)
    newest = checkpoint_files(tmp_path / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:-5])
    with pytest.raises(BadCheckpoint, match="delete it to go on"):
        fit(plain_model(), blobs(), "base", SETTINGS, out=tmp_path, resume=True)
    newest.unlink()
    resumed = fit(plain_model(), blobs(), "base", SETTINGS, out=tmp_path, resume=True)
    assert same_weights(resumed.module, whole)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    fit(plain_model(), blobs(), "base", SETTINGS, out=tmp_path, watch=Watch(0))
    wrong = {f"model/{k}": v for k, v in plain_model(features=5).state_dict().items()}
    write_checkpoint(tmp_path / "checkpoints", Checkpoint(4, wrong, FACTS))
    with pytest.raises(BadCheckpoint, match="step 4 is not one of this training"):
        fit(plain_model(), blobs(), "base", SETTINGS, out=tmp_path, resume=True)
