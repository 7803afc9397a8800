"""Numbers as JSON holds them: what is not finite is None."""

from __future__ import annotations

import math
from collections.abc import Iterable


def finite(value: float | None) -> float | None:
    """The number itself; None where it is infinite, NaN or not known."""
    return value if value is not None and math.isfinite(value) else None


def finite_ends(ends: Iterable[float] | None) -> list[float | None] | None:
    """Ends of an interval, or other numbers in a row, each as `finite` has it."""
    return None if ends is None else [finite(end) for end in ends]
