"""The rule of increments: planes around each, and in an exact program both ends of it, too."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import diags

from sensverify.bounds.forward import apply
from sensverify.bounds.ibp import interval
from sensverify.bounds.relaxation import Slope, relax
from sensverify.network.graph import mapped
from sensverify.network.operators import Increment, PiecewiseLinear
from sensverify.solvers.encoding.expression import Expression, columns_of, summed
from sensverify.solvers.encoding.maps import double
from sensverify.solvers.encoding.piecewise import ROUNDING, encode_pieces
from sensverify.solvers.encoding.rules import Place, encode_operator
from sensverify.solvers.encoding.smooth import encode_curve


@encode_operator.register
def _(operator: Increment, place: Place, x: Expression) -> Expression:
    live = mapped(operator, lambda values: torch.from_numpy(np.array(double(values))))
    builder, shape = place.builder, (1, *place.node.shape, 2)
    lower, upper = (torch.from_numpy(end).reshape(shape) for end in place.bounds)
    with torch.no_grad():
        lines = [relax(live, lower, upper, slope) for slope in Slope]
        low, high = (end.reshape(-1).numpy() for end in interval(live, (lower, upper)))
    size = abs(np.concatenate([end.reshape(1, -1, 2) for end in place.bounds])).sum(axis=(0, 2))
    margin = ROUNDING * np.maximum(1e-3, size)
    positions = builder.add_columns(low - margin, high + margin)
    once = builder.define_heavy(x)
    places = np.arange(len(positions)) * 2
    start, change = once[places], once[places + 1]
    ones = diags(np.ones(len(positions)))
    for line in lines:
        for below, slope, intercept in (
            (True, line.lower_slope, line.lower_intercept),
            (False, line.upper_slope, line.upper_intercept),
        ):
            along, steep = slope.reshape(-1, 2).numpy().T
            assert intercept is not None
            shift = intercept.reshape(-1).numpy()
            shift = shift + along * start.offset + steep * change.offset
            rows = builder.add_rows(
                (ones, positions),
                (-(diags(along) @ start.matrix), None),
                (-(diags(steep) @ change.matrix), None),
                lower=shift - margin if below else -np.inf,
                upper=np.inf if below else shift + margin,
            )
            builder.remember(place.position, places, rows, along)
            builder.remember(place.position, places + 1, rows, steep)

    if builder.exact:
        _tie_ends(operator, place, (start, change), positions)

    def fill(values: np.ndarray) -> None:
        inputs = torch.from_numpy(np.ascontiguousarray(x.values(values).T))
        found = apply(live, inputs.reshape(-1, *shape[1:]))
        values[positions] = found.reshape(len(inputs), -1).numpy().T

    builder.fills.append(fill)
    return columns_of(positions)


def _tie_ends(
    operator: Increment,
    place: Place,
    inputs: tuple[Expression, Expression],
    positions: np.ndarray,
) -> None:
    """The columns are the function behind the change less the function before it."""
    builder = place.builder
    places = np.arange(len(positions)) * 2
    lower, upper = (end.reshape(-1, 2) for end in place.bounds)
    start, moved = inputs[0], summed(*inputs)
    ends = lower.sum(axis=1), upper.sum(axis=1)
    after = _function(operator, place, moved, ends, places + 1)
    before = _function(operator, place, start, (lower[:, 0], upper[:, 0]), places)
    offset = after.offset - before.offset
    builder.add_rows(
        (diags(np.ones(len(positions))), positions),
        (-after.matrix, None),
        (before.matrix, None),
        lower=offset,
        upper=offset,
    )


def _function(
    operator: Increment,
    place: Place,
    x: Expression,
    bounds: tuple[np.ndarray, np.ndarray],
    entries: np.ndarray,
) -> Expression:
    """The increment's own function of numbers within bounds."""
    if isinstance(operator.function, PiecewiseLinear):
        return encode_pieces(operator.function, place, x, bounds, entries)
    return encode_curve(operator.function, place, x, bounds, entries)
