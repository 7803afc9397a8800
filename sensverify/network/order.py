"""Order of the numbers of two shapes."""

from __future__ import annotations

from math import prod

Shape = tuple[int, ...]


def same_order(first: Shape, second: Shape) -> bool:
    """True where two shapes hold as many numbers, in the same row-major order.

    Axes of length 1, and a shape that is one long row, leave no doubt about it.
    """
    ours, theirs = ([length for length in shape if length > 1] for shape in (first, second))
    return prod(ours) == prod(theirs) and (ours == theirs or len(ours) < 2 or len(theirs) < 2)
