"""Labels as distributions over the classes: one-hot, smoothed, and mixed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def one_hot(labels: Tensor, outputs: Tensor) -> Tensor:
    """Labels as rows with a single 1, like the outputs ``[batch, classes]``, at least in float32.

    Half precision has no room for a share of a hundredth beside 1.
    """
    dtype = torch.promote_types(outputs.dtype, torch.float32)
    return functional.one_hot(labels, outputs.shape[1]).to(outputs.device, dtype)


def cross_entropies(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every sample with a distribution over the classes, in nats, ``[batch]``."""
    return functional.cross_entropy(outputs.to(labels.dtype), labels, reduction="none")


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
    return (1 - share) * labels + share * one_hot(targets, labels)


def _column(share: Tensor | float, labels: Tensor) -> Tensor:
    return torch.as_tensor(share, dtype=labels.dtype, device=labels.device).reshape(-1, 1)
