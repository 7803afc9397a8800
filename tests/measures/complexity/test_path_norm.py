"""The path norm against products of squared matrices, and against the network that is squared."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise, product
from math import exp, log

import pytest
import torch
from torch import Tensor, nn

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.errors import NotMeasured
from sensverify.measures.complexity.path_norm import MEASURES, log_path_norm
from sensverify.measures.measure import MeasuredClassifier
from sensverify.network import Network


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in module.parameters():
            values.copy_(torch.randn(values.shape, generator=generator))
    return module.eval()


def network_of(module: nn.Module, shape: tuple[int, ...]) -> Network:
    return prepare(sv.from_module(module, shape))


def squared(module: nn.Module, shape: tuple[int, ...]) -> float:
    """The sum of the outputs of a module with squared parameters at ones."""
    copy = deepcopy(module).double().eval()
    with torch.no_grad():
        for values in copy.parameters():
            values.square_()
        return float(copy(torch.ones(1, *shape, dtype=torch.float64)).sum())


def mlp(*sizes: int, bias: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_without_biases_it_is_a_product_of_squared_matrices() -> None:
    module = filled(mlp(4, 7, 5, 3, bias=False))
    total: Tensor = torch.ones(4, dtype=torch.float64)
    for layer in module[::2]:
        total = layer.weight.detach().double().square() @ total
    found = exp(log_path_norm(network_of(module, (4,))))
    assert found == pytest.approx(float(total.sum()), rel=1e-9)


def test_it_is_the_sum_over_all_paths() -> None:
    module = filled(mlp(2, 3, 2, bias=True))
    first, last = (layer.weight.detach().double() for layer in module[::2])
    paths = sum(
        float((last[k, j] * first[j, i]) ** 2) for i, j, k in product(range(2), range(3), range(2))
    )
    network = network_of(module, (2,))
    assert exp(log_path_norm(network, biases=False)) == pytest.approx(paths)
    bias = module[0].bias.detach().double()
    paths += sum(float((last[k, j] * bias[j]) ** 2) for j, k in product(range(3), range(2)))
    paths += float(module[2].bias.detach().double().square().sum())
    assert exp(log_path_norm(network)) == pytest.approx(paths)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 3, 3, padding=1)
        self.two = nn.Conv2d(3, 3, 3, padding=1)
        self.last = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.two(torch.relu(self.one(x)))
        x = torch.cat([x, torch.relu(x)], dim=1)
        return self.last(x.amax(dim=(2, 3)))


POOLS = {
    "max": nn.MaxPool2d(3, 2, 1),
    "average": nn.AvgPool2d(2),
    "average-of-what-is-inside": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "global": nn.AdaptiveAvgPool2d(1),
}


@pytest.mark.parametrize("name", POOLS)
def test_pooling_has_no_weights_to_square(name: str) -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), POOLS[name], nn.Flatten())
    module.append(nn.Linear(module(torch.zeros(1, 2, 8, 8)).shape[1], 3))
    filled(module)
    found = exp(log_path_norm(network_of(module, (2, 8, 8))))
    assert found == pytest.approx(squared(module, (2, 8, 8)), rel=1e-6)


@pytest.mark.parametrize("act", [nn.ReLU(), nn.LeakyReLU(0.2), nn.Identity()])
def test_nothing_is_below_zero_so_activations_do_not_matter(act: nn.Module) -> None:
    module = nn.Sequential(nn.Conv1d(2, 3, 3), act, nn.ConvTranspose1d(3, 2, 4, stride=2))
    filled(module)
    found = exp(log_path_norm(network_of(module, (2, 9))))
    assert found == pytest.approx(squared(module, (2, 9)), rel=1e-6)


def test_branches_meet() -> None:
    module = filled(Residual())
    found = exp(log_path_norm(network_of(module, (3, 5, 5))))
    assert found == pytest.approx(squared(module, (3, 5, 5)), rel=1e-6)


def test_batch_normalisation_counts_as_the_weights_it_comes_to() -> None:
    for place in (1, 3):
        pooled: list[nn.Module] = [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()]
        pooled.insert(place, nn.BatchNorm2d(4))
        module = filled(nn.Sequential(*pooled, nn.Linear(36, 3)))
        norm = module[place]
        norm.running_mean.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
        norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
        plain = deepcopy(module)
        factor = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
        shift = (norm.bias - norm.running_mean * factor).detach()
        # Statistics that do nothing leave weight and bias, which the reference squares.
        fixed = plain[place]
        fixed.eps = 0.0
        with torch.no_grad():
            fixed.running_mean.zero_()
            fixed.running_var.fill_(1.0)
            fixed.weight.copy_(factor)
            fixed.bias.copy_(shift)
            if place == 1:
                # A convolution's own bias is folded before it is squared.
                plain[0].bias.zero_()
                fixed.bias.copy_(shift + factor * module[0].bias)
        found = exp(log_path_norm(network_of(module, (2, 8, 8))))
        assert found == pytest.approx(squared(plain, (2, 8, 8)), rel=1e-5)


@pytest.mark.parametrize("exponent", [-30, 30])
def test_it_neither_overflows_nor_vanishes(exponent: int) -> None:
    depth = 20
    module = mlp(*([2] * (depth + 1)), bias=False)
    with torch.no_grad():
        for layer in module[::2]:
            layer.weight.fill_(10.0**exponent)
    network = network_of(module, (2,))
    expected = (depth + 1) * log(2) + 2 * depth * exponent * log(10)
    assert log_path_norm(network) == pytest.approx(expected)
    x = torch.zeros(1, 2)
    measured = MeasuredClassifier(network, x, torch.zeros(1).long())
    assert MEASURES["log-path-norm"].take(measured).value == pytest.approx(expected)
    if exponent > 0:
        with pytest.raises(NotMeasured, match="see log-path-norm"):
            MEASURES["path-norm"].take(measured)


def test_biases_behind_small_weights_and_before_large_ones() -> None:
    """A bias is as large as it is beside what was scaled."""
    for exponent in (-25, 25):
        module = mlp(1, 1, 1, 1, 1, bias=True)
        weights = [10.0**exponent] * 3 + [2.0]
        with torch.no_grad():
            for layer, weight in zip(module[::2], weights, strict=True):
                layer.weight.fill_(weight)
                layer.bias.fill_(3.0)
        w = float(torch.tensor(10.0**exponent)) ** 2
        value = 4 * (w * (w * (w + 9) + 9) + 9) + 9
        assert log_path_norm(network_of(module, (1,))) == pytest.approx(log(value), rel=1e-6)


@pytest.mark.parametrize("act", [nn.Sigmoid(), nn.Tanh(), nn.ReLU6()])
def test_what_is_no_relu_is_refused_by_name(act: nn.Module) -> None:
    names = {"Sigmoid": "Sigmoid", "Tanh": "Tanh", "ReLU6": "Clip"}
    module = nn.Sequential(nn.Linear(2, 3), act, nn.Linear(3, 2))
    with pytest.raises(NotMeasured, match=names[type(act).__name__]):
        log_path_norm(network_of(module, (2,)))


def test_a_network_of_zeros_has_none() -> None:
    module = nn.Linear(2, 2)
    with torch.no_grad():
        for values in module.parameters():
            values.zero_()
    with pytest.raises(NotMeasured, match="no path"):
        log_path_norm(network_of(module, (2,)))
