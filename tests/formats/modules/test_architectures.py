"""Networks as people write them, beside the modules themselves."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sensverify.bounds import Crown, Ibp, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.formats.modules import from_module


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class SlicedShortcut(nn.Module):
    """A residual connection without parameters: strided, its new channels zero."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, stride=2, padding=1)

    def forward(self, x):
        short = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return functional.relu(self.conv(x) + short).mean([2, 3])


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(2, 4, 3, stride=3)
        self.tokens = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 4))
        self.channels = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = y + self.tokens(y.transpose(1, 2)).transpose(1, 2)
        y = y + self.channels(y)
        y = torch.cat([self.token.expand(y.shape[0], -1, -1), y], dim=1)
        return self.head(y[:, 0] + y.mean(1))


class Dueling(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
        self.value, self.advantage = nn.Linear(8, 1), nn.Linear(8, 4)

    def forward(self, x):
        y = self.body(x)
        advantage = self.advantage(y)
        return self.value(y) + advantage - advantage.mean(dim=1, keepdim=True)


class GroupSort(nn.Module):
    """Lipschitz layers: normalised weights, pairs sorted."""

    def __init__(self):
        super().__init__()
        self.first = nn.utils.parametrizations.spectral_norm(nn.Linear(5, 8))
        self.second = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
        self.third = nn.utils.parametrizations.orthogonal(nn.Linear(8, 3))

    def forward(self, x):
        pairs = self.first(x).reshape(-1, 4, 2)
        y = torch.stack([pairs.amax(-1), pairs.amin(-1)], dim=-1).flatten(1)
        a, b = self.second(y).split(4, dim=1)
        return self.third(torch.cat([torch.max(a, b), torch.min(a, b)], dim=1).abs())


class Control(nn.Module):
    """A policy on a state: features picked one by one, wrapped in limits."""

    def __init__(self):
        super().__init__()
        self.register_buffer("low", torch.tensor([-1.0, -0.5]))
        self.register_buffer("high", torch.tensor([1.0, 0.5]))
        self.layers = nn.ModuleList([nn.Linear(4, 6), nn.Linear(6, 2)])

    def forward(self, state):
        position, speed = state[:, 0], state[:, 1]
        features = torch.stack([position, speed, position - speed, state[:, 2:].sum(1)], dim=1)
        for layer in self.layers[:-1]:
            features = layer(features).clamp(min=0)
        action = self.layers[-1](features)
        return torch.max(torch.min(action, self.high), self.low)


class Spline(nn.Module):
    """A piecewise linear function of every feature, by hat functions."""

    def __init__(self):
        super().__init__()
        self.register_buffer("knots", torch.linspace(-1, 1, 5))
        self.values = nn.Parameter(torch.randn(3, 5))

    def forward(self, x):
        hats = (1 - (x.unsqueeze(-1) - self.knots).abs() / 0.5).relu()
        return (hats * self.values).sum(-1)


def lenet():
    return nn.Sequential(
        nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2, ceil_mode=True)
        ),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d((2, 3))),
        nn.Flatten(),
        nn.Sequential(nn.Dropout(0.5), nn.Linear(24, 10), nn.LeakyReLU(), nn.Linear(10, 4)),
    )


def resnet():
    blocks = nn.Sequential(BasicBlock(2, 4, 1), BasicBlock(4, 4, 2))
    return nn.Sequential(blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


ARCHITECTURES = {
    "lenet": ((1, 9, 9), lenet),
    "resnet": ((2, 6, 6), resnet),
    "sliced-shortcut": ((2, 6, 6), SlicedShortcut),
    "mixer": ((2, 6, 6), Mixer),
    "dueling": ((5,), Dueling),
    "group-sort": ((5,), GroupSort),
    "control": ((4,), Control),
    "spline": ((3,), Spline),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_network_is_the_module(name):
    torch.manual_seed(0)
    shape, make = ARCHITECTURES[name]
    module = make().double()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
    network = from_module(module, shape)
    module.eval()
    x = torch.randn(6, *shape, dtype=torch.float64)
    expected, found = module(x), forward_pass(network, x)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    parameters = list(module.parameters())
    gradients = [torch.autograd.grad(y.square().sum(), parameters) for y in (expected, found)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-8, atol=1e-8)
    box = Box(x - 0.1, x + 0.1)
    samples = [module(x + 0.2 * torch.rand_like(x) - 0.1) for _ in range(20)]
    for method in (Ibp(), Crown()):
        outer = compute_bounds(network, box, method).outer
        for values in samples:
            assert bool(((outer.lower - 1e-9 <= values) & (values <= outer.upper + 1e-9)).all())
