"""Cross-entropy, label smoothing, mixup and the L2 penalty."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from sensverify.errors import BadSetting
from sensverify.training.losses.cross_entropy import cross_entropy, l2, mixup
from sensverify.training.losses.mixing import betas


def _beta(alpha: float, draws: torch.Generator) -> float:
    return float(betas(alpha, 1, draws))


def logs(step) -> torch.Tensor:
    return functional.log_softmax(step.outputs, dim=1)


def test_cross_entropy_is_minus_the_mean_log_of_the_labels_share(make_step) -> None:
    step = make_step()
    expected = -logs(step).gather(1, step.y[:, None]).mean()
    torch.testing.assert_close(cross_entropy(step), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_smoothing_mixes_with_the_uniform_distribution(make_step, smoothing: float) -> None:
    step = make_step()
    even = -logs(step).mean()
    expected = (1 - smoothing) * cross_entropy(step) + smoothing * even
    torch.testing.assert_close(cross_entropy(step, smoothing=smoothing), expected)


def test_smoothing_wants_the_outputs_that_give_its_labels(make_step) -> None:
    """The gradient is zero where the class probabilities are the smoothed labels."""
    layer = nn.Linear(1, 3).double()
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([0.8, 0.1, 0.1]).log())
    step = make_step(layer, y=torch.zeros(5, dtype=torch.long))
    cross_entropy(step, smoothing=0.3).backward()
    torch.testing.assert_close(
        layer.bias.grad, torch.zeros(3, dtype=torch.float64), atol=1e-7, rtol=0
    )


def test_mixup_with_tiny_alpha_leaves_samples_as_they_are(make_step) -> None:
    """The share is then 0 or 1: the samples, in one order or another, with their own labels."""
    for seed in range(5):
        step = make_step(seed=seed)
        torch.testing.assert_close(mixup(step, alpha=1e-3), cross_entropy(step), rtol=1e-3, atol=0)


def test_mixup_of_equal_samples_is_cross_entropy_with_mixed_labels(make_step) -> None:
    step = make_step(x=torch.full((6, 3), 0.3, dtype=torch.float64), y=torch.arange(6) % 2)
    value = mixup(step)
    # One output row: the loss is linear in the labels, and a permutation keeps their sum.
    torch.testing.assert_close(value, cross_entropy(step))


def test_mixup_feeds_convex_combinations_and_weighs_labels_alike(make_step) -> None:
    """An affine function, and probabilities that are its logits: recover the share."""
    step = make_step(samples=50)
    seen = []
    hook = step.module.register_forward_hook(
        lambda _, inputs, outputs: seen.append((inputs[0], outputs))
    )
    value = mixup(step, alpha=1.0)
    hook.remove()
    mixed, outputs = seen[-1]
    # The same draws again.
    draws = torch.Generator().manual_seed(0)
    again = make_step(samples=50, module=step.module)
    order = torch.randperm(50, generator=again.generator)
    del draws
    direction = step.x - step.x[order]
    moved = mixed - step.x[order]
    share = float((moved * direction).sum() / direction.square().sum())
    assert 0 <= share <= 1
    torch.testing.assert_close(mixed, share * step.x + (1 - share) * step.x[order])
    labels = functional.one_hot(step.y, 4).double()
    soft = share * labels + (1 - share) * labels[order]
    torch.testing.assert_close(value, functional.cross_entropy(outputs, soft))


def test_labels_smoothed_as_they_are_printed_do_not_sum_to_one(make_step) -> None:
    """The label's 1 becomes 1 - s, and every 0 becomes s / N."""
    step = make_step()
    labels = torch.full((5, 4), 0.3 / 4, dtype=torch.float64)
    labels[torch.arange(5), step.y] = 0.7
    torch.testing.assert_close(labels.sum(1), torch.full((5,), 1 - 0.3 / 4, dtype=torch.float64))
    expected = -(labels * logs(step)).sum(1).mean()
    found = cross_entropy(step, smoothing=0.3, normalised=False)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(cross_entropy(step, normalised=False), cross_entropy(step))


def test_mixup_of_two_samples_each_with_a_share_of_its_own(make_step) -> None:
    """Of two samples each is the other's partner, or its own."""
    for seed in range(6):
        step = make_step(samples=2, seed=seed)
        value = mixup(step, alpha=1.0, per="sample")
        again = make_step(samples=2, seed=seed, module=step.module)
        order = torch.randperm(2, generator=again.generator)
        shares = [float(each) for each in betas(1.0, 2, again.generator)]
        assert shares[0] != shares[1]
        total = 0.0
        for own, share in enumerate(shares):
            other = int(order[own])
            x = share * step.x[own] + (1 - share) * step.x[other]
            logs = functional.log_softmax(step.module(x[None])[0].detach(), dim=0)
            total -= float(share * logs[step.y[own]] + (1 - share) * logs[step.y[other]])
        assert float(value.detach()) == pytest.approx(total / 2)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixups_shares_are_beta_distributed(alpha: float) -> None:
    draws = torch.Generator().manual_seed(0)
    shares = torch.tensor([_beta(alpha, draws) for _ in range(4000)])
    # Mean 1/2, variance 1 / (4 (2 alpha + 1)); five standard errors.
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(float(shares.mean()) - 0.5) < 5 * math.sqrt(variance / 4000)
    assert abs(float(shares.var()) - variance) < 5 * variance * math.sqrt(2 / 4000)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_shares_have_the_distribution_of_numpys(alpha: float) -> None:
    draws = torch.Generator().manual_seed(0)
    ours = [_beta(alpha, draws) for _ in range(3000)]
    theirs = np.random.default_rng(0).beta(alpha, alpha, 3000)
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01


@pytest.mark.parametrize("alpha", [1e-3, 1e-30, 1e-300])
def test_shares_of_a_tiny_alpha_are_near_the_ends(alpha: float) -> None:
    """Gammas of such shapes underflow, both of them most of the time."""
    draws = torch.Generator().manual_seed(0)
    shares = np.array([_beta(alpha, draws) for _ in range(2000)])
    assert not np.isnan(shares).any()
    middle = ((shares > 0.1) & (shares < 0.9)).mean()
    # P(0.1 < share < 0.9) is about alpha log 9.
    assert middle < 0.01
    assert abs(shares.mean() - 0.5) < 5 * 0.5 / math.sqrt(2000)


def test_l2_counts_weights_and_no_biases_or_frozen_ones(make_step) -> None:
    step = make_step(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double())
    first, last = step.module[0].weight, step.module[2].weight
    torch.testing.assert_close(l2(step), first.square().sum() + last.square().sum())
    last.requires_grad_(False)
    torch.testing.assert_close(l2(step), first.square().sum())
    first.requires_grad_(False)
    with pytest.raises(BadSetting, match="no weights"):
        l2(step)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_smoothing_is_a_share(make_step, value: float) -> None:
    with pytest.raises(BadSetting, match="smoothing"):
        cross_entropy(make_step(), smoothing=value)


@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_alpha_is_above_zero(make_step, value: float) -> None:
    with pytest.raises(BadSetting, match="alpha"):
        mixup(make_step(), alpha=value)
