"""Energies with known stationary points."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sensverify.landscape import FunctionEnergy, NetworkEnergy, Samples

MINIMA_OF_MUELLER_BROWN = {
    (-0.558, 1.442): -146.700,
    (-0.050, 0.467): -80.768,
    (0.623, 0.028): -108.167,
}
SADDLES_OF_MUELLER_BROWN = {(-0.822, 0.624): -40.665, (0.212, 0.293): -72.249}
"""Mueller and Brown 1979, *Location of saddle points and minimum energy paths by a constrained
simplex optimization procedure*, Table 1, to their digits."""


def wells(point: Tensor) -> Tensor:
    """``(x^2 - 1)^2 + (y^2 - 1)^2``.

    Four minima of energy 0 at (+-1, +-1), four saddles of energy 1 at (0, +-1) and (+-1, 0), and a
    maximum at 0.
    """
    return ((point.square() - 1).square()).sum()


def mueller_brown(point: Tensor) -> Tensor:
    """The sum of four Gaussians of theirs."""
    rows = ((-200, -1, 0, -10), (-100, -1, 0, -10), (-170, -6.5, 11, -6.5), (15, 0.7, 0.6, 0.7))
    at = ((1, 0), (0, 0.5), (-0.5, 1.5), (-1, 1))
    total = torch.zeros((), dtype=point.dtype)
    for (height, a, b, c), (x, y) in zip(rows, at, strict=True):
        right, up = point[0] - x, point[1] - y
        total = total + height * torch.exp(a * right**2 + b * right * up + c * up**2)
    return total


WELLS = FunctionEnergy(wells, 2, -2.0, 2.0)
MUELLER_BROWN = FunctionEnergy(mueller_brown, 2, -1.2, 1.2)


def xor(*, l2: float = 0.01, hidden: int = 2) -> NetworkEnergy:
    """The XOR network of the landscape literature: one hidden layer of tanh."""
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).numpy()
    y = torch.tensor([0, 1, 1, 0]).numpy()
    module = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 2))
    return NetworkEnergy(module, Samples(x, y), l2=l2, scale=3.0)
