"""Ranges of numbers, as type hints carry them: ``Annotated[float, Range(0, 1)]``."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Annotated, Any


@dataclass(frozen=True)
class Range:
    """The finite numbers from ``low`` to ``high``.

    Without ``low`` itself where ``above`` is true, without ``high`` where ``below`` is, and with
    infinity where ``infinite`` is. ``value in range`` is false of what is no number, and of NaN.
    """

    low: float
    high: float = inf
    above: bool = False
    below: bool = False
    infinite: bool = False

    def __contains__(self, value: Any) -> bool:
        # Compared and never converted: whole numbers may be too long for a float.
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if abs(value) == inf and not self.infinite:
            return False
        enough = self.low < value if self.above else self.low <= value
        return enough and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        if self.high == inf:
            return f"{'above' if self.above else 'of at least'} {_shown(self.low)}"
        if self.above:
            end = "below" if self.below else "up to"
            return f"above {_shown(self.low)} and {end} {_shown(self.high)}"
        return f"from {_shown(self.low)} to {'below ' if self.below else ''}{_shown(self.high)}"


def _shown(end: float) -> str:
    return str(end) if isinstance(end, int) else f"{end:g}"


Count = Annotated[int, Range(1)]
Above0 = Annotated[float, Range(0, above=True)]
AtLeast0 = Annotated[float, Range(0)]
Seconds = Annotated[float, Range(0, infinite=True)]
