"""Models without a file and samples in memory: the same answers as with files."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.errors import BadBox, BadModelFile, BadSetting, BadShape, SensverifyError
from sensverify.verification import critical_radius
from sensverify.verification.replay import Replay

X = np.array([[0.9, 0.1], [0.6, 0.5], [0.2, 0.7]], dtype=np.float32)
Y = [0, 0, 0]


def identity() -> nn.Linear:
    module = nn.Linear(2, 2)
    with torch.no_grad():
        module.weight.copy_(torch.eye(2))
        module.bias.zero_()
    return module


def kept(report: sv.VerifyReport) -> list[bool | None]:
    return [sample.certified for sample in report.samples]


@pytest.mark.parametrize("kind", ["module", "float64", "training", "network"])
def test_labels_of_objects(kind: str) -> None:
    """By hand: margins are 0.8, 0.1 and -0.5, and move by 0.2."""
    model: Any = identity()
    if kind == "float64":
        model = model.double()
    if kind == "training":
        # Dropout does nothing in evaluation mode, which every part is back out of afterwards.
        model = nn.Sequential(model, nn.Dropout(0.9)).train()
    if kind == "network":
        model = sv.from_module(model, (2,))
    report = sv.verify(model, X, Y, radius=0.1)
    assert kept(report) == [True, False, False]
    np.testing.assert_allclose(report.samples[0].widths, 0.2, rtol=1e-5)
    assert report.model.path is None
    assert len(report.model.sha256) == 64
    if kind == "training":
        assert all(part.training for part in model.modules())


def test_a_module_is_verified_as_its_file(tmp_path: Path) -> None:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    path = tmp_path / "net.onnx"
    torch.onnx.export(module, (torch.zeros(1, 4),), path, dynamo=False)
    data = sv.load_data("iris")
    by_file = sv.verify(path, data.x[::10], data.y[::10], radius=0.3)
    by_module = sv.verify(module, (data.x[::10], data.y[::10]), radius=0.3)
    assert kept(by_file) == kept(by_module)
    for one, other in zip(by_file.samples, by_module.samples, strict=True):
        np.testing.assert_allclose(one.lower, other.lower, rtol=1e-4, atol=1e-5)


def test_a_request_and_its_parts_are_the_same_run() -> None:
    parts = sv.verify("iris", sigma=0.05, samples=(22, 24))
    whole = sv.verify(sv.VerifyRequest("iris", sigma=0.05, samples=(22, 24)))
    for one, other in zip(parts.samples, whole.samples, strict=True):
        assert one.certified == other.certified
        np.testing.assert_array_equal(one.lower, other.lower)


def test_modules_know_their_shape_from_the_data_or_by_the_setting(tmp_path: Path) -> None:
    np.savez(tmp_path / "box.npz", lower=np.zeros((1, 2)), upper=np.ones((1, 2)))
    report = sv.verify(identity(), box=tmp_path / "box.npz", input_shape=(2,))
    np.testing.assert_allclose(report.samples[0].widths, 1.0)
    with pytest.raises(BadSetting, match="input_shape"):
        sv.verify(identity(), box=tmp_path / "box.npz")


@pytest.mark.parametrize(
    ("model", "settings", "error"),
    [
        (3, {}, BadModelFile),
        (identity(), {"rigorous": True}, BadSetting),
        (identity(), {"output": "y"}, BadSetting),
        (identity(), {"data": "iris"}, BadSetting),
        (sv.VerifyRequest("iris"), {}, BadSetting),
    ],
    ids=["number", "rigorous", "output", "data-twice", "request"],
)
def test_bad_input(model: Any, settings: dict[str, Any], error: type[SensverifyError]) -> None:
    with pytest.raises(error):
        sv.verify(model, X, Y, **{"radius": 0.1, **settings} if model != 3 else {"radius": 0.1})


class Stubborn(nn.Module):
    """A module that refuses to run in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype == torch.float64:
            raise RuntimeError("only float32")
        return self.inner(x)


def test_what_does_not_run_confirms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        report = sv.verify(Stubborn(), X, Y, radius=0.1)
    assert kept(report) == [True, None, None]
    assert "confirmed" in caplog.text


def test_a_replay_leaves_the_module_alone() -> None:
    from sensverify.models.loading import given_model, load_model

    module = nn.Sequential(identity(), nn.BatchNorm1d(2)).train()
    before = {name: each.clone() for name, each in module.state_dict().items()}
    replay = Replay.of(load_model(given_model(module, lambda: (2,))))
    found = replay.outputs(np.array([0.3, 0.7]), np.zeros(2), np.ones(2))
    assert found is not None
    assert found.outputs.dtype == np.float64
    assert module[1].training
    for name, each in module.state_dict().items():
        assert torch.equal(each, before[name])
        assert each.dtype == before[name].dtype


RADII = [0.1, 0.0, 0.2, 0.05]


@pytest.mark.parametrize(
    "given",
    [
        RADII,
        tuple(RADII),
        np.array(RADII),
        np.array(RADII)[:, None],
        torch.tensor(RADII, dtype=torch.float64, requires_grad=True),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_radius_for_each_feature_is_an_array_or_a_file(given: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.array(RADII))
    ours, theirs = (
        sv.verify("iris", samples=(0, 3), radius=radius) for radius in (given, tmp_path / "r.npy")
    )
    for one, other in zip(ours.samples, theirs.samples, strict=True):
        assert one.lower.tolist() == other.lower.tolist()
        assert one.upper.tolist() == other.upper.tolist()
        assert one.certified == other.certified
    told = json.loads(ours.to_json())["input"]["radius"]
    assert told.startswith("an array (4 numbers from 0 to 0.2, SHA-256 ")
    for kind in (sv.certified_accuracy, critical_radius):
        assert kind("iris", samples=(0, 3), radius=given) is not None
    # One number is the radius of all features.
    one, other = (sv.verify("iris", samples=(0, 1), radius=r) for r in (np.array([0.1]), 0.1))
    assert one.samples[0].lower.tolist() == other.samples[0].lower.tolist()


def test_arrays_of_radii_are_told_apart(tmp_path: Path) -> None:
    swapped = [RADII[1], RADII[0], *RADII[2:]]
    kept = tmp_path / "kept.json"
    kept.write_text(sv.verify("iris", radius=RADII, min_certified=0).to_json())
    sv.verify("iris", radius=np.array(RADII), min_certified="baseline", baseline=kept)
    with pytest.raises(BadSetting, match="another question"):
        sv.verify("iris", radius=swapped, min_certified="baseline", baseline=kept)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ([0.1, 0.2], BadShape),
        ([0.1, -0.1, 0.1, 0.1], BadBox),
        ([0.1, np.nan, 0.1, 0.1], BadBox),
        ([0.1, np.inf, 0.1, 0.1], BadBox),
        ([], BadSetting),
        (["a", "b", "c", "d"], BadSetting),
        ([[0.1], [0.1, 0.2]], BadSetting),
        ({"a": 1}, BadSetting),
        (range, BadSetting),
    ],
    ids=str,
)
def test_radii_that_are_none_are_refused(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="radius"):
        sv.verify("iris", samples=(0, 1), radius=given)
