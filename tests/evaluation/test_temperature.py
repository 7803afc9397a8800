"""Temperature scaling: closed forms, its laws, and what has no temperature."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.errors import BadData, BadSetting, Unbounded
from sensverify.evaluation import temperature
from sensverify.evaluation.temperature import calibrate_temperature, fit_temperature


def two_classes(gap: float, right: int, wrong: int) -> tuple[Tensor, Tensor]:
    """Predictions that all are as sure, some of them right."""
    outputs = torch.tensor([[gap, 0.0]], dtype=torch.float64).repeat(right + wrong, 1)
    return outputs, torch.tensor([0] * right + [1] * wrong)


@pytest.mark.parametrize(("gap", "right", "wrong"), [(3, 8, 2), (0.1, 99, 1), (50, 3, 2)])
def test_the_closed_form_of_two_classes(gap: float, right: int, wrong: int) -> None:
    # At the best temperature the confidence 1 / (1 + exp(-gap / T)) is the share that is right.
    found = fit_temperature(*two_classes(gap, right, wrong))
    assert found == pytest.approx(gap / math.log(right / wrong), rel=1e-9)


def test_it_grows_with_the_logits_and_knows_nothing_of_constants() -> None:
    draws = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(300, 5, generator=draws, dtype=torch.float64)
    y = torch.distributions.Categorical(logits=logits).probs.multinomial(1, generator=draws)[:, 0]
    found = fit_temperature(logits, y)
    # The labels are drawn of these very probabilities.
    assert found == pytest.approx(1, abs=0.2)
    assert fit_temperature(7 * logits, y) == pytest.approx(7 * found, rel=1e-9)
    moved = logits + 100 * torch.randn(300, 1, generator=draws)
    assert fit_temperature(moved, y) == pytest.approx(found, rel=1e-9)
    loss = lambda t: float(torch.nn.functional.cross_entropy(logits / t, y))  # noqa: E731
    assert loss(found) < min(loss(0.99 * found), loss(1.01 * found))


@pytest.mark.parametrize(
    ("outputs", "y", "told"),
    [
        ([[3.0, 0.0], [0.0, 1.0]], [0, 1], "all samples are right"),
        ([[3.0, 0.0], [0.0, 1.0]], [1, 0], "chance"),
        ([[1.0, 1.0], [0.0, 0.0]], [0, 1], "chance"),
        ([[3.0, 0.0], [3.0, 0.0]], [0, 1], "chance"),
    ],
)
def test_what_no_temperature_fits(outputs: Any, y: Any, told: str) -> None:
    with pytest.raises(BadData, match=told):
        fit_temperature(torch.tensor(outputs), torch.tensor(y))


def test_what_cannot_be_fitted_on() -> None:
    with pytest.raises(Unbounded):
        fit_temperature(torch.tensor([[math.nan, 0.0]]), torch.tensor([0]))
    with pytest.raises(BadData):
        fit_temperature(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    with pytest.raises(BadData):
        fit_temperature(torch.zeros(1, 2), torch.tensor([2]))


def module_and_data(tmp_path: Path, scale: float) -> tuple[torch.nn.Module, Path]:
    """Logits that are too large by a factor."""
    draws = torch.Generator().manual_seed(1)
    x = 1.5 * torch.randn(2000, 3, generator=draws)
    y = torch.softmax(x, dim=1).multinomial(1, generator=draws)[:, 0]
    np.savez(tmp_path / "held-out.npz", x=x.numpy(), y=y.numpy())
    module = torch.nn.Linear(3, 3, bias=False)
    module.weight.data = scale * torch.eye(3)
    return module, tmp_path / "held-out.npz"


def test_a_network_that_is_too_sure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, data = module_and_data(tmp_path, 5.0)
    seen: list[int] = []
    real = fit_temperature

    def fitted(outputs: Tensor, y: Tensor) -> float:
        seen.append(len(y))
        return real(outputs, y)

    monkeypatch.setattr(temperature, "fit_temperature", fitted)
    found = calibrate_temperature(module, data, fit_share=0.25)
    assert seen == [found.fitted]
    # Nobody is judged on what was fitted on.
    every = found.fitted + found.before.samples
    assert found.fitted == round(0.25 * every)
    assert found.temperature == pytest.approx(5, rel=0.25)
    assert found.before.confusion == found.after.confusion
    assert found.after.expected_calibration_error < 0.5 * found.before.expected_calibration_error
    assert found.loss_after < found.loss_before
    assert torch.equal(module.weight, 5 * torch.eye(3))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, math.nan, 1e-9])
def test_shares_that_leave_no_samples(tmp_path: Path, share: float) -> None:
    module, data = module_and_data(tmp_path, 1.0)
    with pytest.raises(BadSetting, match="fit_share"):
        calibrate_temperature(module, data, fit_share=share)
