"""Other people's tools, where they are installed, and the networks they are asked about."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from sensverify.core.box import Box
from sensverify.errors import BackendFailure, BackendMissing

LirpaBounds = Callable[..., tuple[Tensor, Tensor]]


def missing(reason: str) -> None:
    """Skip, or fail where ``$CI`` is set: there the reference is meant to be installed."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def wong_kolter() -> ModuleType:
    """The package ``convex_adversarial``, by the authors of LP-dual."""
    try:
        import convex_adversarial
    except ImportError as error:
        missing(f"convex_adversarial is not there ({error}): pip install --no-deps it at 0.4.4")
    return convex_adversarial


@pytest.fixture(scope="session")
def lirpa_bounds() -> LirpaBounds:
    """``(module, box, method, objectives) -> (lower, upper)`` by auto_LiRPA itself."""
    from sensverify.bounds import lirpa_compat

    try:
        package = lirpa_compat.import_auto_lirpa()
    except (BackendMissing, BackendFailure) as error:
        missing(str(error))

    def bounds(
        module: nn.Module, box: Box, method: str, objectives: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        # By itself it bounds by intervals first and leaves stable neurons at that: not CROWN.
        plain = {
            "sparse_intermediate_bounds": False,
            "sparse_conv_intermediate_bounds": False,
            "sparse_intermediate_bounds_with_ibp": False,
        }
        center = (box.lower + box.upper) / 2
        perturbation = package.PerturbationLpNorm(
            norm=float("inf"), eps=0.0, x_L=box.lower, x_U=box.upper
        )
        with (
            torch.no_grad(),
            lirpa_compat.quiet(),
            lirpa_compat.graph_indexing(),
            lirpa_compat.default_dtype(center.dtype),
        ):
            bounded = package.BoundedModule(module, center, bound_opts=plain)
            inputs = (package.BoundedTensor(center, perturbation),)
            return bounded.compute_bounds(x=inputs, C=objectives, method=method)

    return bounds


class Residual(nn.Module):
    """Two residual blocks, one with a convolution on its shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.outer = nn.Conv2d(4, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.last = nn.Conv2d(6, 6, 3, padding=1)
        self.shortcut = nn.Conv2d(4, 6, 1, stride=2)
        self.head = nn.Linear(6 * 9, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.enter(x))
        x = torch.relu(self.outer(torch.relu(self.inner(x))) + x)
        x = torch.relu(self.last(torch.relu(self.down(x))) + self.shortcut(x))
        return self.head(torch.flatten(x, 1))


def conv_net(*, stride: int = 2, padding: int = 1, classes: int = 10) -> nn.Sequential:
    """The seed's MNIST network, on images of 28x28."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=stride, padding=padding),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * ((14 + 2 * padding - 4) // stride + 1) ** 2, classes),
    )


def one_conv_net() -> nn.Sequential:
    """The seed's smaller MNIST network, on images of 28x28."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3136, 10)
    )


def mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mnist-conv1": (one_conv_net, (1, 28, 28)),
    "mnist-conv2": (conv_net, (1, 28, 28)),
    "conv-then-hidden-layer": (
        lambda: nn.Sequential(*conv_net(classes=20), nn.ReLU(), nn.Linear(20, 5)),
        (1, 28, 28),
    ),
    "iris": (lambda: mlp(4, 25, 25, 25, 3), (4,)),
    "deep-mlp": (lambda: mlp(12, 30, 30, 30, 30, 30, 7), (12,)),
    "no-hidden-layer": (lambda: mlp(6, 4), (6,)),
    "residual": (Residual, (1, 12, 12)),
}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@pytest.fixture
def make_case() -> Callable[[str, torch.dtype, int], tuple[nn.Module, Tensor]]:
    """``(name, dtype, samples) -> (module, x)``, the same every time; x in [0, 1]."""

    def make(name: str, dtype: torch.dtype, samples: int) -> tuple[nn.Module, Tensor]:
        build, shape = NETS[name]
        with _seeded(3):
            module = build().to(dtype).eval()
            x = torch.rand(samples, *shape, dtype=torch.float64).to(dtype)
        return module, x

    return make


@pytest.fixture
def quiet_warnings() -> Iterator[None]:
    """The references warn about things of theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
