"""Gaps: the distance at which an end counts as exact."""

from __future__ import annotations

from torch import Tensor

SMALLEST = 1e-6
"""Magnitude below which a gap is no longer taken relative to it."""


def tolerance(lower: Tensor, upper: Tensor, gap: float) -> Tensor:
    """The distance between a proven and an attained end that counts as exact.

    Parameters
    ----------
    lower, upper : Tensor, any one shape
        Attained values: the ends of the inner box.
    gap : float
        Relative.

    Returns
    -------
    Tensor
        ``gap * max(|lower|, |upper|, 1e-6)``.
    """
    return gap * lower.abs().maximum(upper.abs()).clamp(min=SMALLEST)
