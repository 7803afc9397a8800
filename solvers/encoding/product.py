"""The rule of products of two numbers: the planes around each."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import diags

from sensverify.bounds.planes import planes_between, product_range
from sensverify.errors import MissingRule
from sensverify.network.operators import Product
from sensverify.solvers.encoding.expression import Expression, columns_of, scattered
from sensverify.solvers.encoding.piecewise import ROUNDING
from sensverify.solvers.encoding.rules import Place, encode_operator


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
        if place.builder.exact:
            raise MissingRule(
                f"operator Product of node '{place.node.name}' is not linear between kinks, so no "
                "mixed-integer program holds it",
                "use `method` lp, alpha-crown or branch-and-bound",
            )
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
    first, second = (builder.define_heavy(x[2 * windows + side]) for side in (0, 1))
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
        factors = (x[2 * windows + side].values(values) for side in (0, 1))
        values[positions] = next(factors) * next(factors)

    builder.fills.append(fill)
    return columns_of(positions)
