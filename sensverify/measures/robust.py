"""The cross-entropy that no input of a box exceeds."""

from __future__ import annotations

import torch
from torch import Tensor


def robust_cross_entropy(margins: Tensor) -> Tensor:
    """Upper bound of the cross-entropy over a box, ``log(1 + sum_j exp(-margin_j))``, in nats.

    It takes every other output as far above the label's as its bound allows, all at once; it
    inherits the bounds' guarantee.

    Parameters
    ----------
    margins : Tensor, shape ``[batch, classes - 1]``
        Lower bounds on ``f_y - f_j`` over the box for every class j but the label y.

    Returns
    -------
    Tensor, shape ``[batch]``, differentiable, at least 0

    Notes
    -----
    Source: Wong & Kolter 2018, *Provable defenses against adversarial examples via the convex
    outer adversarial polytope*, Theorem 2 and Eq. 14. It is the seed's ADV_LOSS.
    """
    label = margins.new_zeros(len(margins), 1)
    return torch.logsumexp(torch.cat([label, -margins], dim=1), dim=1)
