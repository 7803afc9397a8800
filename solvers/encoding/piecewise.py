"""The rule of the functions that are linear between kinks: ReLU, leaky ReLU, clip and their like.

With kinks ``t1 < ... < tk`` inside of an interval, x is written as ``t1`` minus the part below t1
plus one part for each piece above it; the function is then a sum of these parts times the slopes
of their pieces. What ties the parts together is that a piece begins only when the one before it is
full: a binary for each kink in the exact form, its convex hull in the relaxed one. One scheme
serves every slope, and each neuron's input is written out once. Source: Dantzig 1960, *On the
significance of solving linear programming problems with some integer variables* (the incremental
form); with one kink it is the usual big-M form with the slack as a column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, diags

from sensverify.network.functions import NUMPY
from sensverify.network.graph import mapped
from sensverify.network.operators import PiecewiseLinear
from sensverify.solvers.encoding.builder import Builder
from sensverify.solvers.encoding.expression import Expression, scattered
from sensverify.solvers.encoding.maps import double
from sensverify.solvers.encoding.rules import Place, encode_operator

ROUNDING = 1e-12
"""Widens the intervals that big-M constants come from, relative to the largest magnitude that
enters the node: what rounding may have taken from them, many times over."""

SMALLEST = 1e-7
"""Least big-M constant: solvers drop coefficients below about 1e-9. A larger one is still right."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """A function of one number, linear between kinks, for every entry of a node.

    Parameters
    ----------
    kinks : numpy array, shape ``[kinks, entries]``
        Ascending; infinite where there is none.
    slopes, intercepts : numpy array, shape ``[kinks + 1, entries]``
        Of the pieces from left to right.
    """

    kinks: np.ndarray
    slopes: np.ndarray
    intercepts: np.ndarray


def pieces(operator: PiecewiseLinear, shape: tuple[int, ...]) -> Pieces:
    """The pieces of an operator whose input has this shape."""
    operator = mapped(operator, double)
    kinks, slopes = list(operator.kinks), list(operator.slopes)
    for i in reversed(range(1, len(kinks))):
        if kinks[i - 1] == kinks[i]:
            # Nothing lies between two kinks at one place.
            del kinks[i], slopes[i]

    def entries(values: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(values, np.float64), shape).reshape(-1)

    table = np.stack([entries(slope) for slope in slopes])
    ends = np.stack([entries(kink) for kink in kinks]) if kinks else np.zeros((0, table.shape[1]))
    # A last slope that is the one before is no kink.
    for i in reversed(range(len(kinks))):
        behind = np.isinf(ends[i + 1 :]).all(axis=0)
        ends[i] = np.where(behind & (table[i] == table[i + 1]), np.inf, ends[i])
    # A piece beyond an infinite end is never reached; its intercept only has to be a number.
    near = [_finite(kinks[max(0, i - 1) : i + 1][::-1]) for i in range(len(slopes))]
    values = np.stack([entries(operator.value(np.full(shape, at), NUMPY)) for at in near])
    return Pieces(ends, table, values - table * np.array(near)[:, None])


def _finite(kinks: list[float]) -> float:
    """The first finite one, or zero."""
    return next((kink for kink in kinks if np.isfinite(kink)), 0.0)


@encode_operator.register
def _(operator: PiecewiseLinear, place: Place, x: Expression) -> Expression:
    return encode_pieces(operator, place, x, place.bounds, np.arange(len(x)))


def encode_pieces(
    operator: PiecewiseLinear,
    place: Place,
    x: Expression,
    bounds: tuple[np.ndarray, np.ndarray],
    entries: np.ndarray,
) -> Expression:
    """The function of numbers within bounds, each ``[numbers]``.

    ``entries``: by which entry of the node's input each number is known.
    """
    lower, upper = bounds
    table = pieces(operator, place.node.shape)
    first = (table.kinks <= lower).sum(axis=0)
    last = np.maximum(first, (table.kinks < upper).sum(axis=0))
    parts = []
    for count in range(len(table.kinks) + 1):
        chosen = np.flatnonzero(last - first == count)
        if not len(chosen):
            continue
        piece = first[chosen]
        if count == 0:
            slope, shift = table.slopes[piece, chosen], table.intercepts[piece, chosen]
            parts.append((chosen, x[chosen].scaled(slope, shift)))
        else:
            steps = _steps(table, piece, chosen, count, lower, upper)
            parts.append((chosen, _encode(place, steps, entries[chosen], x[chosen])))
    return scattered(len(x), *parts)


@dataclass(frozen=True, eq=False)
class _Steps:
    """Entries with the same number of kinks inside: lengths and slopes of the parts of x.

    ``start``, ``value``: ``[entries]``, the first kink and the function there; ``lengths``,
    ``slopes``: ``[kinks + 1, entries]``, those of the part below the first kink at first.
    """

    start: np.ndarray
    value: np.ndarray
    lengths: np.ndarray
    slopes: np.ndarray


def _steps(
    table: Pieces,
    piece: np.ndarray,
    chosen: np.ndarray,
    count: int,
    lower: np.ndarray,
    upper: np.ndarray,
) -> _Steps:
    kinks = np.stack([table.kinks[piece + i, chosen] for i in range(count)])
    slopes = np.stack([table.slopes[piece + i, chosen] for i in range(count + 1)])
    margin = ROUNDING * max(1e-3, float(np.abs(lower).max()), float(np.abs(upper).max()))
    ends = np.concatenate([lower[None, chosen] - margin, kinks, upper[None, chosen] + margin])
    value = slopes[0] * kinks[0] + table.intercepts[piece, chosen]
    return _Steps(kinks[0], value, np.diff(ends, axis=0), slopes)


def _encode(place: Place, steps: _Steps, entries: np.ndarray, x: Expression) -> Expression:
    """Columns for the parts, rows that tie them, and the function as a sum over them."""
    builder = place.builder
    zeros = np.zeros(len(entries))
    roles = ["below", *numbered("above", len(steps.lengths) - 1)]
    parts = [
        builder.add_columns(zeros, length, role, entries)
        for length, role in zip(steps.lengths, roles, strict=True)
    ]
    signs = [-1.0, *(1.0 for _ in parts[1:])]
    ones = [(diags(np.full(len(entries), s)), p) for s, p in zip(signs, parts, strict=True)]
    right = x.offset - steps.start
    rows = builder.add_rows(*ones, (-x.matrix, None), lower=right, upper=right)
    builder.remember(place.position, entries, rows)
    binaries: list[np.ndarray] = []
    if builder.exact:
        roles = numbered("on", len(parts) - 1)
        binaries = [builder.add_binaries(place.position, entries, role) for role in roles]
        _tie(builder, steps, parts, binaries)
    else:
        _tie_relaxed(builder, steps, parts)

    def fill(values: np.ndarray) -> None:
        rest = x.values(values) - steps.start[:, None]
        values[parts[0]] = np.maximum(-rest, 0)
        rest = np.maximum(rest, 0)
        for i, part in enumerate(parts[1:]):
            # The last part takes what is left: x may lie beyond its bound by rounding.
            length = np.inf if i == len(parts) - 2 else steps.lengths[i + 1][:, None]
            if binaries:
                values[binaries[i]] = rest > 0
            values[part] = np.minimum(rest, length)
            rest = rest - values[part]

    builder.fills.append(fill)
    slopes = [-steps.slopes[0], *steps.slopes[1:]]
    terms = [_terms(builder, slope, part) for slope, part in zip(slopes, parts, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    total.eliminate_zeros()
    return Expression(total, steps.value)


def numbered(role: str, count: int) -> list[str]:
    """A role for each piece: the word alone where there is one piece."""
    return [role] if count == 1 else [f"{role}{number}" for number in range(1, count + 1)]


def _terms(builder: Builder, slope: np.ndarray, part: np.ndarray) -> csr_matrix:
    rows = np.arange(len(part))
    return csr_matrix((slope, (rows, part)), shape=(len(part), builder.columns))


def _tie(
    builder: Builder, steps: _Steps, parts: list[np.ndarray], binaries: list[np.ndarray]
) -> None:
    """A piece has length only with its binary, and the next binary only when it is full."""
    lengths = np.maximum(steps.lengths, SMALLEST)
    builder.add_scaled_rows((1.0, parts[0]), (lengths[0], binaries[0]), upper=lengths[0])
    for i, binary in enumerate(binaries):
        builder.add_scaled_rows((1.0, parts[i + 1]), (-lengths[i + 1], binary), upper=0.0)
        if i + 1 < len(binaries):
            # Not widened: a full piece is exactly as long as the distance of its kinks.
            length = steps.lengths[i + 1]
            builder.add_scaled_rows((1.0, parts[i + 1]), (-length, binaries[i + 1]), lower=0.0)


def _tie_relaxed(builder: Builder, steps: _Steps, parts: list[np.ndarray]) -> None:
    """The hull: shares ``1 - n/N >= m/M >= p/P``, each row scaled to coefficients of at most 1."""
    lengths = steps.lengths
    least = np.minimum(lengths[0], lengths[1])
    builder.add_scaled_rows(
        (least / lengths[0], parts[0]), (least / lengths[1], parts[1]), upper=least
    )
    for i in range(1, len(parts) - 1):
        least = np.minimum(lengths[i], lengths[i + 1])
        builder.add_scaled_rows(
            (least / lengths[i], parts[i]), (-least / lengths[i + 1], parts[i + 1]), lower=0.0
        )
