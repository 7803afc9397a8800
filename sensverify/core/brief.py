"""Short words on counts and on arrays, for the `repr` of what holds many numbers."""

from __future__ import annotations

from typing import Any


def count_of(number: int, one: str, many: str = "") -> str:
    """A count with its noun: ``1 sample``, ``2,000 samples``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def span(values: Any) -> str:
    """The least and the largest number of an array or a tensor: ``0.2 to 3.1``."""
    if 0 in values.shape:
        return "none"
    if hasattr(values, "detach"):
        values = values.detach()
    low, high = float(values.min()), float(values.max())
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
