"""The rule of the functions that are constant between jumps: a binary for each jump.

With jumps at ``t1 <= ... <= tk`` inside of an interval, the value is that before t1 plus the
heights of the jumps that x has passed; the binary of a jump says that, and none is 1 where the one
before it is 0. At a jump itself x may have passed it or not: the program holds the values on both
sides, also where rounding moves x by a little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from sensverify.errors import MissingRule
from sensverify.network.functions import NUMPY
from sensverify.network.operators import Steps
from sensverify.solvers.encoding.builder import Builder
from sensverify.solvers.encoding.expression import Expression, constants, scattered
from sensverify.solvers.encoding.piecewise import ROUNDING
from sensverify.solvers.encoding.rules import Place, encode_operator

MOST = 4096
"""Jumps of one number that are written down."""


@dataclass(frozen=True, eq=False)
class _Jumps:
    """Jumps of entries with as many of them, ``[jumps, entries]``, and the value before the first.

    A jump at which the function has a value of its own is two at one place.
    """

    places: np.ndarray
    heights: np.ndarray
    start: np.ndarray


@encode_operator.register
def _(operator: Steps, place: Place, x: Expression) -> Expression:
    lower, upper = place.bounds
    margin = ROUNDING * max(1e-3, float(np.abs(lower).max()), float(np.abs(upper).max()))
    table = _places(operator, place, lower - margin, upper + margin)
    counts = np.isfinite(table).sum(axis=0)
    x = _with_columns(place.builder, x, np.flatnonzero(counts))
    parts = []
    for count in np.unique(counts):
        entries = np.flatnonzero(counts == count)
        if count == 0:
            value = operator.value((lower[entries] + upper[entries]) / 2, NUMPY)
            parts.append((entries, constants(value)))
            continue
        found = _jumps(operator, table[:count, entries])
        ends = lower[entries] - margin, upper[entries] + margin
        part = _encode(operator, place, found, entries, x[entries], ends, margin)
        parts.append((entries, part))
    return scattered(len(x), *parts)


def _with_columns(builder: Builder, x: Expression, entries: np.ndarray) -> Expression:
    """The expression with a column for each of these entries that is heavy."""
    others = np.setdiff1d(np.arange(len(x)), entries)
    return scattered(len(x), (entries, builder.define_heavy(x[entries])), (others, x[others]))


def _places(operator: Steps, place: Place, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Jumps between ends, ascending, ``[jumps, entries]``; infinite where there are fewer."""
    found: list[np.ndarray] = []
    at = operator.jump_from(lower, NUMPY)
    while (inside := at <= upper).any():
        if len(found) == 2 * MOST:
            raise MissingRule(
                f"operator {type(operator).__name__} of node '{place.node.name}' has more than "
                f"{MOST} jumps on the interval of one number",
                "use a smaller box",
            )
        at = np.where(inside, at, np.inf)
        found.append(at)
        below, above = operator.below(at, NUMPY), operator.above(at, NUMPY)
        with np.errstate(invalid="ignore"):
            own = operator.value(at, NUMPY)
        if (inside & (own != below) & (own != above)).any():
            found.append(at)
        # Two jumps are further apart than that.
        at = operator.jump_from(at + operator.spacing / 2, NUMPY)
    return np.stack(found) if found else np.zeros((0, len(lower)))


def _jumps(operator: Steps, places: np.ndarray) -> _Jumps:
    below, above = operator.below(places, NUMPY), operator.above(places, NUMPY)
    heights = above - below
    own = operator.value(places, NUMPY)
    twice = np.zeros(places.shape, dtype=bool)
    twice[:-1] = places[:-1] == places[1:]
    first = np.where(twice, own - below, heights)
    again = np.zeros_like(twice)
    again[1:] = twice[:-1]
    return _Jumps(places, np.where(again, above - own, first), below[0])


def _encode(
    operator: Steps,
    place: Place,
    jumps: _Jumps,
    entries: np.ndarray,
    x: Expression,
    ends: tuple[np.ndarray, np.ndarray],
    margin: float,
) -> Expression:
    builder, count = place.builder, len(jumps.places)
    passed = np.stack([_binary(builder, place, entries, number, count) for number in range(count)])
    if count > 1:
        earlier, later = passed[:-1].reshape(-1), passed[1:].reshape(-1)
        builder.add_scaled_rows((1.0, earlier), (-1.0, later), lower=0.0)
    # How far x may be on the other side of a jump; where it keeps away from jumps, less than 0.
    over = -builder.inset if builder.inset else margin
    gaps = np.diff(jumps.places, axis=0)
    rising = np.vstack([jumps.places[0] - over - ends[0], gaps])
    falling = np.vstack([gaps, ends[1] - jumps.places[-1] - over])
    for steps, lower, upper in (
        (rising, ends[0] - x.offset, np.inf),
        (falling, -np.inf, jumps.places[0] + over - x.offset),
    ):
        climbed = _summed(-steps, passed, builder.columns)
        found = builder.add_rows((x.matrix, None), (climbed, None), lower=lower, upper=upper)
        builder.remember(place.position, entries, found, -1.0)

    def fill(values: np.ndarray) -> None:
        found = operator.value(x.values(values), NUMPY)
        level = jumps.start
        for height, column in zip(jumps.heights, passed, strict=True):
            level = level + height
            values[column] = found >= (level - height / 2)[:, None]

    builder.fills.append(fill)
    return Expression(_summed(jumps.heights, passed, builder.columns), jumps.start)


def _summed(factors: np.ndarray, positions: np.ndarray, columns: int) -> csr_matrix:
    """Of each entry its factors at its columns; these are both ``[jumps, entries]``."""
    count, entries = factors.shape
    rows = np.tile(np.arange(entries), count)
    places = (factors.reshape(-1), (rows, positions.reshape(-1)))
    return csr_matrix(places, shape=(entries, columns))


def _binary(
    builder: Builder, place: Place, entries: np.ndarray, number: int, count: int
) -> np.ndarray:
    role = "passed" if count == 1 else f"passed{number + 1}"
    if builder.exact:
        return builder.add_binaries(place.position, entries, role)
    return builder.add_columns(np.zeros(len(entries)), np.ones(len(entries)), role, entries)
