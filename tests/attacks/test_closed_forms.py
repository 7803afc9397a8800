"""On affine functions the worst and the nearest point are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from sensverify.attacks import (
    CarliniWagner,
    Fgsm,
    LlFgsm,
    LlPgd,
    MiFgsm,
    Pgd,
    SampleGenerator,
    Square,
    fgsm,
    make_attack,
    pgd,
    run_attack,
)
from sensverify.attacks.ascent import largest_step, margin_loss
from sensverify.core.box import Box

RADIUS = torch.tensor([0.1, 0.0, 0.3, 0.02, 0.25, 0.2], dtype=torch.float64)


def draws(count: int) -> SampleGenerator:
    return SampleGenerator.seeded(0, torch.arange(count))


@pytest.mark.parametrize(
    "attack",
    [
        Fgsm(),
        Fgsm(loss="margin"),
        LlFgsm(),
        Pgd(),
        Pgd(steps=3, loss="margin"),
        LlPgd(),
        MiFgsm(),
        MiFgsm(steps=4, decay=0.0),
        *(make_attack(name) for name in ("apgd-ce", "apgd-dlr")),
    ],
    ids=str,
)
def test_the_margin_of_two_classes_drops_by_the_radius_times_the_weights(affine, attack) -> None:
    """``eps ||w||_1``, with every feature's own radius."""
    net, x, y = affine
    found = attack.points(net, x, y, Box.around(x, RADIUS), generator=draws(len(x)))
    row = net.weight[1] - net.weight[0]
    expected = margin_loss(net(x), y) + (RADIUS * row.abs()).sum()
    torch.testing.assert_close(margin_loss(net(found), y), expected)


def test_one_step_from_a_random_start_gets_a_good_way(affine) -> None:
    """From anywhere it goes 1.25 half-widths: at least a quarter beyond the middle."""
    net, x, y = affine
    box = Box.around(x, RADIUS)
    found = Fgsm(random_start=True).points(net, x, y, box, generator=draws(len(x)))
    row = net.weight[1] - net.weight[0]
    expected = margin_loss(net(x), y) + (RADIUS * row.abs()).sum() / 4
    assert bool((margin_loss(net(found), y) >= expected).all())


def test_random_search_gets_there_too(affine) -> None:
    net, x, y = affine
    # Labels that are wrong by much: the search goes on for all queries.
    far = nn.Linear(6, 2).double()
    far.load_state_dict({"weight": net.weight, "bias": torch.tensor([0.0, 0.0])})
    function = lambda points: far(points) + 100.0 * nn.functional.one_hot(y, 2)  # noqa: E731
    found = Square(queries=600).points(function, x, y, Box.around(x, RADIUS), generator=draws(20))
    row = net.weight[1] - net.weight[0]
    expected = margin_loss(function(x), y) + (RADIUS * row.abs()).sum()
    torch.testing.assert_close(margin_loss(function(found), y), expected)


@pytest.mark.parametrize("clip", [None, (0.0, 1.0)], ids=["whole", "clipped"])
@pytest.mark.parametrize("steps", [1, 4, 10])
def test_momentum_without_memory_is_plain_ascent(bent, steps, clip) -> None:
    net, x, y = bent
    box = Box.around(x, 0.2, clip=clip)
    found = MiFgsm(steps=steps, decay=0.0).points(net, x, y, box, generator=draws(30))
    plain = pgd(
        net,
        x,
        y,
        box,
        steps=steps,
        step_size=largest_step(x, box) * (1 / steps),
        random_start=False,
    )
    assert torch.equal(found, plain)
    settings = Pgd(steps=steps, step_size=1 / steps, random_start=False)
    assert torch.equal(settings.points(net, x, y, box, generator=draws(30)), plain)


def test_momentum_by_hand() -> None:
    """One feature and a loss whose gradient turns: memory carries the point on."""
    slopes = iter([1.0, -0.5, -9.0])

    class Turning(torch.autograd.Function):
        @staticmethod
        def forward(ctx, points):
            return torch.cat([points, -points], dim=1)

        @staticmethod
        def backward(ctx, gradient):
            return torch.full((1, 1), next(slopes))

    seen: list[float] = []

    def function(points):
        seen.append(float(points.detach()))
        return Turning.apply(points)

    x = torch.zeros(1, 1)
    MiFgsm(steps=3, decay=1.0).points(
        function, x, torch.tensor([0]), Box(x - 3, x + 3), generator=draws(1)
    )
    # Normalised slopes 1, -1, -1 add up to 1, 0, -1: on, rest, back.
    # It looks at the sample before the first step.
    assert seen == [0.0, 0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("attack", [LlFgsm(), LlPgd(steps=5)], ids=str)
def test_the_least_likely_class_gets_likelier(seeded, attack) -> None:
    net = seeded(lambda: nn.Linear(6, 5))
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    clean = net(x)
    y, least = clean.argmax(dim=1), clean.argmin(dim=1)
    found = attack.points(net, x, y, Box.around(x, 0.01), generator=draws(40))
    assert bool((cross_entropy(net(found), least) < cross_entropy(clean, least)).all())
    assert bool((margin_loss(net(found), least) < margin_loss(clean, least)).all())


def test_one_step_goes_down_the_loss_of_the_least_likely_class(seeded) -> None:
    net = seeded(lambda: nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 5)))
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.zeros(40, dtype=torch.long)
    box = Box.around(x, 0.1)
    found = LlFgsm().points(net, x, y, box, generator=draws(40))
    up = fgsm(net, x, net(x).argmin(dim=1), box)
    torch.testing.assert_close(found, 2 * x - up)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_nearest_point_lies_on_a_plane_between_two_classes(seeded, classes) -> None:
    """Never nearer than ``min_j (z_y - z_j) / ||w_y - w_j||_2``; at most at the second class's."""
    net = seeded(lambda: nn.Linear(6, classes))
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    outputs = net(x).detach()
    y, second = outputs.topk(2, dim=1).indices.T
    margins = outputs.gather(1, y[:, None]) - outputs
    norms = (net.weight[y][:, None] - net.weight[None]).norm(dim=2).detach()
    planes = torch.where(margins > 0, margins / norms, torch.inf)
    box = Box(torch.full_like(x, -5.0), torch.full_like(x, 5.0))
    found = run_attack(net, x, y, box, CarliniWagner(steps=100))
    assert bool(found.found.all())
    assert bool((found.l2 >= planes.amin(dim=1) * (1 - 1e-9)).all())
    assert bool((found.l2 <= planes.gather(1, second[:, None]).squeeze(1) * 1.05).all())


def test_confidence_asks_for_a_point_further_on(affine) -> None:
    net, x, y = affine
    box = Box(torch.full_like(x, -9.0), torch.full_like(x, 9.0))
    found = run_attack(net, x, y, box, CarliniWagner(steps=50, confidence=1.0, initial_weight=10.0))
    assert bool(found.found.all())
    assert float(margin_loss(found.outputs, y).min()) >= 1.0


def test_nothing_near_enough_is_the_sample_itself(affine) -> None:
    net, x, y = affine
    found = run_attack(net, x, y, Box(x - 1e-6, x + 1e-6), CarliniWagner(steps=5))
    assert not bool(found.broken.any())
    assert torch.equal(found.points, x)


def cross_entropy(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, labels, reduction="none")
