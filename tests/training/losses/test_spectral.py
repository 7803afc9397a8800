"""The spectral penalty: closed forms, gradients, and what it keeps between steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import sensverify as sv
from sensverify.errors import BadSetting
from sensverify.measures import Spectral, spectral_norms
from sensverify.training.losses.spectral import spectral
from sensverify.training.losses.step import Step


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def step_of(module: nn.Module, shape: tuple[int, ...]) -> Step:
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=number))
    x = drawn(2, *shape)
    return Step(module, sv.from_module(module, shape), x, torch.zeros(2, dtype=torch.int64))


def test_diagonal_weights_give_half_the_sum_of_the_largest_squares() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    step = step_of(module, (3,))
    with torch.no_grad():
        module[0].weight.copy_(torch.diag(torch.tensor([1.0, -4.0, 2.0])))
        module[2].weight.copy_(torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    value = spectral(step, iterations=60)
    assert float(value.detach()) == pytest.approx((16 + 9) / 2, rel=1e-9)
    gradient = torch.autograd.grad(value, module[0].weight)[0]
    torch.testing.assert_close(
        gradient, torch.diag(torch.tensor([0.0, -4.0, 0.0], dtype=torch.float64))
    )


def test_the_gradient_is_the_largest_singular_triplet() -> None:
    module = nn.Linear(5, 4).double()
    step = step_of(module, (5,))
    left, values, right = torch.linalg.svd(module.weight.detach())
    value = spectral(step, iterations=300)
    torch.testing.assert_close(value.detach(), values[0] ** 2 / 2)
    (gradient,) = torch.autograd.grad(value, module.weight)
    torch.testing.assert_close(gradient, values[0] * torch.outer(left[:, 0], right[0]))


def test_a_convolution_is_taken_as_a_map_or_as_its_kernel() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(50, 2)).double()
    step = step_of(module, (1, 5, 5))
    images = torch.eye(25, dtype=torch.float64).reshape(25, 1, 5, 5)
    with torch.no_grad():
        dense = nn.functional.conv2d(images, module[0].weight, padding=1).flatten(1)
        matrices = {"convolution": dense, "kernel": module[0].weight.flatten(1)}
        last = float(torch.linalg.svdvals(module[2].weight)[0])
        norms = {name: float(torch.linalg.svdvals(m)[0]) for name, m in matrices.items()}
    for name, norm in norms.items():
        value, expected = (
            float(spectral(step, operator=name, iterations=200).detach()),
            norm**2 + last**2,
        )
        assert 0.99 * expected / 2 <= value <= (1 + 1e-12) * expected / 2
    assert norms["convolution"] > norms["kernel"]


@pytest.mark.parametrize("operator", ["convolution", "kernel"])
def test_a_few_iterations_a_step_are_enough_in_training(operator: str) -> None:
    """Descent on the penalty alone: what two iterations say is what is so."""
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    ).double()
    step = step_of(module, (1, 8, 8))
    optimiser = torch.optim.SGD(module.parameters(), lr=1e-3)
    values = []
    for _ in range(100):
        optimiser.zero_grad()
        value = spectral(step, operator=operator)
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    exact = float(Spectral(operator).of(spectral_norms(step.network, operator=operator)).detach())
    assert values[-1] == pytest.approx(exact, rel=0.02)
    assert exact < 0.9 * values[0]


def test_what_it_keeps_is_its_own_and_repeats_the_run() -> None:
    module = nn.Linear(6, 4).double()
    step = step_of(module, (6,))
    step.state["other"] = torch.ones(1)
    spectral(step)
    kept = {key: value.clone() for key, value in step.state.items()}
    assert all(key.startswith("spectral/") for key in set(kept) - {"other"})
    assert len(kept) == 2
    assert all(value.is_contiguous() and not value.requires_grad for value in kept.values())
    again = spectral(step).detach()
    step.state = kept
    assert torch.equal(spectral(step).detach(), again)


def test_biases_and_the_batch_play_no_part() -> None:
    module = nn.Linear(4, 3).double()
    step = step_of(module, (4,))
    value = spectral(step)
    gradients = torch.autograd.grad(value, [module.weight, module.bias], allow_unused=True)
    assert gradients[0] is not None
    assert gradients[1] is None


def test_what_is_not_there_is_refused() -> None:
    step = step_of(nn.Linear(4, 3).double(), (4,))
    with pytest.raises(BadSetting, match="convolution, kernel"):
        spectral(step, operator="fft")
    with pytest.raises(BadSetting, match="at least 1"):
        spectral(step, iterations=0)
