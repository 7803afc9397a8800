"""Neurons whose function bends inside their interval, counted: they make bounds loose."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import torch
from torch import Tensor

from sensverify.bounds.extremes import widened
from sensverify.bounds.increments import bends
from sensverify.network import Network
from sensverify.network.operators import Increment, Max, PiecewiseLinear, Product, Share, Steps


def count_unstable(
    network: Network, pre_activations: Mapping[int, tuple[Tensor, Tensor]], batch: int
) -> Tensor:
    """Neurons whose function is not linear on their interval, ``[batch]``.

    A neuron counts when its kink lies strictly inside its interval; a smooth one always does
    where the interval has a width, a product where both of its numbers' have.
    """
    total = torch.zeros(batch, dtype=torch.int64)
    for position, (lower, upper) in pre_activations.items():
        total = total + unstable_at(network, position, lower, upper)
    return total


def unstable_at(network: Network, position: int, lower: Tensor, upper: Tensor) -> Tensor:
    """As `count_unstable`, of one node, by the bounds ``[batch, *shape]`` on what enters it."""
    operator = network.nodes[position].operator
    if isinstance(operator, Product):
        bent = (lower < upper).all(-1)
    elif isinstance(operator, Max):
        bent = lower.amax(-1) < upper.amax(-1)
    elif isinstance(operator, Share):
        bent = (lower < upper).any(-1)
    elif isinstance(operator, Increment):
        bent = bends(operator, lower, upper)
    elif isinstance(operator, PiecewiseLinear):
        inside = [_across(lower, upper, kink) for kink in operator.kinks]
        bent = reduce(torch.maximum, inside) if inside else torch.zeros_like(lower)
    elif isinstance(operator, Steps):
        low, high = widened(lower, upper)
        bent = operator.jump_from(low, torch) <= high
    else:
        bent = lower < upper
    return _count(bent.reshape(len(lower), -1)).cpu()


def _across(lower: Tensor, upper: Tensor, kink: float) -> Tensor:
    """1 where a kink lies strictly inside, else 0, in the dtype of the ends.

    Comparisons that give booleans take several times as long: as long as a small convolution.
    """
    with torch.no_grad():
        below = torch.lt(lower, kink, out=torch.empty_like(lower))
        return below.mul_(torch.gt(upper, kink, out=torch.empty_like(upper)))


def _count(bent: Tensor) -> Tensor:
    """The number of entries of every row that are not 0: of booleans, or of ones and zeros."""
    if bent.dtype == torch.bool:
        return bent.count_nonzero(1)
    # float32 counts to 2^24.
    exact = torch.float64 if bent.shape[1] > 1 << 24 else bent.dtype
    return bent.sum(1, dtype=exact).long()
