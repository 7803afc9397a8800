"""Dropout at the fully connected layers of a model written without it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sensverify.training.loop.dropout import dropout


class _Identity(nn.Linear):
    def __init__(self) -> None:
        super().__init__(1000, 1000, bias=False)
        nn.init.eye_(self.weight)


def test_inputs_are_dropped_and_the_rest_scaled() -> None:
    torch.manual_seed(0)
    layer = _Identity()
    with dropout(layer, 0.25):
        outputs = layer(torch.ones(20, 1000))
    kept = outputs > 0
    torch.testing.assert_close(outputs[kept], torch.full_like(outputs[kept], 1 / 0.75))
    # Five deviations of a mean of 20,000 draws.
    assert float(kept.double().mean()) == pytest.approx(0.75, abs=0.016)


def test_only_linear_layers_in_training_mode_and_only_within() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(16, 3))
    x = torch.rand(2, 1, 4, 4)
    expected = model(x)
    with dropout(model, 0.5):
        assert not torch.equal(model(x), expected)
        assert torch.equal(model[0](x), model.eval()[0](x))
        assert torch.equal(model(x), expected)
    assert torch.equal(model.train()(x), expected)
    with dropout(model, 0.0):
        assert torch.equal(model(x), expected)
