"""Bounds beside an output that the network is seen to produce: it has to be inside of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sensverify.bounds.rounding import check_rounding, slack
from sensverify.classification.margins import SOLVER_SHARE
from sensverify.core.box import Box
from sensverify.core.results import Bounds, Guarantee
from sensverify.network import Network


def containing(network: Network, box: Box, bounds: Bounds, output: Tensor) -> Bounds:
    """Bounds that contain an output the network is seen to produce, up to rounding.

    What rounding has put outside is taken in, except by certified bounds: they are about the
    real-valued network.

    Raises
    ------
    UnsoundResult
        The output is outside by more than rounding.
    """
    count = output.shape[1]
    lower, upper = bounds.outer.lower, bounds.outer.upper
    low, high = lower[:, :count], upper[:, :count]
    outside = torch.maximum(low - output, output - high)
    # Written so that a NaN fails it.
    if bool((outside <= 0).all()):
        return bounds
    rows = torch.eye(count, dtype=box.lower.dtype, device=box.lower.device)[None]
    allowed = 2 * slack(network, box, rows)
    if bounds.guarantee <= Guarantee.SOLVER:
        allowed = allowed + SOLVER_SHARE * output.abs().amax(dim=1, keepdim=True)
    what = (
        f"method {bounds.provenance.method} gave bounds that miss the network's own output at a "
        "point of the box"
    )
    check_rounding(outside, allowed.to(outside), output.abs().to(outside), what)
    if bounds.guarantee is Guarantee.CERTIFIED:
        return bounds
    lower = torch.cat([torch.minimum(low, output), lower[:, count:]], dim=1)
    upper = torch.cat([torch.maximum(high, output), upper[:, count:]], dim=1)
    return replace(bounds, outer=Box(lower, upper))
