"""The rule of the functions that no program of finite size holds: lines around each."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import diags

from sensverify.bounds.forward import apply
from sensverify.bounds.ibp import interval
from sensverify.bounds.relaxation import Slope, relax
from sensverify.errors import MissingRule
from sensverify.network.operators import Elementwise
from sensverify.solvers.encoding.expression import Expression, columns_of, constants, scattered
from sensverify.solvers.encoding.piecewise import ROUNDING
from sensverify.solvers.encoding.rules import Place, encode_operator


@encode_operator.register
def _(operator: Elementwise, place: Place, x: Expression) -> Expression:
    if place.builder.exact:
        raise MissingRule(
            f"operator {type(operator).__name__} of node '{place.node.name}' is not linear between "
            "kinks, so no mixed-integer program holds it",
            "use `method` lp, alpha-crown or branch-and-bound",
        )
    lower, upper = place.bounds
    fixed, open_ = np.flatnonzero(lower == upper), np.flatnonzero(lower < upper)
    value = apply(operator, torch.from_numpy(lower[fixed])).numpy()
    parts = [(fixed, constants(value))]
    if len(open_):
        parts.append((open_, _between(operator, place, x, open_)))
    return scattered(len(x), *parts)


def _between(
    operator: Elementwise, place: Place, inputs: Expression, entries: np.ndarray
) -> Expression:
    """A column for each value, between the ends' values and the lines of CROWN and of LP-dual."""
    builder, x = place.builder, inputs[entries]
    lower, upper = (end[entries] for end in place.bounds)
    ends = torch.from_numpy(lower)[None], torch.from_numpy(upper)[None]
    with torch.no_grad():
        lines = [relax(operator, *ends, slope) for slope in Slope]
        low, high = (end[0].numpy() for end in interval(operator, ends))
    margin = ROUNDING * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
    positions = builder.add_columns(low - margin, high + margin, "value", entries)
    once = builder.define_heavy(x)
    ones = diags(np.ones(len(x)))
    for line in lines:
        for below, slope, intercept in (
            (True, line.lower_slope, line.lower_intercept),
            (False, line.upper_slope, line.upper_intercept),
        ):
            factor = slope.reshape(-1).numpy()
            start = 0.0 if intercept is None else intercept.reshape(-1).numpy()
            shift = start + factor * once.offset
            rows = builder.add_rows(
                (ones, positions),
                (-(diags(factor) @ once.matrix), None),
                lower=shift - margin if below else -np.inf,
                upper=np.inf if below else shift + margin,
            )
            builder.remember(place.position, entries, rows, factor)

    def fill(values: np.ndarray) -> None:
        inputs = torch.from_numpy(np.ascontiguousarray(x.values(values)))
        values[positions] = apply(operator, inputs).numpy()

    builder.fills.append(fill)
    return columns_of(positions)
