"""Scaling the outputs changes no label, so it changes no attack; gradients that vanish are told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.resources import files

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sensverify.attacks import fgsm, pgd
from sensverify.attacks.ascent import AttackLoss, log_odds
from sensverify.attacks.attack import make_attack
from sensverify.attacks.run import run_attack
from sensverify.bounds.forward import forward_pass
from sensverify.core.box import Box
from sensverify.models import load

RADIUS = 0.3
ATTACKS = {
    "fgsm": {},
    "ll-fgsm": {},
    "pgd": {"steps": 10},
    "ll-pgd": {"steps": 10},
    "mi-fgsm": {},
    "apgd-ce": {"steps": 20},
    "apgd-dlr": {"steps": 20},
    "square": {"queries": 300},
    "cw": {"steps": 40},
}
SCALES = (1e-6, 1e-3, 1.0, 1e4, 1e6)


def linear(weight: Tensor, bias: Tensor, scale: float) -> Callable[[Tensor], Tensor]:
    return lambda x: scale * functional.linear(x, weight, bias)


def robust(name: str, function: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    attack = make_attack(name, **ATTACKS[name])
    box = Box(x - RADIUS, x + RADIUS)
    if attack.nearest:
        points = run_attack(function, x, y, Box(x - 2, x + 2), attack)
        return ~points.broken | (points.linf > RADIUS)
    return ~run_attack(function, x, y, box, attack).broken


@pytest.mark.parametrize("name", ATTACKS)
def test_two_classes_are_attacked_to_the_closed_form_at_every_scale(name: str) -> None:
    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(1))
    weight, bias = torch.tensor([[1.0, -1.0], [0.0, 0.0]]), torch.zeros(2)
    y = (x[:, 0] < x[:, 1]).long()
    # The margin |x0 - x1| falls by the radius times the 1-norm of (1, -1).
    exact = (x[:, 0] - x[:, 1]).abs() > 2 * RADIUS
    assert 0 < int(exact.sum()) < 60
    wanted = exact
    if name == "cw":
        # It looks for the nearest in another norm: what is safe in the box stays so.
        wanted = robust(name, linear(weight, bias, 1.0), x, y)
        assert not bool((exact & ~wanted).any())
    for scale in SCALES:
        assert torch.equal(robust(name, linear(weight, bias, scale), x, y), wanted), scale


@pytest.mark.parametrize("name", ["pgd", "apgd-ce", "apgd-dlr"])
def test_more_classes_are_attacked_alike_at_every_scale(name: str) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(100, 2, generator=generator)
    weight, bias = torch.randn(4, 2, generator=generator), torch.zeros(4)
    y = linear(weight, bias, 1.0)(x).argmax(dim=1)
    rows = weight[y].unsqueeze(1) - weight
    least = (x.unsqueeze(1) * rows).sum(2) - RADIUS * rows.abs().sum(2)
    exact = least.scatter(1, y.reshape(-1, 1), 1.0).amin(dim=1) > 0
    # At 1 the outputs spread by about 1, and the cross-entropy itself weighs all classes alike.
    for scale in (1e-6, 1e-3, 1e2, 1e4, 1e6):
        found = robust(name, linear(weight, bias, scale), x, y)
        assert not bool((exact & ~found).any()), scale
        assert int((found & ~exact).sum()) <= 2, scale


def test_log_odds_rise_with_the_cross_entropy_and_point_the_same_way() -> None:
    generator = torch.Generator().manual_seed(3)
    outputs = (5 * torch.randn(50, 6, generator=generator, dtype=torch.float64)).requires_grad_()
    labels = torch.randint(6, (50,), generator=generator)
    odds = log_odds(outputs, labels)
    entropy = functional.cross_entropy(outputs, labels, reduction="none")
    torch.testing.assert_close(torch.log1p(5 * odds.exp()), entropy)
    ours = torch.autograd.grad(odds.sum(), outputs, retain_graph=True)[0]
    theirs = torch.autograd.grad(entropy.sum(), outputs)[0]
    torch.testing.assert_close(functional.normalize(ours), functional.normalize(theirs))


def test_log_odds_have_a_gradient_at_every_scale() -> None:
    labels = torch.tensor([0, 0])
    for scale in (1e-30, 1e-9, 1.0, 1e9, 1e30):
        outputs = (scale * torch.tensor([[3.0, 1.0, 2.0], [1.0, 2.0, 4.0]])).requires_grad_()
        values = log_odds(outputs, labels)
        assert bool(values[0] < values[1]), scale
        (gradient,) = torch.autograd.grad(values.sum(), outputs)
        assert gradient[:, 0].tolist() == [-1, -1], scale
        assert gradient.sum(dim=1).tolist() == pytest.approx([0, 0], abs=1e-5), scale


def test_single_precision_breaks_what_double_precision_does() -> None:
    """Of very sure predictions the cross-entropy itself rounds to 0, and its gradient with it."""
    network, data = load("mnist-conv2"), np.load(files("sensverify.models") / "mnist.npz")
    images, labels = torch.from_numpy(data["x"]), torch.from_numpy(data["y"]).long()

    def left(loss: AttackLoss, dtype: torch.dtype) -> list[bool]:
        x = images.reshape(-1, *network.input_shape).to(dtype)
        box = Box((x - 0.15).clamp(0, 1), (x + 0.15).clamp(0, 1))
        function = partial(forward_pass, network)
        points = fgsm(function, x, labels, box, loss=loss)
        return (function(points).argmax(dim=1) == labels).tolist()

    entropy = partial(functional.cross_entropy, reduction="none")
    exact = left(log_odds, torch.float64)
    assert left(log_odds, torch.float32) == exact == left(entropy, torch.float64)
    assert sum(left(entropy, torch.float32)) > sum(exact)


def test_the_ratio_of_logits_goes_on_where_two_runners_up_are_equal() -> None:
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    x, y = torch.tensor([[0.2, 0.0]]), torch.tensor([0])
    assert not robust("apgd-dlr", linear(weight, torch.zeros(3), 1.0), x, y).any()


def test_divergence_finds_a_way_out_of_saturated_outputs() -> None:
    weight = 1e5 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    function = linear(weight, torch.zeros(2), 1.0)
    x, y = torch.tensor([[0.9, 0.5]]), torch.tensor([0])
    box = Box(x - RADIUS, x + RADIUS)
    generator = torch.Generator().manual_seed(0)
    reached = pgd(function, x, y, box, loss="kl", generator=generator)
    assert function(reached).argmax(dim=1).tolist() == [1]


def flat(x: Tensor) -> Tensor:
    """A step: its outputs change, and no gradient says so."""
    return torch.stack([(x.sum(dim=1) > 0).to(x.dtype) + 0 * x.sum(dim=1), 0.5 + 0 * x[:, 0]], 1)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "mi-fgsm", "apgd-ce", "apgd-dlr", "cw"])
def test_attacks_without_a_gradient_say_so(name: str) -> None:
    # The third sample is far from the step, and the fourth is wrong by itself.
    x = torch.tensor([[0.1, 0.1], [0.4, 0.3], [5.0, 5.0], [-1.0, -1.0]])
    y = torch.zeros(4, dtype=torch.int64)
    found = run_attack(flat, x, y, Box(x - 0.45, x + 0.45), make_attack(name, **ATTACKS[name]))
    expected = (~found.broken) & torch.tensor([True, True, False, False])
    assert torch.equal(found.gradient_masked, expected)
    if name in ("fgsm", "mi-fgsm", "cw"):
        assert bool(found.gradient_masked.any())


def test_what_needs_no_gradient_or_has_one_is_not_blind() -> None:
    x, y = torch.tensor([[0.1, 0.1]]), torch.tensor([0])
    box = Box(x - 0.45, x + 0.45)
    assert not run_attack(flat, x, y, box, make_attack("square")).gradient_masked.any()
    members = make_attack("worst", attacks="fgsm+square")
    assert not run_attack(flat, x, y, box, members).gradient_masked.any()
    slope = linear(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([9.0, 0.0]), 1.0)
    found = run_attack(slope, x, y, box, make_attack("fgsm"))
    assert not found.broken.any()
    assert not found.gradient_masked.any()


def test_fgsm_reaches_the_corner_of_saturated_outputs() -> None:
    function = linear(torch.tensor([[3e4, -3e4], [-3e4, 3e4]]), torch.zeros(2), 1.0)
    x, y = torch.tensor([[0.8, 0.3]]), torch.tensor([0])
    reached = fgsm(function, x, y, Box(x - RADIUS, x + RADIUS))
    torch.testing.assert_close(reached, torch.tensor([[0.5, 0.6]]))
