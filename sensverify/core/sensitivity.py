"""Sensitivity: how large the box is that contains every output.

All functions take a box of outputs ``[batch, outputs]``, or `Bounds` for their outer box, and are
differentiable in it. They inherit its guarantee: from a SOUND outer box, widths and volumes are
upper bounds on those of the tightest box. Volumes are kept as logarithms: a product of 100 widths
of 2.4 overflows float32, of 0.36 it vanishes.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.core.box import Box
from sensverify.core.results import Bounds
from sensverify.errors import BadBox, BadShape


def widths(box: Box | Bounds) -> Tensor:
    """Width of every output's interval, ``[batch, outputs]``, in the outputs' units; >= 0.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> box = sv.Box(np.array([[0.0, 1.0]]), np.array([[2.0, 4.0]]))
    >>> sv.widths(box).tolist()
    [[2.0, 3.0]]
    """
    box = _outputs(box)
    return torch.as_tensor(box.upper) - torch.as_tensor(box.lower)


def _outputs(box: Box | Bounds) -> Box:
    """The box of outputs, also of bounds as a whole: their outer one."""
    if isinstance(box, Bounds):
        return box.outer
    if not isinstance(box, Box):
        raise BadBox(
            f"a sensitivity is of a Box of outputs, or of Bounds, got {type(box).__name__}; "
            "compute_bounds gives bounds, Box(lower, upper) a box"
        )
    return box


def log_volume(box: Box | Bounds) -> Tensor:
    """Natural logarithm of each box's volume, ``sum_j log(upper_j - lower_j)``, ``[batch]``.

    Minus infinity where a width is zero. This is the primary figure of sensitivity.
    Source: Wang et al., Eq. 7, in logarithms.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> box = sv.Box(np.array([[0.0, 1.0]]), np.array([[2.0, 4.0]]))
    >>> round(float(sv.log_volume(box)), 4)  # log(2 * 3)
    1.7918
    """
    return _log_product(widths(box))


def _log_product(wide: Tensor) -> Tensor:
    """Sum of logarithms along the last axis; minus infinity, with gradient zero, at a zero."""
    positive = wide > 0
    logs = torch.where(positive, wide, 1.0).log().sum(dim=-1)
    return torch.where(positive.all(dim=-1), logs, -math.inf)


def volume(box: Box | Bounds) -> Tensor:
    """Sensitivity as printed, ``prod_j (upper_j - lower_j)``, ``[batch]``, in float64.

    Infinite or zero where it leaves the range of float64; `log_volume` then still carries it.
    Source: Wang et al., Eqs. 5 and 7.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> sv.volume(sv.Box(np.array([[0.0, 1.0]]), np.array([[2.0, 4.0]]))).tolist()
    [6.0]
    """
    return widths(box).double().prod(dim=-1)


def mean_volume(box: Box | Bounds) -> Tensor:
    """Mean volume over the samples, the seed's SENSE, a float64 scalar; may be infinite.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> box = sv.Box(np.zeros((2, 2)), np.array([[1.0, 2.0], [2.0, 3.0]]))
    >>> float(sv.mean_volume(box))
    4.0
    """
    # Not from the logarithms: their gradient at a zero width is NaN.
    return volume(box).mean()


def log_mean_volume(box: Box | Bounds) -> Tensor:
    """Logarithm of the mean volume over the samples, a float64 scalar; it does not overflow."""
    logs = _log_product(widths(box).double())
    return torch.logsumexp(logs, dim=0) - math.log(len(logs))


def width_shares(box: Box | Bounds) -> Tensor:
    """Each output's share of the sum of widths, ``[batch, outputs]``; a row sums to one.

    Zero everywhere in a row whose widths are all zero.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> sv.width_shares(sv.Box(np.zeros((1, 2)), np.array([[1.0, 3.0]]))).tolist()
    [[0.25, 0.75]]
    """
    wide = widths(box)
    total = wide.sum(dim=-1, keepdim=True)
    return torch.where(total > 0, wide / torch.where(total > 0, total, 1.0), 0.0)


def margin(outputs: Tensor, labels: Tensor | None = None) -> Tensor:
    """Distance of the winning output to the next, ``[batch]``.

    Parameters
    ----------
    outputs : Tensor, shape ``[batch, outputs]``
    labels : integer Tensor, shape ``[batch]``, optional
        The output to compare with the largest other one (negative where it loses); default: the
        largest output.
    """
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise BadShape(f"a margin needs outputs [batch, 2 or more], got {tuple(outputs.shape)}")
    if labels is None:
        top = outputs.topk(2, dim=1).values
        return top[:, 0] - top[:, 1]
    chosen = outputs.gather(1, labels.reshape(-1, 1))
    others = outputs.scatter(1, labels.reshape(-1, 1), -math.inf)
    return chosen.squeeze(1) - others.amax(dim=1)


def relative_log_volume(box: Box | Bounds, outputs: Tensor, labels: Tensor | None = None) -> Tensor:
    """Logarithm of the volume relative to the margin, ``log(S / margin^m)``, ``[batch]``.

    Scaling the logits by c multiplies the volume of m outputs by ``c^m`` and changes no decision;
    this figure does not change. NaN where the margin is negative (the sample is misclassified),
    infinite where it is zero.

    Parameters
    ----------
    box : Box, shape ``[batch, m]``
    outputs : Tensor, shape ``[batch, m]``
        The network's outputs at the samples.
    labels : integer Tensor, shape ``[batch]``, optional
        See `margin`.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import sensverify as sv
    >>> box = sv.Box(np.zeros((1, 2)), np.array([[2.0, 2.0]]))
    >>> outputs = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    >>> abs(float(sv.relative_log_volume(box, outputs))) < 1e-12  # log(4 / 2^2)
    True
    """
    return log_volume(box) - outputs.shape[1] * margin(outputs, labels).log()


def finite_volume(log_value: float) -> float | None:
    """A volume from its logarithm as a number that a double holds, else None; -inf gives 0."""
    if log_value == -math.inf:
        return 0.0
    low, high = math.log(sys.float_info.min), math.log(sys.float_info.max)
    # Written so that a NaN gives None.
    return math.exp(log_value) if low <= log_value <= high else None


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """The figures of one batch of output boxes, computed once in float64.

    Attributes
    ----------
    widths, shares : Tensor, shape ``[batch, outputs]``
    log_volume : Tensor, shape ``[batch]``
    log_mean_volume : float
        The seed's SENSE is its exponential.
    """

    widths: Tensor
    shares: Tensor
    log_volume: Tensor
    log_mean_volume: float

    @classmethod
    def of(cls, box: Box | Bounds) -> Sensitivity:
        """The figures of a box of tensors or numpy arrays ``[batch, outputs]``."""
        box = _outputs(box)
        ends = (torch.as_tensor(end).detach().double() for end in (box.lower, box.upper))
        box = Box(*ends)
        return cls(widths(box), width_shares(box), log_volume(box), float(log_mean_volume(box)))

    @property
    def mean_volume(self) -> float | None:
        """Mean volume over the samples, or None where a double does not hold it."""
        return finite_volume(self.log_mean_volume)
