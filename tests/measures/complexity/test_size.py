"""Counts and norms of weights as numbers, by hand."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.errors import BadSetting, NotMeasured
from sensverify.measures.complexity.layers import LinearLayer, linear_layers
from sensverify.measures.complexity.norms import MEASURES as NORMS
from sensverify.measures.complexity.size import (
    MEASURES,
    l2_norm,
    parameter_count,
    printed_count,
    sparsity,
)
from sensverify.measures.measure import MeasuredClassifier
from sensverify.models import registry


def layers_of(module: nn.Module, shape: tuple[int, ...]) -> tuple[LinearLayer, ...]:
    return linear_layers(prepare(sv.from_module(module.eval(), shape)))


def measured_of(module: nn.Module, initial: nn.Module | None = None) -> MeasuredClassifier:
    network = prepare(sv.from_module(module, (4,)))
    before = None if initial is None else prepare(sv.from_module(initial, (4,)))
    x = torch.zeros(2, 4)
    return MeasuredClassifier(
        network, x, torch.zeros(2).long(), train_x=x, train_size=100, initial=before
    )


def test_parameters_by_hand() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 5, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 6, (3, 1), groups=2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 10),
    )
    layers = layers_of(module, (3, 12, 12))
    # With batch normalisation folded in, a layer has its biases.
    expected = (25 * 3 * 8 + 8) + (3 * 4 * 6 + 6) + (12 * 10 + 10)
    assert parameter_count(layers) == expected
    printed = 25 * 3 * (8 + 1) + 3 * 8 * (6 + 1) + 12 * (10 + 1)
    assert printed_count(layers) == printed


# Of a mixer, the network has matrices that average, beside its weights.
@pytest.mark.parametrize("name", [n for n in registry.names() if n != "digits-mixer"])
def test_shipped_models_have_the_parameters_of_their_cards(name: str) -> None:
    layers = linear_layers(prepare(sv.load(name)))
    assert parameter_count(layers) == registry.card(name).parameters


def test_the_norm_is_of_weights_and_biases() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    layers = layers_of(module, (4,))
    with torch.no_grad():
        everything = torch.cat([values.flatten() for values in module.parameters()])
        weights = torch.cat([module[0].weight.flatten(), module[2].weight.flatten()])
    assert l2_norm(layers) == pytest.approx(float(everything.norm()), rel=1e-6)
    assert l2_norm(layers, biases=False) == pytest.approx(float(weights.norm()), rel=1e-6)


def test_the_norm_of_the_change_is_that_of_the_difference() -> None:
    now, before = nn.Linear(4, 3), nn.Linear(4, 3)
    with torch.no_grad():
        differences = [a - b for a, b in zip(now.parameters(), before.parameters(), strict=True)]
    expected = sqrt(sum(float(values.square().sum()) for values in differences))
    found = MEASURES["l2-init"].take(measured_of(now, before)).value
    assert found == pytest.approx(expected, rel=1e-5)
    assert MEASURES["l2-init"].take(measured_of(now, now)).value == 0.0
    with pytest.raises(NotMeasured, match="before training"):
        MEASURES["l2-init"].take(measured_of(now))


def test_without_biases_frobenius_sums_rank_networks_as_the_norm_does() -> None:
    nets = []
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        net = nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False))
        with torch.no_grad():
            for layer in (net[0], net[2]):
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
            net[0].weight.mul_(0.5 + seed % 3)
        nets.append(net)
    subjects = [measured_of(one, other) for one, other in pairwise(nets)]
    for norm, frobenius in (("l2", "sum-frobenius"), ("l2-init", "sum-frobenius-init")):
        norms = [MEASURES[norm].take(measured).value for measured in subjects]
        sums = [NORMS[frobenius].take(measured).value for measured in subjects]
        assert np.argsort(norms).tolist() == np.argsort(sums).tolist()
        assert norms == pytest.approx([sqrt(100) * value for value in sums])


def test_sparsity_by_hand() -> None:
    module = nn.Sequential(nn.Linear(4, 1), nn.ReLU(), nn.Linear(1, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[100.0, -0.5, 0.0, -2.0]]))
        module[2].weight.copy_(torch.tensor([[0.25], [0.002]]))
        module[0].bias.fill_(1e9)
    layers = layers_of(module, (4,))
    assert sparsity(layers) == pytest.approx(100 * 4 / 6)
    assert sparsity(layers, threshold=0.021) == pytest.approx(100 * 5 / 6)
    assert sparsity(layers, each_layer=True) == pytest.approx(100 * 3 / 6)
    assert sparsity(layers, threshold=1.0) == pytest.approx(100 * 5 / 6)
    # A factor on all weights changes nothing.
    with torch.no_grad():
        for linear in (module[0], module[2]):
            linear.weight.mul_(-3)
    assert sparsity(layers_of(module, (4,))) == pytest.approx(100 * 4 / 6)


def test_a_layer_of_zeros_is_sparse_by_any_threshold() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        module[0].weight.zero_()
        module[2].weight.fill_(1.0)
    layers = layers_of(module, (2,))
    assert sparsity(layers) == sparsity(layers, each_layer=True) == 50.0
    with torch.no_grad():
        module[2].weight.zero_()
    with pytest.raises(NotMeasured, match="all weights are 0"):
        sparsity(layers_of(module, (2,)))


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.5, float("nan")])
def test_a_threshold_is_a_share(threshold: float) -> None:
    with pytest.raises(BadSetting, match="threshold"):
        sparsity(layers_of(nn.Linear(2, 2), (2,)), threshold=threshold)
