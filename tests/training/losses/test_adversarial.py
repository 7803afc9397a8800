"""Adversarial training and TRADES."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from sensverify.errors import BadSetting
from sensverify.training.losses.adversarial import ATTACKS, adversarial, trades
from sensverify.training.losses.amounts import drawn
from sensverify.training.losses.cross_entropy import mixup
from sensverify.training.losses.labels import one_hot, towards
from sensverify.training.losses.loss import Loss
from sensverify.training.losses.mixing import Mix
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


def seen(step, **settings) -> tuple[torch.Tensor, torch.Tensor]:
    """The value of the term, and the inputs on which it ran the module."""
    inputs = []
    hook = step.module.register_forward_hook(lambda _, given, __: inputs.append(given[0].detach()))
    value = adversarial(step, **settings)
    hook.remove()
    return value, inputs[-1]


def again(make_step, step):
    """The same step before anything was drawn."""
    fresh = make_step(step.module, samples=len(step.x), radius=float(step.radius[0]))
    return fresh.generator


def test_amounts_are_shares_of_the_radius(make_step) -> None:
    for amount, low, high in (
        ("full", 1.0, 1.0),
        ("uniform", 0.0, 1.0),
        ("normal", 0.0, 1.0),
        ((0.1, 0.5), 0.1, 0.5),
    ):
        step = make_step(samples=200, radius=0.1, ramp=0.5)
        _, inputs = seen(step, attack="fgsm", amount=amount)
        moved = (inputs - step.x).abs().amax(1) / (0.5 * 0.1)
        assert moved.min() >= low - 1e-6
        assert moved.max() <= high + 1e-6
        if amount != "full":
            assert moved.min() < low + 0.1
            assert moved.max() > high - 0.1 * (1 + (amount == "normal"))


@pytest.mark.parametrize("bad", [(0.5, 0.1), (0.0, 1.5), (0.5,), "half"])
def test_amounts_that_cannot_be(make_step, bad) -> None:

    words = bad if isinstance(bad, str) else f"({', '.join(map(str, bad))})"
    with pytest.raises(BadSetting, match="amount"):
        Loss.parse(f"adversarial(amount={words})")(make_step())


def test_normal_amounts_are_of_a_truncated_normal(make_step) -> None:

    step = make_step(samples=4000)
    found = drawn("normal", step).numpy()
    expected = stats.truncnorm(0, 2, scale=0.5)
    assert stats.kstest(found, expected.cdf).pvalue > 0.01


@pytest.mark.parametrize("attack", ATTACKS)
def test_towards_the_least_likely_class(make_step, attack: str) -> None:
    """Its cross-entropy falls, as far as a linear function lets it."""
    layer = nn.Linear(3, 4).double()
    step = make_step(layer, samples=30, radius=0.05)
    least = layer(step.x).argmin(1)
    _, inputs = seen(step, attack=attack, target="least-likely", steps=20)
    before = functional.cross_entropy(layer(step.x), least, reduction="none")
    after = functional.cross_entropy(layer(inputs), least, reduction="none")
    if attack == "fgsm":
        assert (after < before).all()
    assert after.mean() < before.mean()


def test_the_label_of_tlat(make_step) -> None:
    """(1 - eps) onehot(y) + eps onehot(target), eps being the amount of the attack."""
    step = make_step(samples=50, radius=0.2, clip=(0.0, 2.0))
    value, inputs = seen(step, attack="fgsm", target="random", amount="uniform", labels="target")
    draws = again(make_step, step)
    targets = torch.randint(0, 4, (50,), generator=draws)
    eps = 0.2 * torch.rand(50, generator=draws, dtype=torch.float64)
    # Pixels that are not cut off at 0 move by it.
    moved = (inputs - step.x).abs().amax(1)
    torch.testing.assert_close(moved, eps)
    labels = torch.zeros(50, 4, dtype=torch.float64)
    for k in range(50):
        # As a share of the range of pixels, which is 2 here.
        labels[k, step.y[k]] += 1 - eps[k] / 2
        labels[k, targets[k]] += eps[k] / 2
    torch.testing.assert_close(value, functional.cross_entropy(step.module(inputs), labels))


def test_the_label_of_m_tlat() -> None:
    """A share of .7 and an amount of .02: .686, .294 and .02."""

    mix = Mix(torch.tensor([1, 0]), torch.tensor([0.7, 0.7], dtype=torch.float64))
    mixed = mix.of(one_hot(torch.tensor([0, 1]), torch.zeros(2, 3, dtype=torch.float64)))
    found = towards(mixed, torch.tensor([2, 2]), 0.02)
    expected = torch.tensor([[0.686, 0.294, 0.02], [0.294, 0.686, 0.02]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_m_tlat_without_an_attack_is_mixup(make_step) -> None:

    settings = {"attack": "fgsm", "target": "random", "labels": "target"}
    step = make_step(samples=20, radius=0.0)
    found = adversarial(step, mixup=0.4, **settings)
    expected = mixup(make_step(step.module, samples=20), alpha=0.4, per="sample")
    torch.testing.assert_close(found, expected)


def test_smoothed_labels_of_an_attack(make_step) -> None:
    step = make_step(samples=20, radius=0.1)
    for normalised, rest in ((True, 0.1 / 4), (False, 0.1 / 4)):
        fresh = make_step(step.module, samples=20, radius=0.1)
        value, inputs = seen(fresh, attack="fgsm", labels="smoothed", normalised=normalised)
        labels = torch.full((20, 4), rest, dtype=torch.float64)
        labels[torch.arange(20), step.y] = 0.9 + (rest if normalised else 0)
        expected = functional.cross_entropy(step.module(inputs), labels)
        torch.testing.assert_close(value, expected)


def test_the_share_of_a_label_can_be_given(make_step) -> None:
    step = make_step(samples=20, radius=0.1)
    value, inputs = seen(step, attack="fgsm", labels="smoothed", smoothing=0.4)
    outputs = step.module(inputs)
    expected = functional.cross_entropy(outputs, step.y, label_smoothing=0.4)
    torch.testing.assert_close(value, expected)


def test_mixing_after_the_attack_mixes_attacked_samples(make_step) -> None:
    step = make_step(samples=20, radius=0.1)
    value, inputs = seen(step, attack="fgsm", mixup=1.0, order="attack-first")
    fresh = make_step(step.module, samples=20, radius=0.1)

    mix = Mix.drawn(fresh.x, 1.0, "sample", fresh.generator)
    plain, attacked = seen(make_step(step.module, samples=20, radius=0.1), attack="fgsm")
    assert plain != value
    torch.testing.assert_close(inputs, mix.of(attacked))
    labels = mix.of(functional.one_hot(step.y, 4).double())
    torch.testing.assert_close(value, functional.cross_entropy(step.module(inputs), labels))


def test_an_attack_on_mixed_samples_raises_the_loss_of_their_labels(make_step) -> None:
    step = make_step(samples=40, radius=0.1, clip=(0.0, 1.0))
    value, inputs = seen(step, attack="pgd", mixup=1.0)
    still = make_step(step.module, samples=40, radius=0.0)
    assert value > adversarial(still, attack="pgd", mixup=1.0)
    assert inputs.min() >= 0
    assert inputs.max() <= 1


def test_what_cannot_be_asked_of_labels(make_step) -> None:
    with pytest.raises(BadSetting, match="target"):
        adversarial(make_step(), labels="target")
    with pytest.raises(BadSetting, match="`clip`"):
        adversarial(make_step(radius=8.0), labels="smoothed")
    with pytest.raises(BadSetting, match="how far"):
        adversarial(make_step(radius=None), target="random")


def test_trades_with_an_amount_of_nothing(make_step) -> None:
    step = make_step(radius=0.3)
    assert float(trades(step, amount=(0.0, 0.0)).detach()) == pytest.approx(0.0, abs=1e-12)
    assert float(trades(make_step(radius=0.3)).detach()) > 1e-5


def test_labels_are_not_rounded_to_half_precision() -> None:
    outputs = torch.zeros(1, 3, dtype=torch.bfloat16)
    labels = towards(one_hot(torch.tensor([0]), outputs), torch.tensor([1]), 0.001)
    torch.testing.assert_close(labels, torch.tensor([[0.999, 0.001, 0.0]]))
