"""Training on data as they are at hand is the training of `fit`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.errors import BadData, BadSetting
from sensverify.training import fit
from sensverify.training.settings import TrainSettings


def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, 3)


DATA = sv.load_data("iris")
QUICK = {"epochs": 2, "metric_samples": 0}


def weights(result: sv.TrainResult) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in result.module.parameters()])


def test_arrays_names_and_settings_are_one_training() -> None:
    expected = weights(fit(module(), sv.load_split("iris"), "base", TrainSettings(**QUICK)))
    for found in (
        sv.train(module(), "iris", "base", TrainSettings(**QUICK)),
        sv.train(module(), (DATA.x, DATA.y), **QUICK),
        sv.train(module(), torch.from_numpy(DATA.x), y=DATA.y.tolist(), **QUICK),
    ):
        assert torch.equal(weights(found), expected)


def test_test_samples_of_ones_own() -> None:
    result = sv.train(
        module(), (DATA.x[:100], DATA.y[:100] * 2), test=(DATA.x[100:], DATA.y[100:]), **QUICK
    )
    assert result.metrics_train is not None
    assert result.metrics_test is not None
    assert (result.metrics_train.samples, result.metrics_test.samples) == (100, 50)


def test_bad_input() -> None:
    with pytest.raises(BadSetting, match="epochs"):
        sv.train(module(), "iris", "base", TrainSettings(), epochs=3)
    with pytest.raises(BadSetting, match="test"):
        sv.train(module(), "iris", test=(DATA.x, DATA.y), **QUICK)
    with pytest.raises(BadData):
        sv.train(module(), DATA.x, **QUICK)
    with pytest.raises(BadData):
        sv.train(module(), np.zeros((0, 4)), y=[], **QUICK)
    with pytest.raises(TypeError):
        sv.train(module(), "iris", epoch=3)
