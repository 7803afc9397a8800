"""Which numbers an option takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LARGEST = 1e30
"""Trainings compute in float32, which ends at 3e38: a larger number has nowhere to go."""


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``; ``low`` itself is left out where ``above`` is true.

    ``value in range`` is false of what is no number, and of NaN.
    """

    low: float
    high: float = LARGEST
    above: bool = False

    def __contains__(self, value: Any) -> bool:
        # Compared and never converted: whole numbers may be too long for a float.
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.above:
            return f"above {self.low:g} and up to {self.high:g}"
        return f"from {self.low:g} to {self.high:g}"
