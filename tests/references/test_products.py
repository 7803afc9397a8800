"""Products, attention and normalisation beside auto_LiRPA's first planes of McCormick."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sensverify.bounds import AlphaCrown, Crown, compute_bounds, relaxation
from sensverify.core.box import Box
from sensverify.formats.modules import from_module


class Attention(nn.Module):
    """One head, and a map of all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.out = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each(x) for each in self.maps)
        result: Tensor = self.out((torch.softmax(q @ k.mT / 2, -1) @ v).flatten(1))
        return result


class Bilinear(nn.Module):
    """Two layers, multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.out = nn.Linear(3, 6), nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.out(self.left(x).relu() * self.right(x).tanh())
        return result


def first_planes(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """The choice of auto_LiRPA (0.7.1, ``MulHelper``, without ``middle``)."""
    ones = torch.ones_like(lower[..., 0])
    return ones, ones


@pytest.mark.parametrize(
    ("shape", "make"), [((3, 4), Attention), ((3,), Bilinear)], ids=["attention", "bilinear"]
)
def test_settled_planes_are_hardly_looser_and_chosen_ones_tighter(
    shape: tuple[int, ...], make: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines everywhere else are the same. A product alone is never looser than its interval."""
    own, theirs, chosen = 0.0, 0.0, 0.0
    for seed in range(3):
        torch.manual_seed(seed)
        network = from_module(make().eval(), shape)
        x = torch.rand(1, *shape, dtype=torch.float64)
        box = Box(x - 0.1, x + 0.1)
        with torch.no_grad():
            found = compute_bounds(network, box, Crown()).outer
            best = compute_bounds(network, box, AlphaCrown(steps=10)).outer
            with monkeypatch.context() as patch:
                patch.setattr(relaxation, "balanced_shares", first_planes)
                other = compute_bounds(network, box, Crown()).outer
        assert bool((best.lower >= found.lower).all() and (best.upper <= found.upper).all())
        own += float((found.upper - found.lower).sum())
        theirs += float((other.upper - other.lower).sum())
        chosen += float((best.upper - best.lower).sum())
    assert own <= 1.02 * theirs
    assert chosen < min(own, theirs)
