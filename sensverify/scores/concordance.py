"""The parts that single networks have in a rank correlation, without looking at all pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def pair_sums(first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
    """Sums over all pairs that a network is in, for each network.

    Parameters
    ----------
    first, second : array, shape ``[networks]``
        Without NaN.

    Returns
    -------
    three arrays, shape ``[networks]``
        Of ``sign(x_i - x_j) sign(y_i - y_j)``, of ``abs(sign(x_i - x_j))`` and of
        ``abs(sign(y_i - y_j))``, over j: whole numbers.

    Notes
    -----
    Counts of the points to the lower left and in the other quadrants, each by merging sorted
    halves: O(n log(n)^2) instead of O(n^2).
    """
    x, y = _ranks(first), _ranks(second)
    concordant = _lower_left(x, y) + _lower_left(-x, -y)
    discordant = _lower_left(x, -y) + _lower_left(-x, y)
    return (
        (concordant - discordant).astype(np.float64),
        (len(x) - np.bincount(x)[x]).astype(np.float64),
        (len(y) - np.bincount(y)[y]).astype(np.float64),
    )


def _ranks(values: NDArray[np.generic]) -> Ints:
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _lower_left(x: Ints, y: Ints) -> Ints:
    """For each point the number of points with both coordinates smaller."""
    count, width = len(x), 1
    # From left to right; of equal x the larger y first, so that none counts the others.
    order = np.lexsort((-y, x))
    ranks, places = _ranks(y)[order], np.arange(count)
    found = np.zeros(count, dtype=np.int64)
    while width < count:
        # Points of every second block count the smaller ones of the block before.
        block = places // width
        right = block % 2 == 1
        lefts = np.sort((block * (count + 1) + ranks)[~right])
        start = (block[right] - 1) * (count + 1)
        found[right] += np.searchsorted(lefts, start + ranks[right])
        found[right] -= np.searchsorted(lefts, start)
        width *= 2
    counts = np.empty(count, dtype=np.int64)
    counts[order] = found
    return counts
