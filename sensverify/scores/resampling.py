"""Resamples of rows with replacement, and the intervals that come of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LOST = 0.05
"""Largest share of the resamples that may have no value."""


def resampled(draws: np.random.Generator, rows: int, resamples: int) -> NDArray[np.float64]:
    """Counts of the draws of each row, ``[resamples, rows]``."""
    found = draws.multinomial(rows, np.full(rows, 1 / rows), size=resamples)
    return np.asarray(found, dtype=np.float64)


def interval(found: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Percentiles 2.5 and 97.5 of values over resamples.

    None where there are no resamples, and where more than 5 % of them have no value: NaN.
    """
    kept = found[~np.isnan(found)]
    if not len(found) or len(kept) < (1 - _LOST) * len(found):
        return None, None
    lower, upper = np.percentile(kept, [2.5, 97.5])
    return float(lower), float(upper)
