"""A training asked for by name."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch

from sensverify.errors import BadSetting, InputError, UnknownName
from sensverify.training.plan import make_plan
from sensverify.training.request import KEY, TrainRequest, kept_request
from sensverify.training.settings import TrainSettings
from sensverify.training.standardise import Standardise


def test_equal_seeds_begin_with_equal_weights_whatever_the_loss() -> None:
    settings = TrainSettings(seed=3, sigma=0.1)
    one, other = (
        TrainRequest(data="iris", model="iris", loss=loss, settings=settings).prepare()[1]
        for loss in ("base", "cross-entropy + mixup")
    )
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second)


def test_standardised_by_the_samples_that_are_trained_on() -> None:
    # Those that are held out are the last of all samples, not of those that are asked for.
    for changes, count in (
        ({"train_samples": 50, "hold_out": 10}, 50),
        ({"train_samples": 20, "hold_out": 20}, 20),
        ({"hold_out": 40}, 103),
        ({}, 143),
    ):
        settings = TrainSettings(**changes)  # type: ignore[arg-type]
        request = TrainRequest(data="wine", model="linear", standardise=True, settings=settings)
        split, module = request.prepare()
        first = module[0]  # type: ignore[index]
        assert isinstance(first, Standardise)
        plan = make_plan(module, split, "base", settings)
        assert len(plan.train) == count
        x, _ = plan.train.tensors()
        torch.testing.assert_close(first.mean, x.mean(0))
        assert module(x).shape == (count, 3)


def test_more_samples_than_there_are() -> None:
    settings = TrainSettings(train_samples=140, hold_out=10)
    request = TrainRequest(data="wine", model="linear", standardise=True, settings=settings)
    with pytest.raises(BadSetting, match="`train_samples` asks for 140"):
        request.prepare()


def test_a_file_is_kept_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = TrainRequest(data="data/mine.npz", model="mlp-3")
    assert request.as_dict()["data"] == str(tmp_path / "data" / "mine.npz")
    # The card, which may be handed on, says nothing of folders.
    again = TrainRequest(**(request.as_dict() | {"settings": request.settings}))
    assert request.command("r") == again.command("r")
    assert "--data mine.npz" in request.command("r")
    assert TrainRequest(data="iris", model="mlp-3").as_dict()["data"] == "iris"


def test_constant_features_are_left_alone() -> None:
    for count in (3, 7, 120, 143):
        x = torch.full((count, 2), 0.1)
        x[0, 1] = 1
        first = Standardise.of(x)
        assert first.deviation[0] == 1
        assert first.deviation[1] < 1
        assert torch.equal(first(x)[:, 0], torch.zeros(count))


def test_losses_that_perturb_need_a_radius() -> None:
    with pytest.raises(BadSetting, match="`sigma`"):
        TrainRequest(data="iris", model="iris", loss="cross-entropy + sensitivity")
    with pytest.raises(UnknownName, match="did you mean 'base'"):
        TrainRequest(data="iris", model="iris", loss="bsae")


def test_the_command_names_what_is_not_the_default() -> None:
    settings = TrainSettings(epochs=3, optimiser="sgd(lr=0.1)", clip=(0.0, 1.0))
    request = TrainRequest(data="iris", model="mlp-3", standardise=True, settings=settings)
    command = request.command("run one")
    words = shlex.split(command)
    assert words[:2] == ["sensverify", "train"]
    assert "--standardise --epochs 3 --optimiser 'sgd(lr=0.1)' --clip 0.0 1.0" in command
    assert words[-2:] == ["--out", "run one"]
    assert "--seed" not in words


def test_a_directory_keeps_what_was_asked_for(tmp_path: Path) -> None:
    request = TrainRequest(data="iris", model="mlp-3", settings=TrainSettings(epochs=3))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(request.description("run")))
    assert kept_request(tmp_path) == request.as_dict()
    for text in ("", "[]", "{}", json.dumps({KEY: {"data": "iris"}}), json.dumps({KEY: None})):
        path.write_text(text)
        with pytest.raises(InputError, match="cannot go on"):
            kept_request(tmp_path)
