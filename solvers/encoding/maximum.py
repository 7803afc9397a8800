"""The rule of the largest of several numbers, and with it of max pooling."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags

from sensverify.network.operators import Max
from sensverify.solvers.encoding.builder import Builder, Fill
from sensverify.solvers.encoding.expression import Expression, columns_of, scattered
from sensverify.solvers.encoding.piecewise import ROUNDING, SMALLEST
from sensverify.solvers.encoding.rules import Place, encode_operator


@encode_operator.register
def _(operator: Max, place: Place, x: Expression) -> Expression:
    lower, upper = (end.reshape(-1, place.shapes[0][-1]) for end in place.bounds)
    width = lower.shape[1]
    best, winner = lower.max(axis=1, keepdims=True), likeliest(lower, upper)
    # An entry can be the largest only when it reaches the largest lower bound.
    candidate = upper >= best
    candidate[np.arange(len(lower)), winner] = True
    # Of two that are equal all the time one is enough.
    decided = candidate.sum(axis=1) == 1
    others = np.where(np.arange(width) == winner[:, None], -np.inf, upper).max(axis=1)
    decided |= best[:, 0] >= others
    sure, open_ = np.flatnonzero(decided), np.flatnonzero(~decided)
    parts = [(sure, x[sure * width + winner[sure]])]
    if len(open_):
        parts.append((open_, _largest(place, x, lower, upper, candidate, open_)))
    return scattered(len(lower), *parts)


def likeliest(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The number of each window ``[windows, numbers]`` that may be the largest, ``[windows]``.

    That with the largest lower bound, which behind ReLUs may be 0 for several: of these the one
    with the largest upper bound.
    """
    return np.where(lower < lower.max(axis=1, keepdims=True), -np.inf, upper).argmax(axis=1)


def _largest(
    place: Place,
    x: Expression,
    lower: np.ndarray,
    upper: np.ndarray,
    candidate: np.ndarray,
    windows: np.ndarray,
) -> Expression:
    """Columns for the maxima and for the distance of every candidate from its maximum."""
    builder = place.builder
    margin = ROUNDING * max(1e-3, float(np.abs(lower).max()), float(np.abs(upper).max()))
    ends = lower[windows].max(axis=1) - margin, upper[windows].max(axis=1) + margin
    top = builder.add_columns(*ends, "largest", windows * lower.shape[1])
    # One line for every candidate: its window's number among the open ones, its place there.
    window, slot = np.nonzero(candidate[windows])
    entry = windows[window] * lower.shape[1] + slot
    distances = _distances(lower[windows], upper[windows], candidate[windows]) + 2 * margin
    longest = np.maximum(distances[window, slot], SMALLEST)
    gap = builder.add_columns(np.zeros(len(entry)), longest, "gap", entry)
    chosen = x[entry]
    ones = diags(np.ones(len(entry)))
    rows = builder.add_rows(
        (ones, top[window]),
        (-ones, gap),
        (-chosen.matrix, None),
        lower=chosen.offset,
        upper=chosen.offset,
    )
    builder.remember(place.position, entry, rows)
    binaries = None
    if builder.exact:
        binaries = builder.add_binaries(place.position, entry, "chosen")
    _tie(builder, window, gap, longest, binaries)
    builder.fills.append(_fill(chosen, window, top, gap, binaries))
    return columns_of(top)


def _tie(
    builder: Builder,
    window: np.ndarray,
    gap: np.ndarray,
    longest: np.ndarray,
    binaries: np.ndarray | None,
) -> None:
    """One candidate of each window has no distance from its maximum."""
    members = csr_matrix((np.ones(len(window)), (window, np.arange(len(window)))))
    if binaries is not None:
        builder.add_scaled_rows((1.0, gap), (longest, binaries), upper=longest)
        builder.add_rows((members, binaries), lower=1.0, upper=1.0)
        return
    # What binaries between 0 and 1 would allow: the shares of the distances leave room for a sum
    # of one.
    starts = np.flatnonzero(np.diff(window, prepend=-1))
    scale = np.minimum.reduceat(longest, starts)
    counts = np.asarray(members.sum(axis=1)).reshape(-1)
    shares = diags(scale) @ members @ diags(1 / longest)
    builder.add_rows((shares, gap), upper=scale * (counts - 1))


def _fill(
    chosen: Expression,
    window: np.ndarray,
    top: np.ndarray,
    gap: np.ndarray,
    binaries: np.ndarray | None,
) -> Fill:
    def fill(values: np.ndarray) -> None:
        inputs = chosen.values(values)
        best = np.full((len(top), inputs.shape[1]), -np.inf)
        np.maximum.at(best, window, inputs)
        values[top] = best
        values[gap] = best[window] - inputs
        if binaries is None:
            return
        # Of several that are the largest the first one is chosen.
        taken = np.zeros(best.shape, dtype=bool)
        for line, owner in enumerate(window):
            first = (values[gap[line]] == 0) & ~taken[owner]
            values[binaries[line]] = first
            taken[owner] |= first

    return fill


def _distances(lower: np.ndarray, upper: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """The most that an entry can be below its window's largest: ``max upper of others - lower``."""
    reach = np.where(candidate, upper, -np.inf)
    order = np.sort(reach, axis=1)
    # The largest upper bound among the others is the second largest for the one that has it.
    first = reach.argmax(axis=1)
    best = np.repeat(order[:, -1:], reach.shape[1], axis=1)
    best[np.arange(len(reach)), first] = order[:, -2]
    return np.maximum(best - lower, 0.0)
