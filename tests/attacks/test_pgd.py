"""PGD: inside of the box, as strong as FGSM, and the worst of the points it met."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sensverify as sv
from sensverify.attacks import LOSSES, fgsm, pgd
from sensverify.attacks.ascent import divergence
from sensverify.core.box import Box
from sensverify.errors import BadSetting


@pytest.fixture
def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 30), nn.Tanh(), nn.Linear(30, 3)).double()


def samples(count: int = 8) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(1)
    x = torch.rand(count, 4, generator=draws, dtype=torch.float64)
    return x, torch.randint(0, 3, (count,), generator=draws)


RADIUS = torch.tensor([0.2, 0.0, 0.5, 0.1], dtype=torch.float64)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("loss", [*LOSSES, "kl"])
@pytest.mark.parametrize("clip", [None, (0.0, 1.0)], ids=["whole", "clipped"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_point_is_inside_and_no_better_than_the_sample(net, loss, clip, dtype) -> None:
    net = net.to(dtype)
    x, y = samples()
    x = x.to(dtype)
    box = Box.around(x, RADIUS.to(dtype), clip=clip)
    found = pgd(net, x, y, box, steps=5, loss=loss, generator=draws())
    assert found.dtype == dtype
    assert bool(box.contains(found).all())
    raised = LOSSES.get(loss, lambda outputs, _: divergence(net(x), outputs))
    assert bool((raised(net(found), y) >= raised(net(x), y)).all())
    assert net[0].weight.grad is None
    assert not found.requires_grad


def test_radius_zero_gives_the_samples(net) -> None:
    x, y = samples()
    assert torch.equal(pgd(net, x, y, Box(x, x), steps=3), x)


def test_a_linear_function_is_solved(net) -> None:
    x, y = samples()
    box = Box.around(x, RADIUS)
    layer = net[0]
    two = lambda points: layer(points)[:, :2]  # noqa: E731
    y = y % 2
    best = LOSSES["margin"](two(fgsm(two, x, y, box)), y)
    for start in (True, False):
        found = pgd(two, x, y, box, steps=10, random_start=start, generator=draws())
        torch.testing.assert_close(LOSSES["margin"](two(found), y), best)


@pytest.mark.parametrize("name", ["iris", "digits"])
def test_at_least_as_strong_as_fgsm_on_a_real_network(name) -> None:
    network = sv.load(name)
    data = sv.load_data(name)
    x = torch.as_tensor(data.x[:100]).float()
    y = torch.as_tensor(data.y[:100]).long()
    spread = torch.as_tensor(data.feature_range).float()
    function = lambda points: sv.forward_pass(network, points).flatten(1)  # noqa: E731
    box = Box.around(x, 0.1 * spread)
    errors = {}
    for attack, points in {
        "none": x,
        "fgsm": fgsm(function, x, y, box),
        "pgd": pgd(function, x, y, box, steps=20, restarts=2, generator=draws()),
    }.items():
        errors[attack] = int((function(points).argmax(1) != y).sum())
    assert errors["none"] <= errors["fgsm"] <= errors["pgd"]
    assert errors["none"] < errors["pgd"]


def test_more_restarts_are_never_better_for_the_network(net) -> None:
    x, y = samples(30)
    box = Box.around(x, RADIUS)
    once, more = (
        pgd(net, x, y, box, steps=2, restarts=n, loss="margin", generator=draws()) for n in (1, 6)
    )
    loss = LOSSES["margin"]
    assert bool((loss(net(more), y) >= loss(net(once), y)).all())


# Outputs at 0, 1 and 2: class 0 loses at 1 with a small cross-entropy, wins at 2 with a larger one.
TABLE = torch.tensor([[3.0, 0.0, 0.0], [0.99, 1.0, -9.0], [0.3, 0.29, 0.29]])


class ToTheRight(torch.autograd.Function):
    """The table, with a gradient that leads past all of its points."""

    @staticmethod
    def forward(ctx: Any, points: Tensor) -> Tensor:
        return TABLE[points.round().long().flatten()]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return torch.ones(1, 1)


def test_a_point_where_the_label_loses_goes_before_a_larger_loss() -> None:
    x, y = torch.zeros(1, 1), torch.zeros(1, dtype=torch.long)
    loss = LOSSES["cross-entropy"]
    assert loss(TABLE[1:2], y) < loss(TABLE[2:3], y)
    found = pgd(ToTheRight.apply, x, y, Box(x, x + 2), steps=4, step_size=1.0, random_start=False)
    assert float(found) == 1.0


def test_the_steps_are_as_long_as_they_should_be(net) -> None:
    x, y = samples()
    box = Box.around(x, RADIUS)
    one = pgd(net, x, y, box, steps=1, step_size=RADIUS / 4, random_start=False)
    assert bool(((one - x).abs() <= RADIUS / 4 + 1e-12).all())
    # The default reaches every corner from anywhere.
    far = pgd(lambda p: net[0](p)[:, :2], x, y % 2, box, steps=7, generator=draws())
    moved = (far - x).abs()
    torch.testing.assert_close(moved, RADIUS.expand_as(moved))


def test_what_cannot_be_is_refused(net) -> None:
    x, y = samples()
    box = Box.around(x, RADIUS)
    with pytest.raises(BadSetting, match="at least 1"):
        pgd(net, x, y, box, steps=0)
    with pytest.raises(BadSetting, match="random_start"):
        pgd(net, x, y, box, loss="kl", random_start=False)
    with pytest.raises(BadSetting, match="cross-entropy, margin, kl"):
        pgd(net, x, y, box, loss="hinge")
