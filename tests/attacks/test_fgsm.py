"""FGSM: exact on linear functions, inside of the box, no traces left behind."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from sensverify.attacks import LOSSES, fgsm
from sensverify.core.box import Box
from sensverify.errors import BadBox, BadSetting, BadShape


@pytest.fixture
def linear() -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(3, 2).double()


RADIUS = torch.tensor([0.3, 0.0, 0.1], dtype=torch.float64)


def samples(count: int = 6) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(1)
    x = torch.rand(count, 3, generator=draws, dtype=torch.float64)
    return x, torch.randint(0, 2, (count,), generator=draws)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("clip", [None, (0.0, 1.0)], ids=["whole", "clipped"])
def test_two_classes_and_a_linear_function_have_no_worse_point(linear, name, clip) -> None:
    x, y = samples()
    box = Box.around(x, RADIUS, clip=clip)
    reached = LOSSES[name](linear(fgsm(linear, x, y, box, loss=name)), y)
    corners = torch.stack(
        [
            torch.where(torch.tensor(c), box.upper, box.lower)
            for c in product([True, False], repeat=3)
        ]
    )
    worst = torch.stack([LOSSES[name](linear(corner), y) for corner in corners]).amax(0)
    torch.testing.assert_close(reached, worst)


def test_the_step_is_the_radius_along_the_sign_of_the_gradient(linear) -> None:
    x, y = samples()
    found = fgsm(linear, x, y, Box.around(x, RADIUS))
    # The cross-entropy of class y falls along its row minus the other's.
    direction = (linear.weight[1 - y] - linear.weight[y]).sign()
    torch.testing.assert_close(found, x + RADIUS * direction)


@pytest.mark.parametrize("start", [False, True])
def test_radius_zero_gives_the_samples(linear, start) -> None:
    x, y = samples()
    assert torch.equal(fgsm(linear, x, y, Box(x, x), random_start=start), x)


def test_a_random_start_stays_inside_and_follows_its_generator(linear) -> None:
    x, y = samples(50)
    box = Box.around(x, RADIUS, clip=(0.0, 1.0))
    found = [
        fgsm(linear, x, y, box, random_start=True, generator=torch.Generator().manual_seed(s))
        for s in (0, 0, 1)
    ]
    assert bool(box.contains(found[0]).all())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_no_gradients_are_left_behind(linear) -> None:
    x, y = samples()
    x.requires_grad_()
    with torch.no_grad():
        found = fgsm(linear, x, y, Box.around(x.detach(), RADIUS))
    assert x.grad is None
    assert linear.weight.grad is None
    assert not found.requires_grad


def test_features_without_gradient_stay(linear) -> None:
    x, y = samples()
    found = fgsm(lambda points: linear(points * torch.tensor([1.0, 1.0, 0.0])), x, y, box(x))
    assert torch.equal(found[:, 2], x[:, 2])
    broken = fgsm(lambda points: linear(points) * torch.nan, x, y, box(x))
    assert torch.equal(broken, x)


def box(x: Tensor) -> Box:
    return Box(x - 0.1, x + 0.1)


def test_what_does_not_fit_is_refused(linear) -> None:
    x, y = samples()
    with pytest.raises(BadShape, match="shape and dtype of the samples"):
        fgsm(linear, x, y, box(x.float()))
    with pytest.raises(BadShape, match="as many labels"):
        fgsm(linear, x, y[:2], box(x))
    with pytest.raises(BadBox, match="outside of their boxes"):
        fgsm(linear, x, y, box(x + 1))
    with pytest.raises(BadSetting, match="no loss 'kl2'"):
        fgsm(linear, x, y, box(x), loss="kl2")
