"""Spearman's rank correlations, of which weighted and partial ones are Pearson's of the ranks."""

from __future__ import annotations

import numpy as np

from sensverify.scores.pearson import Array, weighted_pearson


def weighted_ranks(column: Array, weights: Array) -> Array:
    """Middle ranks where a row counts several times, for many weightings at once.

    Parameters
    ----------
    column : array, shape ``[rows]``
    weights : array of whole numbers, shape ``[weightings, rows]``
        How often each row counts.

    Returns
    -------
    array, shape ``[weightings, rows]``
        Of equal rows the mean of the ranks that they share, counted from 1.
    """
    values, place = np.unique(column, return_inverse=True)
    totals = weights @ (place[:, None] == np.arange(len(values))).astype(np.float64)
    until = totals.cumsum(axis=1)
    return np.asarray((until - (totals - 1) / 2)[:, place])


def weighted_spearman(columns: Array, weights: Array) -> Array:
    """Spearman's correlations of all columns where a row counts several times.

    Parameters
    ----------
    columns : array, shape ``[rows, columns]``
    weights : array of whole numbers, shape ``[weightings, rows]``

    Returns
    -------
    array, shape ``[weightings, columns, columns]``
        NaN where a column is constant in the rows that count.

    Notes
    -----
    Source: Spearman 1904, *The proof and measurement of association between two things*; with ties
    by middle ranks.
    """
    ranks = [weighted_ranks(column, weights) for column in columns.T]
    return weighted_pearson(np.stack(ranks, axis=-1), weights)


def spearman(columns: Array) -> Array:
    """Spearman's correlations of all columns ``[rows, columns]``; NaN where one is constant."""
    return np.asarray(weighted_spearman(columns, np.ones((1, len(columns))))[0])
