"""Where functions of one number are defined, and intervals that leave it."""

from __future__ import annotations

from math import inf, isfinite, isnan

import numpy as np
import torch
from torch import Tensor

from sensverify.errors import Unbounded
from sensverify.network.functions import NUMPY
from sensverify.network.operators import Operator, Smooth

_EVERYWHERE = ((-inf, inf),)


def defined(operator: Operator, lower: Tensor, upper: Tensor) -> Tensor | None:
    """True for intervals on all of which the function is defined; None: every interval is one."""
    if not isinstance(operator, Smooth) or operator.branches == _EVERYWHERE:
        return None
    found = torch.zeros_like(lower, dtype=torch.bool)
    for start, end in operator.branches:
        above = lower >= start if _closed(operator, start) else lower > start
        found |= above & (upper <= end if _closed(operator, end) else upper < end)
    return found


def require_defined(operator: Operator, lower: Tensor, upper: Tensor, name: str = "") -> None:
    """Raise where a function is not defined on an interval.

    Parameters
    ----------
    operator : Operator
    lower, upper : Tensor
        Bounds on what enters it.
    name : str
        Of its node, for the message.

    Raises
    ------
    Unbounded
        The function leaves its branch.
    """
    inside = defined(operator, lower, upper)
    if inside is None or bool(inside.all()):
        return
    place = (~inside).nonzero()[0]
    ends = [float(end[tuple(place)]) for end in (lower, upper)]
    reach = "overflow" if any(map(isnan, ends)) else "reach from {:.4g} to {:.4g}".format(*ends)
    where = f" (node '{name}')" if name else ""
    raise Unbounded(
        f"operator {type(operator).__name__}{where} takes numbers {_words(operator)}, and the "
        f"bounds on what enters it {reach}",
        "use a smaller box, or a method with tighter bounds on hidden layers",
    )


def remedy_of_overflow(dtype: torch.dtype) -> str:
    """The remedy where bounds overflow a type."""
    smaller = "use a smaller box"
    return smaller if dtype == torch.float64 else f"{smaller} or `dtype=float64`"


def _closed(operator: Smooth, end: float) -> bool:
    if not isfinite(end):
        return False
    with np.errstate(all="ignore"):
        return bool(np.isfinite(operator.value(np.asarray(end), NUMPY)))


def _words(operator: Operator) -> str:
    assert isinstance(operator, Smooth)
    return " or ".join(_branch(operator, *branch) for branch in operator.branches)


def _branch(operator: Smooth, start: float, end: float) -> str:
    parts = []
    if isfinite(start):
        parts.append(f"{'of at least' if _closed(operator, start) else 'above'} {start:g}")
    if isfinite(end):
        parts.append(f"{'of at most' if _closed(operator, end) else 'below'} {end:g}")
    return " and ".join(parts)
