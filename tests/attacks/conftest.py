"""Functions to attack: affine ones, small bent ones, and real networks with their samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import sensverify as sv
from tests.attacks.victims import Victim, shipped


@pytest.fixture
def seeded() -> Callable[[Callable[[], nn.Module]], nn.Module]:
    """Builds a module with the same weights every time, in double precision."""

    def build(make: Callable[[], nn.Module]) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return make().double().eval()

    return build


@pytest.fixture
def bent(seeded) -> Victim:
    """A small network on four features, and 30 samples half of which it has right."""
    net = seeded(lambda: nn.Sequential(nn.Linear(4, 30), nn.Tanh(), nn.Linear(30, 3)))
    draws = torch.Generator().manual_seed(1)
    x = torch.rand(30, 4, generator=draws, dtype=torch.float64)
    with torch.no_grad():
        y = net(x).argmax(dim=1)
    y[::5] = (y[::5] + 1) % 3
    return net, x, y


@pytest.fixture
def images(seeded) -> Victim:
    """A small convolutional network on images of two channels, with its own labels."""
    net = seeded(
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4))
    )
    draws = torch.Generator().manual_seed(2)
    x = torch.rand(12, 2, 6, 6, generator=draws, dtype=torch.float64)
    with torch.no_grad():
        return net, x, net(x).argmax(dim=1)


@pytest.fixture
def affine(seeded) -> Victim:
    """Two classes told apart by a plane, with samples that are all right."""
    net = seeded(lambda: nn.Linear(6, 2))
    draws = torch.Generator().manual_seed(3)
    x = 0.3 + 0.4 * torch.rand(20, 6, generator=draws, dtype=torch.float64)
    with torch.no_grad():
        return net, x, net(x).argmax(dim=1)


@pytest.fixture(scope="session")
def digits() -> Victim:
    """The shipped network on 150 of scikit-learn's digits."""
    return shipped("digits", "digits", 150)


@pytest.fixture(scope="session")
def mnist_conv2(data_dir: Path) -> Victim:
    """The shipped convolutional network on 120 images."""
    return shipped("mnist-conv2", "mnist", 120, data_dir=data_dir)


@pytest.fixture(scope="session")
def wong_kolter_mnist(data_dir: Path) -> Victim:
    """The network that Wong & Kolter have published, on 200 images."""
    module = nn.Sequential(
        *(nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10)),
    )
    path = data_dir / "nets/convex_adversarial/models_mnist.pth"
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    data = sv.load_data("mnist", data_dir=data_dir)
    x, y = torch.as_tensor(data.x[:200]).float(), torch.as_tensor(data.y[:200]).long()
    return module.eval(), x, y
