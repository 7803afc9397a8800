"""Whether two shapes hold their numbers in one order."""

from __future__ import annotations

from math import prod

Shape = tuple[int, ...]


def same_order(first: Shape, second: Shape) -> bool:
    """Whether as many numbers come in one row-major order, whichever shape they are said to have.

    Axes of length 1, and a shape that is one long row, leave no doubt about it.
    """
    ours, theirs = ([length for length in shape if length > 1] for shape in (first, second))
    return prod(ours) == prod(theirs) and (ours == theirs or len(ours) < 2 or len(theirs) < 2)
