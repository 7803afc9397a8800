"""Adversarial training and TRADES."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from sensverify.errors import BadSetting
from sensverify.training.losses.adversarial import ATTACKS, adversarial, trades
from sensverify.training.losses.robust import robust


def plain(step) -> float:
    return float(functional.cross_entropy(step.outputs, step.y).detach())


@pytest.mark.parametrize("attack", ATTACKS)
def test_between_the_loss_at_samples_and_its_proven_bound(make_step, attack) -> None:
    step = make_step(samples=40)
    value = float(adversarial(step, attack=attack).detach())
    assert value <= float(robust(step).detach())
    if attack != "fast":
        assert value >= plain(step)


@pytest.mark.parametrize("attack", ATTACKS)
def test_radius_zero_is_cross_entropy(make_step, attack) -> None:
    step = make_step(radius=0.0)
    assert float(adversarial(step, attack=attack).detach()) == pytest.approx(plain(step))
    assert float(trades(step).detach()) == pytest.approx(0.0, abs=1e-12)


def test_fgsm_on_a_linear_function_of_two_classes(make_step) -> None:
    layer = nn.Linear(3, 2).double()
    step = make_step(layer, radius=0.2)
    # The margin falls by the radius times the L1 norm of the difference of the rows.
    margins = torch.stack(
        [step.outputs[i, y] - step.outputs[i, 1 - y] for i, y in enumerate(step.y)]
    )
    margins = margins - 0.2 * (layer.weight[0] - layer.weight[1]).abs().sum()
    expected = functional.softplus(-margins).mean()
    torch.testing.assert_close(adversarial(step, attack="fgsm"), expected)


def test_the_gradient_is_that_of_the_loss_at_the_attacked_points(make_step) -> None:
    module = make_step().module
    weights = list(module.parameters())
    step = make_step(module)
    adversarial(step, attack="fgsm").backward()
    # By Danskin's theorem it is the derivative of the whole where the corner stays the same.
    before = [w.detach().clone() for w in weights]
    ways = [torch.randn_like(w) for w in weights]
    slope = sum(float((w.grad * way).sum()) for w, way in zip(weights, ways, strict=True))
    ends = []
    for h in (1e-6, -1e-6):
        with torch.no_grad():
            for weight, start, way in zip(weights, before, ways, strict=True):
                weight.copy_(start + h * way)
        ends.append(float(adversarial(make_step(module), attack="fgsm").detach()))
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-8)


def test_trades_is_a_divergence_with_gradients_on_both_sides(make_step) -> None:
    step = make_step(samples=20)
    value = trades(step)
    assert float(value.detach()) > 0
    # The same attack twice, by its generator.
    assert torch.equal(value, trades(make_step(samples=20)))
    seen = []
    module = step.module
    hook = module.register_forward_hook(lambda _, __, outputs: seen.append(outputs))
    fresh = make_step(module, samples=20)
    seen.clear()
    found = trades(fresh)
    hook.remove()
    assert len(seen) == 2
    assert all(bool((g != 0).any()) for g in torch.autograd.grad(found, seen))
    shares = [functional.softmax(outputs, dim=1) for outputs in seen]
    one, other = (shares[0], shares[1]) if seen[0] is fresh.outputs else (shares[1], shares[0])
    torch.testing.assert_close(found, (one * (one / other).log()).sum(1).mean())


class Normed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


@pytest.mark.parametrize("term", [adversarial, trades])
def test_attacked_in_evaluation_mode_and_trained_in_training_mode(make_step, term) -> None:
    module = Normed().train()
    step = make_step(module, samples=30)
    assert step.outputs.requires_grad
    counted = int(module[1].num_batches_tracked)
    mode = []
    hook = module.register_forward_hook(lambda m, *_: mode.append(m.training))
    term(step)
    hook.remove()
    assert mode == [True]
    # The attack's passes are not batches.
    assert int(module[1].num_batches_tracked) == counted + 1
    assert all(parameter.grad is None for parameter in module.parameters())


def test_the_points_are_inside_of_the_clipped_box_of_the_ramp(make_step) -> None:
    step = make_step(radius=0.5, ramp=0.5, clip=(0.0, 1.0))
    points = []
    plain_forward = step.module.forward
    step.module.forward = lambda x: points.append(x) or plain_forward(x)
    for attack in ATTACKS:
        points.clear()
        adversarial(step, attack=attack)
        assert bool(step.box.contains(points[0]).all())
        assert float((points[0] - step.x).abs().max()) > 0.1


def test_what_cannot_be_is_refused(make_step) -> None:
    with pytest.raises(BadSetting, match=r"cw.* fgsm, fast, pgd"):
        adversarial(make_step(), attack="cw")
    with pytest.raises(BadSetting, match="at least 1"):
        adversarial(make_step(), steps=0)
    with pytest.raises(BadSetting, match="`sigma`"):
        trades(make_step(radius=None))
