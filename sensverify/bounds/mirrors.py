"""Lines on the other side with the slopes of a relaxation: both ends from one set of coefficients.

The pass for a lower bound multiplies positive coefficients with the line below a function and
negative ones with the line above it. With the least intercepts that put lines of these two slopes
on the function's other side, the same products are coefficients of an upper bound as well. It is
looser than one with coefficients of its own, and costs next to nothing.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sensverify.bounds.relaxation import Relaxation
from sensverify.network.operators import Operator, Relu


def mirrored(
    operator: Operator, relaxation: Relaxation, lower: Tensor, upper: Tensor
) -> Relaxation:
    """The relaxation with the mirror that it has where the operator is a ReLU.

    Parameters
    ----------
    operator : Operator
    relaxation : Relaxation
        Of the operator on ``lower <= x <= upper``, its slopes between 0 and 1.
    lower, upper : Tensor, shape ``[batch, *shape]``
    """
    if not isinstance(operator, Relu) or relaxation.parallel:
        return relaxation
    slope = relaxation.lower_slope
    # relu(x) - slope * x is convex, so the most of it is at an end; it is at least 0 on its kink
    # and beside it, whatever slope the upper line has.
    gaps = (x.clamp(min=0) - slope * x for x in (lower.unsqueeze(1), upper.unsqueeze(1)))
    return replace(relaxation, mirror=(torch.maximum(*gaps), None))


def has_mirror(relaxation: Relaxation) -> bool:
    """True where one set of coefficients bounds both ends."""
    return relaxation.parallel or relaxation.mirror is not None
