"""The rule of a softmax's shares: the planes around each, in both forms."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import diags

from sensverify.bounds.forward import apply
from sensverify.bounds.ibp import interval
from sensverify.bounds.relaxation import Slope, relax
from sensverify.network.operators import Share
from sensverify.solvers.encoding.expression import Expression, columns_of, constants, scattered
from sensverify.solvers.encoding.piecewise import ROUNDING
from sensverify.solvers.encoding.rules import Place, encode_operator


@encode_operator.register
def _(operator: Share, place: Place, x: Expression) -> Expression:
    count = int(np.prod(place.node.shape))
    lower, upper = (end.reshape(count, -1) for end in place.bounds)
    fixed = (lower == upper).all(axis=1)
    value = apply(operator, torch.from_numpy(lower[fixed])).numpy()
    parts = [(np.flatnonzero(fixed), constants(value))]
    open_ = np.flatnonzero(~fixed)
    if len(open_):
        parts.append((open_, _between(operator, place, x, open_)))
    return scattered(count, *parts)


def _between(operator: Share, place: Place, inputs: Expression, windows: np.ndarray) -> Expression:
    """A column for each share, between the ends' values and the planes of CROWN."""
    builder = place.builder
    size = len(place.bounds[0]) // int(np.prod(place.node.shape))
    entries = size * windows[:, None] + np.arange(size)
    ends = [torch.from_numpy(end[entries])[None] for end in place.bounds]
    with torch.no_grad():
        planes = relax(operator, ends[0], ends[1], Slope.ADAPTIVE)
        low, high = (end[0].numpy() for end in interval(operator, (ends[0], ends[1])))
    margin = np.full(len(windows), ROUNDING)
    positions = builder.add_columns(low - margin, high + margin)
    numbers = [builder.define_heavy(inputs[column]) for column in entries.T]
    ones = diags(np.ones(len(windows)))
    for below, slope, intercept in (
        (True, planes.lower_slope, planes.lower_intercept),
        (False, planes.upper_slope, planes.upper_intercept),
    ):
        assert intercept is not None
        factors = slope.reshape(-1, size).numpy().T
        shift = intercept.reshape(-1).numpy()
        shift = shift + sum(f * x.offset for f, x in zip(factors, numbers, strict=True))
        # Rounding is relative to the largest term.
        room = margin * np.maximum(1.0, abs(shift))
        rows = builder.add_rows(
            (ones, positions),
            *((-(diags(f) @ x.matrix), None) for f, x in zip(factors, numbers, strict=True)),
            lower=shift - room if below else -np.inf,
            upper=np.inf if below else shift + room,
        )
        for column, factor in zip(entries.T, factors, strict=True):
            builder.remember(place.position, column, rows, factor)

    def fill(values: np.ndarray) -> None:
        read = np.stack([inputs[column].values(values) for column in entries.T], axis=-1)
        values[positions] = apply(operator, torch.from_numpy(read)).numpy()

    builder.fills.append(fill)
    return columns_of(positions)
