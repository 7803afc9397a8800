"""What a training leaves behind can be verified, and is the model that was trained."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from sensverify import models
from sensverify.data import Split, load_split, read_dataset
from sensverify.errors import BackendFailure, BadModelFile, BadShape, InputError
from sensverify.models.architectures import build_for
from sensverify.models.loading import load_model
from sensverify.training.directory.export import (
    SAMPLE_SIZE,
    export_onnx,
    replay,
    write_card,
    write_model,
)
from sensverify.training.settings import TrainSettings
from sensverify.training.standardise import Standardise


@pytest.fixture(scope="module")
def digits() -> Split:
    return load_split("digits")


def write(module: nn.Module, split: Split, folder: Path, **settings: object) -> models.Card:
    asked = TrainSettings(**settings)  # type: ignore[arg-type]
    return write_model(module, split, folder, settings=asked, recipe="by hand")


def test_files_are_those_of_the_card(tmp_path: Path, digits: Split) -> None:
    folder = tmp_path / "-a run!"
    folder.mkdir()
    module = build_for("mlp-8", (1, 8, 8), 10, seed=0)
    card = write(module, digits, folder, sigma=0.1, clip=(0.0, 1.0))
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.onnx", "sample.npz"]
    found = models.resolve(folder)
    assert found.card == card
    assert (card.name, card.data, card.sigma, card.radius) == ("a-run-", "digits", 0.1, None)
    assert (card.clip, card.outputs, card.labels) == ((0.0, 1.0), 10, tuple("0123456789"))
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == card.sha256
    with torch.no_grad():
        right = module(torch.from_numpy(digits.test.x)).argmax(1).numpy() == digits.test.y
    assert card.accuracy["test"] == pytest.approx(right.mean(), abs=1e-6)
    assert found.sample_path is not None
    sample = read_dataset(found.sample_path)
    assert len(sample) == SAMPLE_SIZE
    np.testing.assert_array_equal(sample.x, digits.test.x[:SAMPLE_SIZE])
    np.testing.assert_array_equal(sample.feature_range, digits.test.feature_range)
    # Again, with other weights: the files are replaced.
    other = write(build_for("mlp-8", (1, 8, 8), 10, seed=1), digits, folder)
    assert models.resolve(folder).card == other != card


def test_radius_and_clip_of_the_card(tmp_path: Path, digits: Split) -> None:
    module = build_for("linear", (1, 8, 8), 10, seed=0)
    card = write(module, digits, tmp_path, radius=0.2)
    assert (card.sigma, card.radius, card.clip) == (None, 0.2, None)
    # Without a perturbation, what the shipped models have: the range of the data.
    card = write(module, digits, tmp_path)
    assert (card.sigma, card.radius, card.clip) == (0.05, None, (0.0, 1.0))


def test_paths_of_data_stay_at_home(tmp_path: Path, digits: Split) -> None:
    parts = (replace(part, name="/home/me/secret/mine.npz") for part in (digits.train, digits.test))
    split = Split(*parts, classes=10)
    card = write(build_for("linear", (1, 8, 8), 10, seed=0), split, tmp_path)
    assert card.data == "mine.npz"
    assert card.data_licence == "of the data's owner"
    assert card.labels == tuple("0123456789")
    assert b"secret" not in (tmp_path / "model.json").read_bytes()


def test_standardised_inputs_are_part_of_the_file(tmp_path: Path) -> None:
    split = load_split("wine")
    first = Standardise.of(split.train.x)
    module = nn.Sequential(first, *build_for("mlp-6", (13,), 3, seed=0))
    write(module, split, tmp_path)
    with torch.no_grad():
        expected = module(torch.from_numpy(split.test.x)).numpy()
    found = replay(tmp_path / "model.onnx", split.test.x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_what_was_trained_is_left_as_it_is(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    export_onnx(module, (2, 2), tmp_path / "net.onnx")
    assert all(part.training for part in module.modules())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    x = torch.rand(3, 2, 2)
    with torch.no_grad():
        expected = module.eval()(x).numpy()
    np.testing.assert_allclose(replay(tmp_path / "net.onnx", x.numpy()), expected, atol=1e-6)


def test_files_say_nothing_of_the_machine(tmp_path: Path) -> None:
    export_onnx(build_for("conv-2-fc-3", (1, 4, 4), 2, seed=0), (1, 4, 4), tmp_path / "net.onnx")
    content = (tmp_path / "net.onnx").read_bytes()
    for word in (b".py", b"/tmp", str(Path(__file__).parents[3]).encode(), b"site-packages"):
        assert word not in content
    assert not onnx.load(tmp_path / "net.onnx").metadata_props


class _Sorting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvals(x.reshape(-1, 2, 2)).abs()


class _Counting(nn.Module):
    """Traced into a constant: the file computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return x * float(x.sum())


def _broken() -> nn.Module:
    module = nn.Linear(4, 2)
    nn.init.constant_(module.weight, float("nan"))
    return module


@pytest.mark.parametrize("make", [_Sorting, _Counting, _broken])
def test_what_onnx_cannot_say(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    with pytest.raises(BackendFailure, match="cannot be written as ONNX"):
        export_onnx(make(), (4,), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_more_outputs_than_classes_have_numbers_for_names(tmp_path: Path, digits: Split) -> None:
    split = load_split("iris")
    assert len(split.labels) == 3
    card = write(build_for("linear", (4,), 5, seed=0), split, tmp_path, sigma=0.1)
    assert (card.outputs, card.labels) == (5, ("0", "1", "2", "3", "4"))
    assert load_model(str(tmp_path)).network.output_shape == (5,)


def test_a_card_about_other_outputs_is_refused(tmp_path: Path) -> None:
    card = write(build_for("linear", (4,), 5, seed=0), load_split("iris"), tmp_path, sigma=0.1)
    write_card(replace(card, outputs=3, labels=("a", "b", "c")), tmp_path / "model.json")
    with pytest.raises(BadModelFile, match=r"is about 3 outputs, and .* has 5"):
        load_model(str(tmp_path))


def test_too_few_outputs(tmp_path: Path, digits: Split) -> None:
    with pytest.raises(BadShape, match="9 outputs"):
        write(build_for("linear", (1, 8, 8), 9), digits, tmp_path)
    assert not (tmp_path / "model.json").exists()


def test_folders_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        export_onnx(nn.Linear(2, 2), (2,), tmp_path / "none" / "net.onnx")
