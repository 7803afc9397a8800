"""The Jacobian penalty: closed forms, gradients, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import sensverify as sv
from sensverify.errors import BadSetting
from sensverify.training.losses.jacobian import jacobian
from sensverify.training.losses.step import Step


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def step_of(module: nn.Module, x: Tensor) -> Step:
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=number))
    network = sv.from_module(module, tuple(x.shape[1:]))
    return Step(module, network, x, torch.zeros(len(x), dtype=torch.int64))


def test_a_linear_network_has_the_norm_of_its_weights() -> None:
    module = nn.Linear(4, 3).double()
    step = step_of(module, drawn(6, 4))
    exact = jacobian(step)
    torch.testing.assert_close(exact, module.weight.norm())
    (gradient,) = torch.autograd.grad(exact, module.weight)
    torch.testing.assert_close(gradient, (module.weight / module.weight.norm()).detach())


def test_projections_estimate_half_the_square() -> None:
    module = nn.Linear(4, 3).double()
    step = step_of(module, drawn(6, 4))
    estimate = jacobian(step, estimator="projections", projections=4000)
    expected = module.weight.square().sum() / 2
    torch.testing.assert_close(estimate, expected, rtol=0.02, atol=0.0)
    # As many orthogonal projections as outputs would be exact; random ones vary.
    (gradient,) = torch.autograd.grad(estimate, module.weight)
    torch.testing.assert_close(gradient, module.weight.detach(), rtol=0.1, atol=0.05)


def test_probabilities_have_the_jacobian_of_the_softmax() -> None:
    module, x = nn.Linear(4, 3).double(), drawn(2, 4)
    step = step_of(module, x)
    expected = torch.stack(
        [
            torch.autograd.functional.jacobian(lambda x: module(x).softmax(-1), each).norm()
            for each in x
        ]
    )
    torch.testing.assert_close(jacobian(step, of="probabilities"), expected.mean())


@pytest.mark.parametrize(
    "options", [{}, {"of": "probabilities"}, {"estimator": "projections", "projections": 2}]
)
def test_gradients_are_those_of_finite_differences(options: dict) -> None:
    module = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    step = step_of(module, drawn(4, 3, seed=9))
    weights = [module[0].weight, module[2].weight, module[0].bias]

    def value() -> Tensor:
        step.generator.manual_seed(0)
        return jacobian(step, **options)

    gradients = torch.autograd.grad(value(), weights)
    for number, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
        direction, ends = drawn(*weight.shape, seed=70 + number), []
        for move in (1e-6, -2e-6):
            with torch.no_grad():
                weight.add_(move * direction)
            ends.append(float(value().detach()))
        with torch.no_grad():
            weight.add_(1e-6 * direction)
        slope = (ends[0] - ends[1]) / 2e-6
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_the_network_is_taken_in_evaluation_mode() -> None:
    module = nn.Sequential(
        nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 2)
    ).double()
    step = step_of(module, drawn(8, 3, seed=9))
    module.train()
    before = {name: value.clone() for name, value in module.named_buffers()}
    first, second = jacobian(step), jacobian(step)
    assert torch.equal(first, second)
    for name, value in module.named_buffers():
        assert torch.equal(value, before[name]), name
    first.backward()
    assert all(p.grad is not None for p in (module[0].weight, module[1].weight, module[4].weight))


def test_a_network_without_slope_gives_zero_and_finite_gradients() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    step = step_of(module, drawn(5, 3, seed=9))
    with torch.no_grad():
        module[0].bias.fill_(-1e3)
    for options in ({}, {"estimator": "projections"}):
        value = jacobian(step, **options)
        assert float(value.detach()) == 0.0
        gradients = torch.autograd.grad(value, list(module.parameters()), allow_unused=True)
        assert all(g is None or bool(torch.isfinite(g).all()) for g in gradients)


def test_float32_and_half_precision_around_it() -> None:
    module = nn.Linear(4, 3)
    step = step_of(module, drawn(6, 4).float())
    value = jacobian(step)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(jacobian(step), value)
    assert value.dtype == torch.float32


def test_what_is_not_there_is_refused() -> None:
    step = step_of(nn.Linear(4, 3).double(), drawn(6, 4))
    with pytest.raises(BadSetting, match="exact, projections"):
        jacobian(step, estimator="sketch")
    with pytest.raises(BadSetting, match="logits, probabilities"):
        jacobian(step, of="loss")
    with pytest.raises(BadSetting, match="at least 1"):
        jacobian(step, estimator="projections", projections=0)
