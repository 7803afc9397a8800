"""Claims of a certificate in words, in lines of a terminal and in tables of a page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from itertools import islice

import numpy as np

from sensverify.certificates import Claims
from sensverify.report import document as doc
from sensverify.report.formatting import DASH, clipped

INPUTS = 6
"""Inputs up to which a box is spelled out."""

ROWS = 6
"""Claims about one box that a terminal lists."""

CLAIMS, BOXES = 2000, 500
"""Claims and boxes that the tables of a page have; the others are counted."""

_LINE = 401
"""Characters of a line about the claims."""

_FUNCTION = 160
"""Characters of a linear function in a table."""


def row_text(row: np.ndarray, old: int | None = None) -> str:
    """A linear function of the outputs: ``y0 - 2.5 y3``; of a very long one the beginning.

    Of two models ``old`` is how many outputs each has: ``d0`` is by how much the first one differs.
    """
    text = ""
    for place in np.flatnonzero(row).tolist():
        if len(text) > _LINE:
            return f"{text} …"
        value = float(row[place])
        size = "" if abs(value) == 1 else f"{abs(value)!r} "
        sign = (" - " if value < 0 else " + ") if text else ("-" if value < 0 else "")
        name = f"y{place}" if old is None or place < old else f"d{place - old}"
        text += f"{sign}{size}{name}"
    return text or "0"


def rows_of(claims: Claims, problem: int) -> np.ndarray:
    """The linear functions that the claims on a box are about, ``[rows, outputs]``."""
    found: np.ndarray = claims.rows[problem if len(claims.rows) > 1 else 0]
    return found


def input_text(claims: Claims, problem: int) -> str:
    """An input box; of one with many inputs, how many of them move."""
    lower, upper = claims.lower[problem].tolist(), claims.upper[problem].tolist()
    moving = sum(low < high for low, high in zip(lower, upper, strict=True))
    if len(lower) > INPUTS:
        return f"{moving:,} of {len(lower):,} inputs move"
    ends = enumerate(zip(lower, upper, strict=True))
    return "; ".join(f"{low!r} <= x{i} <= {high!r}" for i, (low, high) in ends)


def box_text(claims: Claims, problem: int, old: int | None = None) -> str:
    """The first claims on a box, and how many there are; opposite ones as intervals."""
    texts = [text for text, *_ in islice(_claims_on(claims, problem, old), ROWS)]
    shown, count = clipped("; ".join(texts), _LINE), _count_on(claims, problem)
    return shown if count <= ROWS else f"{shown}; and {count - ROWS} more"


def claims_table(claims: Claims, old: int | None = None) -> doc.Table:
    """Every claim in a row of its own, the first `CLAIMS`; ``old`` as of `row_text`."""
    rows = islice(_claim_rows(claims, old), CLAIMS)
    box = doc.Column("box", align="left")
    if claims.groups is not None:
        heads = [doc.Column("no input gives", "text", align="left")]
    else:
        heads = [doc.Column("function of the outputs", "text", align="left")]
        heads += [doc.Column(name) for name in ("at least", "at most", "width")]
    return doc.Table([box, *heads], list(rows), "listing", sortable=True, search="claims")


def claim_count(claims: Claims) -> int:
    """The number of rows that all claims would have in `claims_table`."""
    if claims.groups is not None:
        return claims.pairs
    if len(claims.rows) == 1:
        # All boxes share their rows.
        return claims.problems * _count_on(claims, 0)
    return sum(_count_on(claims, problem) for problem in range(claims.problems))


def boxes_table(claims: Claims) -> doc.Table:
    """The input boxes, the first `BOXES`."""
    rows = []
    for problem in range(min(claims.problems, BOXES)):
        lower, upper = claims.lower[problem], claims.upper[problem]
        widths = upper - lower
        moving, widest = int((widths > 0).sum()), float(widths.max())
        cells = doc.Cell(f"{moving:,}", value=moving), doc.Cell(f"{widest:.6g}", value=widest)
        few = input_text(claims, problem) if len(lower) <= INPUTS else DASH
        rows.append(doc.row(str(problem), *cells, doc.Cell(few, "text long")))
    inputs = doc.Column("inputs that move", hint=f"of {claims.lower.shape[1]:,}")
    heads = inputs, doc.Column("largest width"), doc.Column("ranges", "text", align="left")
    columns = [doc.Column("box", align="left"), *heads]
    return doc.Table(columns, rows, "listing", sortable=True, search="boxes")


def _count_on(claims: Claims, problem: int) -> int:
    """The number of claims on a box."""
    if claims.groups is not None:
        groups = claims.groups[problem]
        return len(np.unique(groups[groups >= 0]))
    rows = rows_of(claims, problem)
    return len(rows) // 2 if _opposite(rows) else len(rows)


def _opposite(rows: np.ndarray) -> bool:
    """Whether rows are C and then -C, whose limits are both ends of intervals."""
    half = len(rows) // 2
    return len(rows) == 2 * half and bool((rows[half:] == -rows[:half]).all())


def _claims_on(
    claims: Claims, problem: int, old: int | None = None
) -> Iterator[tuple[str, str, float | None, float | None]]:
    """Claims on a box: in one text; the function, and its lower and upper end."""
    rows, limits = rows_of(claims, problem), claims.limits[problem].tolist()
    if claims.groups is not None:
        groups = claims.groups[problem]
        for group in np.unique(groups[groups >= 0]):
            places = np.flatnonzero(groups == group)
            parts = [f"{row_text(rows[i], old)} <= {limits[i]!r}" for i in places]
            text = " and ".join(parts)
            yield f"never {text}", text, None, None
    elif _opposite(rows):
        half = len(rows) // 2
        for row, low, high in zip(rows[:half], limits, limits[half:], strict=False):
            function, high = row_text(row, old), 0.0 - high
            yield f"{low!r} <= {function} <= {high!r}", function, low, high
    else:
        for row, low in zip(rows, limits, strict=True):
            function = row_text(row, old)
            yield f"{function} >= {low!r}", function, low, None


def _claim_rows(claims: Claims, old: int | None) -> Iterator[doc.Row]:
    for problem in range(claims.problems):
        for _, function, low, high in _claims_on(claims, problem, old):
            shown = doc.Cell(clipped(function, _FUNCTION), "text")
            if claims.groups is not None:
                yield doc.row(str(problem), shown)
                continue
            width = None if low is None or high is None else high - low
            cells = _end(low, up=False), _end(high, up=True), _end(width, up=True)
            yield doc.row(str(problem), shown, *cells)


def _end(value: float | None, *, up: bool) -> doc.Cell:
    """An end of a claim, with every digit on demand."""
    if value is None:
        return doc.Cell(DASH)
    return doc.Cell(outward(value, up=up), title=repr(value), value=value)


def outward(value: float, *, up: bool) -> str:
    """A bound with seven digits, never tighter than it is: what is shown holds, too."""
    if not math.isfinite(value):
        return str(value)
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    shown = Context(prec=7, rounding=rounding).create_decimal(value)
    text = f"{float(shown):.7g}"
    # Next to the ends of doubles a text of seven digits is another number.
    return text if Decimal(text) == shown else f"{shown:.7g}"
