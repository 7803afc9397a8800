"""The rule of products of two numbers: the planes around each.

In the exact form there are also planes on segments of the factor with the wider interval, with a
binary for each place where it is cut: within a segment the planes are as much closer to the product
as it is narrower. Source: Misener & Floudas 2012, *Global optimization of mixed-integer
quadratically-constrained quadratic programs through piecewise-linear and edge-concave relaxations*.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import diags

from sensverify.bounds.planes import planes_between, product_range
from sensverify.network.operators import Product
from sensverify.solvers.encoding.envelopes import FLAT, halved, refined
from sensverify.solvers.encoding.expression import Expression, columns_of, scattered
from sensverify.solvers.encoding.piecewise import ROUNDING, SMALLEST, numbered
from sensverify.solvers.encoding.rules import Place, encode_operator
from sensverify.solvers.encoding.segments import Segments, add_segments


@encode_operator.register
def _(operator: Product, place: Place, x: Expression) -> Expression:
    lower, upper = (end.reshape(-1, 2) for end in place.bounds)
    fixed = lower == upper
    count, none = len(lower), np.zeros(len(lower))
    # A number that does not move is a factor of the other one.
    parts = []
    for still, other in ((0, 1), (1, 0)):
        own = np.flatnonzero(fixed[:, still] & ~(fixed[:, 0] if still else False))
        parts.append((own, x[2 * own + other].scaled(lower[own, still], none[own])))
    open_ = np.flatnonzero(~fixed.any(axis=1))
    if len(open_):
        parts.append((open_, _between(place, x, lower[open_], upper[open_], open_)))
    return scattered(count, *parts)


def _between(
    place: Place, x: Expression, lower: np.ndarray, upper: np.ndarray, windows: np.ndarray
) -> Expression:
    """A column for each product, between McCormick's four planes."""
    builder, ends = place.builder, (torch.from_numpy(lower), torch.from_numpy(upper))
    low, high = (end.numpy() for end in product_range(*ends))
    margin = ROUNDING * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
    positions = builder.add_columns(low - margin, high + margin)
    factors = tuple(builder.define_heavy(x[2 * windows + side]) for side in (0, 1))
    first, second = factors
    ones = diags(np.ones(len(windows)))
    for share in (0.0, 1.0):
        shares = torch.full((len(windows),), share, dtype=torch.float64)
        for below, (slope, intercept) in zip(
            (True, False), planes_between(*ends, shares, shares), strict=True
        ):
            one, other = slope.numpy().T
            shift = intercept.numpy() + one * first.offset + other * second.offset
            rows = builder.add_rows(
                (ones, positions),
                (-(diags(one) @ first.matrix), None),
                (-(diags(other) @ second.matrix), None),
                lower=shift - margin if below else -np.inf,
                upper=np.inf if below else shift + margin,
            )
            for side, factor in ((0, one), (1, other)):
                builder.remember(place.position, 2 * windows + side, rows, factor)

    def fill(values: np.ndarray) -> None:
        numbers = (x[2 * windows + side].values(values) for side in (0, 1))
        values[positions] = next(numbers) * next(numbers)

    builder.fills.append(fill)
    if builder.exact and builder.segments > 1:
        width = upper - lower
        worth = width[:, 0] * width[:, 1] / 4 > FLAT * np.maximum(1, np.maximum(-low, high))
        for side, wider in ((0, width[:, 0] >= width[:, 1]), (1, width[:, 0] < width[:, 1])):
            own = np.flatnonzero(worth & wider)
            if len(own):
                numbers = factors[side][own], factors[1 - side][own]
                known = 2 * windows[own] + side, 2 * windows[own] + 1 - side, positions[own]
                sides = lower[own][:, [side, 1 - side]], upper[own][:, [side, 1 - side]]
                _enclose(place, numbers, known, sides)
    return columns_of(positions)


def _enclose(
    place: Place,
    factors: tuple[Expression, Expression],
    known: tuple[np.ndarray, np.ndarray, np.ndarray],
    bounds: tuple[np.ndarray, np.ndarray],
) -> None:
    """Keep products between the planes on the segments of their first factor.

    ``known``: the entries of both factors, and the products' positions. ``bounds``: each
    ``[products, 2]``.
    """
    builder, (entries, others, positions), (lower, upper) = place.builder, known, bounds
    ends = refined(np.stack([lower[:, 0], upper[:, 0]]), builder.segments, halved)
    segments = add_segments(place, ends, factors[0], entries)
    beside = _beside(place, segments, factors[1], others, (lower[:, 1], upper[:, 1]))
    count, size = len(ends) - 1, np.abs(np.stack(bounds)).max(axis=0)
    margin = ROUNDING * np.maximum(1.0, 3 * size[:, 0] * size[:, 1])
    low = np.stack([ends[:-1], np.broadcast_to(lower[:, 1], (count, len(lower)))], axis=-1)
    high = np.stack([ends[1:], np.broadcast_to(upper[:, 1], (count, len(lower)))], axis=-1)
    for share in (0.0, 1.0):
        shares = torch.full(low.shape[:-1], share, dtype=torch.float64)
        planes = planes_between(torch.from_numpy(low), torch.from_numpy(high), shares, shares)
        for below, (slope, intercept) in zip((True, False), planes, strict=True):
            slopes = slope.numpy()
            starts = intercept.numpy() + (slopes * low).sum(axis=-1)
            builder.add_rows(
                (diags(np.ones(len(positions))), positions),
                *segments.chosen(-starts),
                *segments.sloped(-slopes[..., 0]),
                *((diags(-s), c) for s, c in zip(slopes[..., 1], beside, strict=True)),
                lower=starts[0] - margin if below else -np.inf,
                upper=np.inf if below else starts[0] + margin,
            )


def _beside(
    place: Place,
    segments: Segments,
    x: Expression,
    entries: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
) -> list[np.ndarray]:
    """Columns: how far x is above its least value on each segment, 0 on all but one."""
    builder, count = place.builder, len(segments.along)
    margin = ROUNDING * np.maximum(1e-3, np.abs(np.stack(bounds)).max(axis=0))
    start = bounds[0] - margin
    length = np.maximum(bounds[1] + margin - start, SMALLEST)
    columns = [
        builder.add_columns(np.zeros(len(start)), length, role, entries)
        for role in numbered("beside", count)
    ]
    segments.spread(builder, np.broadcast_to(length, (count, len(length))), columns)
    ones = diags(np.ones(len(start)))
    right = x.offset - start
    rows = builder.add_rows(
        *((ones, column) for column in columns), (-x.matrix, None), lower=right, upper=right
    )
    builder.remember(place.position, entries, rows)

    def fill(values: np.ndarray) -> None:
        numbers = x.values(values) - start[:, None]
        on = sum(values[column] for column in segments.passed)
        for k, column in enumerate(columns):
            values[column] = np.where(on == k, numbers, 0.0)

    builder.fills.append(fill)
    return columns
