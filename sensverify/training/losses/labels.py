"""Labels as distributions over the classes: one-hot, smoothed, and mixed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def one_hot(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """Labels as rows with a single 1, ``[batch, classes]``, in the dtype of ``like``."""
    return functional.one_hot(labels, classes).to(like)


def smoothed(labels: Tensor, share: Tensor | float, *, normalised: bool = True) -> Tensor:
    """Distributions of which a share is spread over all classes.

    Parameters
    ----------
    labels : Tensor, shape ``[batch, classes]``
    share : float or Tensor, shape ``[batch]``
        From 0 to 1; s below.
    normalised : bool
        ``(1 - s) q + s / N`` for N classes, which sums to 1 (Szegedy et al. 2016). False is what
        Laugros prints in Section 3.3.4.3: the 1 becomes ``1 - s`` and every 0 becomes ``s / N``, in
        all ``(1 - s) q + (1 - q) s / N``, which sums to ``1 - s / N``.
    """
    share = _column(share, labels)
    even = share / labels.shape[1]
    return (1 - share) * labels + (even if normalised else even * (1 - labels))


def towards(labels: Tensor, targets: Tensor, share: Tensor | float) -> Tensor:
    """``(1 - s) q + s onehot(target)``, ``[batch, classes]``.

    Source: Laugros, Section 3.3.2.2, Eq. 3.4 (targeted labelling adversarial training).
    """
    share = _column(share, labels)
    return (1 - share) * labels + share * one_hot(targets, labels.shape[1], labels)


def _column(share: Tensor | float, labels: Tensor) -> Tensor:
    return torch.as_tensor(share, dtype=labels.dtype, device=labels.device).reshape(-1, 1)
