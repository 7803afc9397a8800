"""Constraints on outputs that no outputs meet, whatever the network."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from sensverify.formats.vnnlib.formula import Constraint

Row = tuple[tuple[int, Fraction], ...]
"""Factors of outputs, by index, of which the first is 1 or -1."""

_ROWS = 256
"""Most rows at a time: beyond it nothing is said."""


def contradictory(constraints: Iterable[Constraint]) -> bool:
    """True where it follows from the constraints alone that no outputs meet all of them.

    Fourier-Motzkin elimination in rational numbers: what remains of the constraints when the
    outputs are eliminated, one after the other, is ``0 <= limit`` or ``0 < limit``. False also
    where that takes too many rows.
    """
    rows: dict[Row, tuple[Fraction, bool]] = {}
    for constraint in constraints:
        _add(rows, dict(constraint.factors), constraint.limit, constraint.strict)
    while True:
        limit, strict = rows.get((), (Fraction(1), False))
        if limit < 0 or (limit == 0 and strict):
            return True
        signs: dict[int, list[int]] = {}
        for row in rows:
            for index, factor in row:
                signs.setdefault(index, [0, 0])[factor > 0] += 1
        if not signs:
            return False
        index = min(signs, key=lambda i: signs[i][0] * signs[i][1])
        if len(rows) + signs[index][0] * signs[index][1] > _ROWS:
            return False
        rows = _without(rows, index)


def _without(
    rows: dict[Row, tuple[Fraction, bool]], index: int
) -> dict[Row, tuple[Fraction, bool]]:
    """The rows with one output eliminated: each row below it added to each row above it."""
    left: dict[Row, tuple[Fraction, bool]] = {}
    below: list[tuple[dict[int, Fraction], Fraction, bool]] = []
    above: list[tuple[dict[int, Fraction], Fraction, bool]] = []
    for row, (limit, strict) in rows.items():
        factor = dict(row).get(index)
        if factor is None:
            _add(left, dict(row), limit, strict)
        else:
            size = abs(factor)
            scaled = {i: f / size for i, f in row if i != index}
            (above if factor > 0 else below).append((scaled, limit / size, strict))
    for first, first_limit, first_strict in below:
        for second, second_limit, second_strict in above:
            total = dict(first)
            for i, factor in second.items():
                total[i] = total.get(i, Fraction(0)) + factor
            _add(left, total, first_limit + second_limit, first_strict or second_strict)
    return left


def _add(
    rows: dict[Row, tuple[Fraction, bool]],
    factors: dict[int, Fraction],
    limit: Fraction,
    strict: bool,
) -> None:
    """Add a row, unless one with the same factors is tighter."""
    nonzero = sorted((i, factor) for i, factor in factors.items() if factor)
    size = abs(nonzero[0][1]) if nonzero else Fraction(1)
    row = tuple((i, factor / size) for i, factor in nonzero)
    found = (limit / size, strict)
    # At equal limits the strict one is tighter.
    if row not in rows or (found[0], not strict) < (rows[row][0], not rows[row][1]):
        rows[row] = found
