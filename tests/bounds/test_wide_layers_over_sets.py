"""Input sets under layers so wide that signs of neurons are looked for one end at a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import sensverify as sv
from tests.core.sets.examples import SETS


@pytest.mark.parametrize("method", ["crown", "alpha-crown(steps=1)"])
@pytest.mark.parametrize("name", SETS)
def test_bounds_contain_the_set(name: str, method: str) -> None:
    torch.manual_seed(1)
    layers = [nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 256), nn.ReLU(), nn.Linear(256, 3)]
    network = nn.Sequential(*layers).double().requires_grad_(requires_grad=False)
    inside = SETS[name]
    values = network(torch.from_numpy(inside.sample(400)))
    for dtype, slack in (("float64", 1e-12), ("float32", 1e-5)):
        found = sv.compute_bounds(network, inside, sv.make_method(method), dtype=dtype)
        assert bool((found.outer.lower <= values.amin(0) + slack).all())
        assert bool((found.outer.upper >= values.amax(0) - slack).all())
