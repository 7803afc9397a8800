"""What tests of training share: small networks and one step of their training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sensverify.formats.modules import from_module
from sensverify.training.losses.step import Step

MakeStep = Callable[..., Step]


def small_net(inputs: int = 3, outputs: int = 4, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Three layers, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = [nn.Linear(inputs, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(5, outputs)).to(dtype)


@pytest.fixture
def make_step() -> MakeStep:
    """``(module=None, samples=5, radius=0.1, seed=0, **step) -> Step``; the same every time.

    ``network`` is made from the module where it is not given.

    The module takes vectors; default: a small one in float64.
    """

    def make(
        module: nn.Module | None = None,
        *,
        samples: int = 5,
        radius: float | None = 0.1,
        seed: int = 0,
        **others: Any,
    ) -> Step:
        module = small_net() if module is None else module
        weight = next(module.parameters())
        draws = torch.Generator().manual_seed(seed)
        x = torch.rand(samples, weight.shape[1], generator=draws, dtype=torch.float64)
        x = others.pop("x", x.to(weight.dtype))
        network = others.pop("network", None) or from_module(module, tuple(x.shape[1:]))
        count = module(x).shape[1]
        y = others.pop("y", torch.randint(0, count, (len(x),), generator=draws))
        spans = None if radius is None else torch.full(x.shape[1:], radius, dtype=x.dtype)
        return Step(module, network, x, y, radius=spans, generator=draws, **others)

    return make
