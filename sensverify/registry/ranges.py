"""Ranges of numbers, as type hints carry them: ``Annotated[float, Range(0, 1)]``."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any


@dataclass(frozen=True)
class Range:
    """The finite numbers from ``low`` to ``high``; without ``low`` itself where ``above`` is true.

    ``value in range`` is false of what is no number, and of NaN.
    """

    low: float
    high: float = inf
    above: bool = False

    def __contains__(self, value: Any) -> bool:
        # Compared and never converted: whole numbers may be too long for a float.
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) == inf:
            return False
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.high == inf:
            return f"{'above' if self.above else 'of at least'} {_shown(self.low)}"
        if self.above:
            return f"above {_shown(self.low)} and up to {_shown(self.high)}"
        return f"from {_shown(self.low)} to {_shown(self.high)}"


def _shown(end: float) -> str:
    return str(end) if isinstance(end, int) else f"{end:g}"
