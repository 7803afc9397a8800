"""Whole networks with attention, products and recurrent layers, by both exporters of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sensverify.bounds import Crown, compute_bounds, forward_pass
from sensverify.certificates import check_claims
from sensverify.core.box import Box
from sensverify.formats.onnx import load_onnx
from tests.contracts.certified import certified_of, stored


class Function(nn.Module):
    """A function of a layer and an input."""

    def __init__(self, function: Any, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.function, self.layer = function, layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.function(self.layer, x)
        return found


class Vision(nn.Module):
    """A small vision transformer: patches, a token of the class, one encoder layer, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.place = nn.Parameter(torch.randn(1, 5, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.first, self.second = nn.LayerNorm(8), nn.LayerNorm(8)
        self.inner = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(x.shape[0], -1, -1), y], 1) + self.place
        z = self.first(y)
        y = y + self.attention(z, z, z, need_weights=False)[0]
        y = y + self.inner(self.second(y))
        logits: torch.Tensor = self.head(y[:, 0])
        return logits


class Control(nn.Module):
    """A bilinear control net: what is sensed times what is commanded."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 6), nn.Linear(3, 6)
        self.out = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.out(self.left(x).relu() * self.right(x).tanh())
        return result


def attention(**settings: Any) -> nn.Module:
    heads = nn.MultiheadAttention(8, 2, batch_first=True)
    return Function(lambda layer, x: layer(x, x, x, **settings)[0], heads)


HIDDEN = torch.triu(torch.ones(3, 3), 1).bool()
NETWORKS: dict[str, tuple[tuple[int, ...], Any, bool]] = {
    "vision transformer": ((1, 8, 8), Vision, True),
    "bilinear control": ((3,), Control, True),
    "heads": ((3, 8), attention, True),
    "hidden heads": ((3, 8), lambda: attention(attn_mask=HIDDEN), True),
    "causal": (
        (2, 3, 4),
        lambda: Function(
            lambda _, x: functional.scaled_dot_product_attention(x, 2 * x, x, is_causal=True)
        ),
        False,
    ),
    "seen": (
        (2, 3, 4),
        lambda: Function(
            lambda _, x: functional.scaled_dot_product_attention(x, 2 * x, x, attn_mask=~HIDDEN)
        ),
        False,
    ),
    "lstm of eight steps": (
        (8, 3),
        lambda: Function(lambda layer, x: layer(x)[0][:, -1], nn.LSTM(3, 2, batch_first=True)),
        True,
    ),
}
"""Shape of a sample, the module, and whether the numbers in both files define it exactly."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_exported_networks_are_equal_bounded_and_certified(
    name: str, dynamo: bool, tmp_path: Path
) -> None:
    shape, make, exact = NETWORKS[name]
    torch.manual_seed(0)
    module = make().eval()
    path = tmp_path / "net.onnx"
    settings: dict[str, Any] = {"opset_version": 17}
    if dynamo:
        pytest.importorskip("onnxscript")
        settings = {"external_data": False, "verbose": False}
    torch.onnx.export(module, (torch.zeros(1, *shape),), str(path), dynamo=dynamo, **settings)
    network = load_onnx(path)
    x = torch.rand(1, *shape)
    with torch.no_grad():
        theirs = module(x).flatten().numpy()
    own = x.reshape(1, *network.input_shape)
    np.testing.assert_allclose(forward_pass(network, own).flatten().numpy(), theirs, atol=1e-5)
    middle = own.double()
    box = Box(middle - 2**-8, middle + 2**-8)
    bounds = compute_bounds(network, box, Crown(), proof=True)
    generator = torch.Generator().manual_seed(1)
    share = torch.rand(32, *network.input_shape, generator=generator, dtype=torch.float64)
    share[::2] = share[::2].round()
    values = forward_pass(network, box.lower + share * (box.upper - box.lower)).flatten(1)
    assert bool((values >= bounds.outer.lower - 1e-9).all())
    assert bool((values <= bounds.outer.upper + 1e-9).all())
    if exact and name != "vision transformer":
        model = stored(load_onnx(path, simplified=False))
        wanted, found = certified_of(model, box, bounds)
        assert (wanted - found.lower).max() <= 1e-9
        check_claims(model.program, found.claims, found.proof)
