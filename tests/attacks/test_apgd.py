"""APGD: its schedule by hand, its loss, and how strong it is."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sensverify.attacks import ApgdCe, ApgdDlr, SampleGenerator, run_attack
from sensverify.attacks.apgd import ascend, checkpoints
from sensverify.attacks.ascent import margin_loss
from sensverify.attacks.dlr import dlr_loss
from sensverify.core.box import Box


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # p = .22, .41, .57, .70, .80, .87, .93, .99: as in the paper.
        (100, (22, 41, 57, 70, 80, 87, 93, 99)),
        (10, (3, 5, 6, 7, 8, 9, 10)),
        (1, (1,)),
        (1000, (220, 410, 570, 700, 800, 870, 930, 990)),
    ],
)
def test_the_schedule(steps, expected) -> None:
    assert checkpoints(steps) == expected


def line(values, slopes):
    """An objective with values and slopes by the call, of two samples; and the points it saw."""
    asked: list[list[float]] = []

    def objective(points):
        call = len(asked)
        asked.append(points.flatten().tolist())
        value = torch.tensor([values[0](call), values[1](call)], dtype=torch.float64)
        slope = torch.tensor([[slopes[0](call)], [slopes[1](call)]], dtype=torch.float64)
        return value, slope

    return objective, asked


def test_steps_halve_where_the_loss_does_not_rise_and_only_there() -> None:
    start = torch.zeros(2, 1, dtype=torch.float64)
    box = Box(start - 1e6, start + 1e6)
    objective, asked = line([float, lambda call: -float(call)], [lambda _: 1.0, lambda _: 1.0])
    share = ascend(objective, start, torch.ones_like(start), box, 10)
    assert len(asked) == 11
    # The first always rises; the second never does, and is halved at 3, 5, 6, 7, 8, 9 and 10.
    assert share.tolist() == [1.0, 2.0**-7]
    first, second = zip(*asked, strict=True)
    # A first full step, then 3/4 of a step and 1/4 of the last move: both 1.
    assert first == tuple(float(n) for n in range(11))
    # After step 3 back at the start, the best there was, by half a step with 1/4 of the way back
    # from the third point: 0 + .375 + .25 (0 - 2).
    assert second[:5] == (0.0, 1.0, 2.0, 3.0, 0.375 - 0.5)


def test_a_step_that_was_kept_is_halved_when_the_best_does_not_change() -> None:
    """The loss of the first sample rises from step to step, but never up to that of its start."""
    start = torch.zeros(2, 1, dtype=torch.float64)
    box = Box(start - 1e6, start + 1e6)
    objective, _ = line([lambda call: float(call or 1000), float], [lambda _: 1.0, lambda _: 1.0])
    share = ascend(objective, start, torch.ones_like(start), box, 20)
    assert checkpoints(20) == (5, 9, 12, 14, 16, 18, 19, 20)
    # At 5: 4 of 5 steps rise, but the best is still the start: halved, back to it. At 9: 3 of 4
    # rise, and the step was halved last time: kept. At 12: all rise, and nothing has changed:
    # halved. From then on too few rise, as every first step falls from the best.
    assert share.tolist() == [2.0**-7, 1.0]


def test_the_first_steps_on_a_small_box() -> None:
    """Steps begin at twice the radius, and the box stops them."""
    start = torch.zeros(2, 1, dtype=torch.float64)
    objective, asked = line([float, float], [lambda call: 1.0 if call < 2 else -1.0, lambda _: 1.0])
    ascend(objective, start, torch.full_like(start, 2.0), Box(start - 1, start + 1), 4)
    first, second = zip(*asked, strict=True)
    # At 1 and still; then down to -1: 1 - .75 * 2 + .25 * 0; then on: .75 * (-1 + .5) - .25 * 1.5.
    assert first == (0.0, 1.0, 1.0, -0.5, -1.0)
    assert second == (0.0, 1.0, 1.0, 1.0, 1.0)


def test_the_ratio_of_differences() -> None:
    outputs = torch.tensor([[5.0, 1.0, 3.0, -2.0], [5.0, 1.0, 3.0, -2.0], [0.0, 4.0, 4.0, 0.0]])
    labels = torch.tensor([0, 2, 1])
    # (3 - 5) / (5 - 1), (5 - 3) / (5 - 1), (4 - 4) / (4 - 0).
    torch.testing.assert_close(dlr_loss(outputs, labels), torch.tensor([-0.5, 0.5, 0.0]))
    moved = 7.0 * outputs - 3.0
    torch.testing.assert_close(dlr_loss(moved, labels), dlr_loss(outputs, labels))


def test_of_two_classes_the_difference_itself() -> None:
    outputs = torch.tensor([[5.0, 1.0], [1.0, 2.5]])
    labels = torch.tensor([0, 0])
    assert dlr_loss(outputs, labels).tolist() == [-4.0, 1.5]
    assert torch.equal(dlr_loss(outputs, labels), margin_loss(outputs, labels))


def test_three_equal_outputs_are_no_division_by_zero() -> None:
    outputs = torch.ones(1, 4, requires_grad=True)
    loss = dlr_loss(outputs, torch.tensor([2]))
    loss.sum().backward()
    assert bool(torch.isfinite(loss).all())


@pytest.mark.parametrize("attack", [ApgdDlr(steps=20), ApgdCe(steps=20)])
@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_scaling_the_outputs_blinds_no_loss(digits, attack, scale: float) -> None:
    """Large outputs leave the cross-entropy itself in float32 without a gradient."""
    function, x, y = digits
    x, y = x[:60], y[:60]
    box = Box.around(x, 0.1, clip=(0.0, 1.0))
    plain = run_attack(function, x, y, box, attack)
    scaled = run_attack(lambda p: scale * function(p), x, y, box, attack)
    assert int((scaled.broken != plain.broken).sum()) <= 1


def test_restarts_go_on_with_what_is_left(bent) -> None:
    net, x, y = bent
    box = Box.around(x, 0.1)
    once, more = (run_attack(net, x, y, box, ApgdCe(steps=3, restarts=n)) for n in (1, 5))
    assert torch.equal(more.points[once.found], once.points[once.found])
    assert bool((more.broken | ~once.broken).all())
    left = ~more.broken
    raised = cross_entropy(more.outputs, y) >= cross_entropy(once.outputs, y)
    assert bool(raised[left].all())


def test_cross_entropy_is_that_of_the_label(bent) -> None:
    """Another tool swaps its arguments (adversarial-robustness-toolbox, issue 2116)."""
    net, x, _ = bent
    y = net(x).argmax(dim=1)
    box = Box.around(x, 0.05)
    for attack in (ApgdCe(steps=10), ApgdDlr(steps=10)):
        draws = SampleGenerator.seeded(0, torch.arange(len(x)))
        found = attack.points(net, x, y, box, generator=draws)
        before, after = (cross_entropy(net(points), y) for points in (x, found))
        assert bool((after > before).all())


def cross_entropy(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, labels, reduction="none")
