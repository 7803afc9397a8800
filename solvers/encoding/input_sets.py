"""Input sets as rows and columns of a program."""

from __future__ import annotations

from functools import singledispatch

import numpy as np
from scipy.sparse import csr_matrix, identity

from sensverify.core.sets import Ball, Constrained, InputSet, Patch
from sensverify.errors import MissingRule
from sensverify.solvers.encoding.builder import Builder


@singledispatch
def restrict(inside: InputSet, builder: Builder, inputs: np.ndarray) -> None:
    """Keep the input in a set, exactly; in the relaxed form in a convex set around it.

    Parameters
    ----------
    inside : InputSet of numpy arrays
        One set.
    builder : Builder
    inputs : integer numpy array, shape ``[features]``
        The columns that are the input, which are between the ends of the box already.

    Raises
    ------
    MissingRule
        The set has no rows in a linear program.
    """
    raise MissingRule(
        f"linear and mixed-integer programs have no rows for the input set '{inside.kind}'",
        "register them with sensverify.solvers.encoding.input_sets.restrict.register, or use "
        "`method=alpha-crown`",
    )


@restrict.register
def _(inside: Ball, builder: Builder, inputs: np.ndarray) -> None:
    if inside.order != 1:
        raise MissingRule(
            "linear and mixed-integer programs have no rows for a Euclidean ball, which is round",
            "use `method=alpha-crown`, or the norm 1 or inf",
        )
    point, low, high = _flat(inside)
    sizes = builder.add_columns(np.zeros(len(point)), np.maximum(high, -low))
    for sign in (1, -1):
        # size >= sign * (x - point)
        builder.add_scaled_rows((1.0, sizes), (-float(sign), inputs), lower=-sign * point)
    every = csr_matrix(np.ones((1, len(point))))
    builder.add_rows((every, sizes), upper=np.asarray(inside.reach))

    def fill(values: np.ndarray) -> None:
        values[sizes] = abs(values[inputs] - point[:, None])

    builder.fills.append(fill)


@restrict.register
def _(inside: Patch, builder: Builder, inputs: np.ndarray) -> None:
    point, low, high = _flat(inside)
    pixels = inside.grid[0] * inside.grid[1]
    pixel = np.arange(len(point)) % pixels
    if inside.count is not None:
        places, most = np.eye(pixels), float(inside.count)
    else:
        places, most = inside.windows().astype(np.float64), 1.0
    count = len(places)
    chosen = builder.add_choices(np.zeros(count), np.ones(count))
    builder.add_rows((csr_matrix(np.ones((1, count))), chosen), upper=most)
    covered = csr_matrix(places[:, pixel].T)
    for end, side in ((high, "upper"), (low, "lower")):
        # x <= point + (high - point) * chosen, and the same below.
        matrix = covered.multiply(-end[:, None]).tocsr()
        limit = {side: point}
        builder.add_rows((identity(len(point), format="csr"), inputs), (matrix, chosen), **limit)

    def fill(values: np.ndarray) -> None:
        moved = (values[inputs] != point[:, None]).astype(np.float64)
        used = np.zeros((pixels, moved.shape[1]))
        np.maximum.at(used, pixel, moved)
        if inside.count is not None:
            values[chosen] = used
        else:
            best = (places @ used).argmax(axis=0)
            values[chosen] = 0.0
            values[chosen[best], np.arange(len(best))] = 1.0

    builder.fills.append(fill)


@restrict.register
def _(inside: Constrained, builder: Builder, inputs: np.ndarray) -> None:
    limits = np.asarray(inside.limits[0])
    lower = np.where(np.array(inside.equal), limits, -np.inf)
    builder.add_rows((csr_matrix(inside.matrix[0]), inputs), lower=lower, upper=limits)


def _flat(inside: InputSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The set's point, and the ends of the box as moves from it, ``[features]`` each."""
    point = np.asarray(inside.point, dtype=np.float64).reshape(-1)
    low, high = (np.asarray(end).reshape(-1) - point for end in (inside.lower, inside.upper))
    return point, np.minimum(low, 0.0), np.maximum(high, 0.0)
