"""The difference of logits ratio: a loss that scaling the outputs does not change."""

from __future__ import annotations

import torch
from torch import Tensor

from sensverify.attacks.ascent import margin_loss

_CLASSES = 3


def dlr_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """``(max_{i != y} z_i - z_y) / (z_(1) - z_(3))`` of every sample, ``[batch]``.

    ``z_(k)`` is the k-th largest output. Above 0 where the label loses. Cross-entropy has no
    gradient left where outputs are large; this loss has.

    Parameters
    ----------
    outputs : Tensor, shape ``[batch, classes]``
        Of two classes there is no third output: the loss is then the difference above the line,
        whose gradient has the same sign.
    labels : int64 Tensor, shape ``[batch]``

    Notes
    -----
    Source: Croce & Hein 2020, *Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks*, Eq. 6.
    """
    difference = margin_loss(outputs, labels)
    if outputs.shape[1] < _CLASSES:
        return difference
    top = outputs.topk(_CLASSES, dim=1).values
    spread = top[:, 0] - top[:, 2]
    return difference / spread.clamp(min=torch.finfo(spread.dtype).tiny)
