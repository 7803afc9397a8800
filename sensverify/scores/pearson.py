"""Pearson's correlations, with a third column held fixed or without, and weighted ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEWEST = 3
"""Networks without which nothing is said of a correlation."""

_NEAR = 1e-12
"""What a share of explained variance may lack of 1 by rounding alone."""

Array = NDArray[np.float64]


def scaled(columns: Array) -> tuple[Array, NDArray[np.intc]]:
    """Columns times powers of two, which loses nothing, so that their squares have a size.

    Parameters
    ----------
    columns : array, shape ``[..., rows, columns]``

    Returns
    -------
    (array, array of whole numbers)
        Columns whose largest entries are between 1/2 and 1 (or 0), and the exponents, ``[...,
        columns]``: those of the powers of two that give the columns back.
    """
    exponents = np.frexp(np.abs(columns).max(axis=-2, initial=0))[1]
    return np.asarray(np.ldexp(columns, -exponents[..., None, :])), exponents


def is_constant(values: Array) -> bool:
    """Whether all values are the same, but for rounding."""
    values = scaled(values[:, None])[0]
    return bool(np.ptp(values) <= _NEAR * np.abs(values).max(initial=0))


def weighted_pearson(columns: Array, weights: Array) -> Array:
    """Correlations of all columns where a row counts several times, for many weightings at once.

    Parameters
    ----------
    columns : array, shape ``[rows, columns]`` or ``[weightings, rows, columns]``
    weights : array, shape ``[weightings, rows]``
        How often each row counts.

    Returns
    -------
    array, shape ``[weightings, columns, columns]``
        NaN where a column is constant in the rows that count.
    """
    # Neither shifts nor scales change a correlation; near 1 less is lost by rounding.
    columns = scaled(columns)[0]
    spread = columns.std(axis=-2, keepdims=True)
    units = (columns - columns.mean(axis=-2, keepdims=True)) / np.where(spread > 0, spread, 1)
    total = weights.sum(axis=1)
    own = "w" if columns.ndim == 3 else ""
    means = np.einsum(f"wr,{own}ri->wi", weights, units) / total[:, None]
    products = np.einsum(f"wr,{own}ri,{own}rj->wij", weights, units, units, optimize=True)
    covariances = products / total[:, None, None] - means[:, :, None] * means[:, None, :]
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    variances = np.where(variances > _NEAR, variances, np.nan)
    found = covariances / np.sqrt(variances[:, :, None] * variances[:, None, :])
    return np.asarray(np.clip(found, -1, 1))


def pearson(columns: Array) -> Array:
    """Correlations of all columns.

    Parameters
    ----------
    columns : array, shape ``[rows, columns]``

    Returns
    -------
    array, shape ``[columns, columns]``
        NaN where a column is constant.
    """
    return np.asarray(weighted_pearson(columns, np.ones((1, len(columns))))[0])


def partial(one_other: Array, one_fixed: Array, other_fixed: Array) -> Array:
    """Correlation of two columns with a third held fixed, from the three correlations.

    ``(r_12 - r_13 r_23) / sqrt((1 - r_13^2) (1 - r_23^2))``; NaN where the third tells all of one.
    """
    left = (1 - one_fixed**2) * (1 - other_fixed**2)
    left = np.where((1 - one_fixed**2 > _NEAR) & (1 - other_fixed**2 > _NEAR), left, np.nan)
    return np.asarray(np.clip((one_other - one_fixed * other_fixed) / np.sqrt(left), -1, 1))


def chance(correlation: Array | float, rows: int, fixed: int = 0) -> Array:
    """The chance of a correlation so far from 0 of columns that have nothing to do with each other.

    Of normal ones, by Student's distribution with ``rows - 2 - fixed`` degrees of freedom.

    Parameters
    ----------
    correlation : array or float
    rows : int
    fixed : int
        Columns that are held fixed.
    """
    # Here, as it takes seconds.
    from scipy.stats import t

    free = rows - 2 - fixed
    correlation = np.asarray(correlation, dtype=np.float64)
    if free < 1:
        return np.full(correlation.shape, np.nan)
    with np.errstate(divide="ignore"):
        value = np.abs(correlation) * np.sqrt(free / (1 - correlation**2))
    return np.asarray(2 * t.sf(value, free))
