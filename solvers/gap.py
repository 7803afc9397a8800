"""Gaps: the distance at which an end counts as exact."""

from __future__ import annotations

import math

from torch import Tensor

from sensverify.errors import BadSetting

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


def check_limits(owner: str, gap: float, *seconds: float | None) -> None:
    """Refuse, with `BadSetting`, a gap or time limits that are no such thing."""
    if not (gap >= 0 and math.isfinite(gap)):
        raise BadSetting(f"{owner} needs a gap of at least 0, such as 1e-6, got {gap!r}")
    for limit in seconds:
        if limit is not None and not limit >= 0:
            raise BadSetting(f"{owner} needs a time limit of at least 0 seconds, got {limit!r}")
