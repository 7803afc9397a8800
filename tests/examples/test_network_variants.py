"""The example that makes versions of a network: each is what its name says."""

from __future__ import annotations

import runpy
from copy import deepcopy
from pathlib import Path

import torch

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "network_variants.py"))


def test_versions() -> None:
    net, x = EXAMPLE["network"](), torch.rand(8, 1, 28, 28)
    made = {}
    with torch.no_grad():
        for name in ("int8", "pruned", "permuted", "ulp"):
            made[name] = deepcopy(net)
            EXAMPLE[name](made[name])
        assert torch.allclose(made["permuted"](x), net(x), atol=1e-5)
        assert torch.allclose(made["ulp"](x), net(x), atol=1e-4)
    layers = EXAMPLE["layers"]
    for own, int8, pruned, ulp, mixed in zip(
        layers(net), *(layers(made[n]) for n in ("int8", "pruned", "ulp", "permuted")), strict=True
    ):
        assert len(int8.weight.unique()) <= 255
        assert 0.19 < float((pruned.weight == 0).float().mean()) < 0.21
        assert bool((ulp.weight > own.weight).all())
        assert not torch.equal(mixed.weight, own.weight)
