"""Matrices and places from which importers make a softmax: numpy, whatever the model is written in.

``p_i = 1 / (1 + sum_(j != i) exp(x_j - x_i))``: what all inputs have in common cancels before any
bound is taken, and on independent inputs intervals are exact (Wei et al. 2023, *Convex bounds on
the softmax function with applications to robustness verification*, call it ER).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


def differences(n: int, count: int, dtype: Any = np.float64) -> np.ndarray:
    """The matrix of ``x_j - x_i``: for each of the first entries i all others j, in order.

    Parameters
    ----------
    n : int
        Entries of x, at least 2.
    count : int
        How many of them are i.
    dtype : numpy dtype

    Returns
    -------
    numpy array, shape ``[count * (n - 1), n]``
    """
    matrix = np.zeros((count, n - 1, n), dtype)
    others = np.array([[j for j in range(n) if j != i] for i in range(count)], np.int64)
    np.put_along_axis(matrix, others[..., None], 1, axis=2)
    matrix[np.arange(count), :, np.arange(count)] = -1
    return matrix.reshape(-1, n)


class Visible(NamedTuple):
    """A softmax under a mask as several, each of rows in which equally many entries are seen.

    Parameters
    ----------
    picked : tuple of numpy array, shape ``[rows, seen]``
        Places of the entries of each of them.
    order : numpy array
        Where each entry stands when the results are joined; the hidden ones stand behind them all,
        at one 0.
    """

    picked: tuple[np.ndarray, ...]
    order: np.ndarray


def visible(seen: np.ndarray) -> Visible | None:
    """Parts of a softmax along the last axis of a mask; None where a row has nothing to see."""
    places = np.arange(seen.size).reshape(-1, seen.shape[-1])
    rows = seen.reshape(places.shape)
    counts = rows.sum(axis=1)
    if not counts.all():
        return None
    parts: list[np.ndarray] = []
    order = np.full(places.shape, int(counts.sum()))
    start = 0
    for count in np.unique(counts):
        own = counts == count
        picked = places[own][rows[own]].reshape(-1, count)
        parts.append(picked)
        order.reshape(-1)[picked.ravel()] = start + np.arange(picked.size)
        start += picked.size
    return Visible(tuple(parts), order.reshape(seen.shape))
