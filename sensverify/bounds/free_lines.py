"""The free choice in the lines around an operator: whatever is chosen, the lines hold.

Of a ReLU it is the slope of the line below, of a `Product` the shares of McCormick's planes, of a
`Share` where its planes touch, of other operators both slopes, from which the tightest intercepts
follow. A `Max` and an `Increment` have none.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

import torch
from torch import Tensor

from sensverify.bounds.extremes import widened
from sensverify.bounds.planes import balanced_shares
from sensverify.bounds.relaxation import Relaxation, line_intercepts, planes, share_planes
from sensverify.bounds.shares import middle_shares
from sensverify.bounds.slopes import steepest_of_steps
from sensverify.network.operators import (
    Increment,
    Max,
    Operator,
    PiecewiseLinear,
    Product,
    Relu,
    Share,
    Smooth,
    Steps,
)

_NEAR = 1e-6
"""Share of an interval within which a kink counts as its end."""

Choice = tuple[Tensor, Tensor | None]
"""What is chosen for the lines below and above, each ``[batch, rows or 1, *shape]``; the second is
None for a ReLU, whose line above is the chord."""


def has_choice(operator: Operator) -> bool:
    """True where lines can be chosen."""
    return not isinstance(operator, Max | Increment)


def crown_choice(operator: Operator, lines: Relaxation, lower: Tensor, upper: Tensor) -> Choice:
    """The choice that CROWN's lines come from.

    Parameters
    ----------
    operator : Operator
    lines : Relaxation
        CROWN's.
    lower, upper : Tensor, shape ``[batch, 1, *shape]``
        Bounds on what enters; of a `Product` and a `Share` with a last axis over their numbers.
    """
    if isinstance(operator, Share):
        return middle_shares(lower, upper)
    if isinstance(operator, Product):
        return balanced_shares(lower, upper)
    return lines.lower_slope, None if isinstance(operator, Relu) else lines.upper_slope


def chosen_lines(
    operator: Operator, choice: Choice, known: Relaxation, lower: Tensor, upper: Tensor
) -> Relaxation:
    """The lines of a choice: SOUND, whatever is chosen within `project`'s limits.

    Parameters
    ----------
    operator, lower, upper
        As for `crown_choice`.
    choice : Choice
    known : Relaxation
        CROWN's: taken where the function is linear on the interval, or does not jump.
    """
    low, high = choice
    if high is None:
        unstable = (lower < 0) & (upper > 0)
        low = torch.where(unstable, low, known.upper_slope)
        return Relaxation(low, known.upper_slope, None, known.upper_intercept)
    if isinstance(operator, Share):
        return share_planes(lower, upper, low, high)
    if isinstance(operator, Product):
        return planes(lower, upper, low, high)
    # Where it is linear its own slope is exact, so all that a step could find there is rounding.
    bent = lower < upper
    if isinstance(operator, Steps):
        ends = widened(lower, upper)
        bent = operator.jump_from(ends[0], torch) <= ends[1]
    if isinstance(operator, PiecewiseLinear):
        near = _NEAR * (upper - lower)
        kinks = [(lower + near < kink) & (kink < upper - near) for kink in operator.kinks]
        bent = reduce(or_, kinks, torch.zeros_like(bent))
    low = torch.where(bent, low, known.lower_slope)
    high = torch.where(bent, high, known.upper_slope)
    return line_intercepts(operator, low, high, lower, upper)


def step_size(operator: Operator, choice: Choice, lower: Tensor, upper: Tensor) -> float | Tensor:
    """The distance of choices from the best ones, about: the unit of an optimiser's steps.

    Slopes of the best lines are between the least and the largest derivative on the interval.
    """
    low, high = choice
    if isinstance(operator, Relu | Product | Share) or high is None:
        return 1.0
    with torch.no_grad():
        slopes = [low.detach(), high.detach()]
        if isinstance(operator, Smooth):
            for share in (0.0, 0.5, 1.0):
                slope = operator.derivative(lower + share * (upper - lower), torch)
                slopes.append(torch.where(torch.isfinite(slope), slope, slopes[0]))
            every = torch.stack(torch.broadcast_tensors(*slopes))
            return every.amax(dim=0) - every.amin(dim=0)
        return torch.maximum(slopes[0].abs(), slopes[1].abs())


def project(operator: Operator, choice: Choice) -> None:
    """Put a choice, in place, where it proves something: slopes of ReLUs and shares in [0, 1]."""
    most = steepest_of_steps(operator) if isinstance(operator, Steps) else 1.0
    if isinstance(operator, Relu | Product | Share | Steps):
        for free in choice:
            if free is not None:
                free.clamp_(0, most)
