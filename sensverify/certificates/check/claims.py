"""Claims of a certificate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sensverify.certificates.check.sets import InputSets
from sensverify.core.proof import NONE


@dataclass(frozen=True, eq=False)
class Claims:
    """Claims about a network.

    Parameters
    ----------
    lower, upper : numpy array, shape ``[problems, features]``, float64
        The input boxes.
    rows : numpy array, shape ``[problems or 1, rows, outputs]``, float64
    limits : numpy array, shape ``[problems, rows]``, float64
        ``rows · f(x) >= limits`` for every x of the box; minus infinity claims nothing.
    groups : integer numpy array ``[problems, rows]``, or None
        With groups the claim is another: for every x of the box and every group, ``row · f(x)``
        is larger than the limit for one of its rows. -1 is a row of no group.
    strict : integer numpy array ``[problems, rows]`` of 0 and 1, or None
        With groups: of rows with a 1, reaching the limit is enough; what is refuted by them is
        ``row · f(x) < limit``. None: of no row.
    sets : InputSets or None
        The claims are about the inputs of the boxes that are in these sets. None: about all.
    multipliers : numpy array ``[problems, rows, multipliers]``, float64, or None
        Of the sets' constraints, by which each row's limit follows; None lets the evaluator choose.
    """

    lower: np.ndarray
    upper: np.ndarray
    rows: np.ndarray
    limits: np.ndarray
    groups: np.ndarray | None = None
    strict: np.ndarray | None = None
    sets: InputSets | None = None
    multipliers: np.ndarray | None = None

    @property
    def problems(self) -> int:
        return len(self.lower)

    @property
    def count(self) -> int:
        """Number of groups of rows; without groups every row is one."""
        return self.limits.shape[1] if self.groups is None else int(self.groups.max(initial=-1)) + 1

    @cached_property
    def _listed(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows with a group by problem and group, and a key for each that says which."""
        assert self.groups is not None
        problem, row = np.nonzero(self.groups >= 0)
        keys = problem * self.count + self.groups[problem, row]
        order = np.argsort(keys, kind="stable")
        return row[order], keys[order]

    @cached_property
    def largest_group(self) -> int:
        """Rows of the group with most."""
        if self.groups is None:
            return 1
        return int(np.unique(self._listed[1], return_counts=True)[1].max(initial=1))

    @property
    def pairs(self) -> int:
        """Number of pairs of a problem and one of its groups."""
        return self.limits.size if self.groups is None else len(np.unique(self._listed[1]))

    def reaching(self, problem: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Mask, of the shape of ``rows``, of those that only have to reach their limits."""
        if self.strict is None:
            return np.zeros(rows.shape, bool)
        return np.asarray(self.strict[problem[:, None], rows] == 1)

    def members(self, problem: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the rows that cells are about, ``[cells, most]``, and the mask of rows."""
        first, end = self._ends(problem, group)
        rows = np.arange(self.limits.shape[1]) if self.groups is None else self._listed[0]
        place = first[:, None] + np.arange((end - first).max(initial=0))
        return rows[np.minimum(place, len(rows) - 1)], place < end[:, None]

    def sizes(self, problem: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Number of rows that cells are about, ``[cells]``."""
        first, end = self._ends(problem, group)
        return end - first

    def _ends(self, problem: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Half-open range of the rows of cells in the order of `_listed`: first place and end."""
        whole = group == NONE
        if self.groups is None:
            return np.where(whole, 0, group), np.where(whole, self.limits.shape[1], group + 1)
        start, keys = problem * self.count, self._listed[1]
        first = np.searchsorted(keys, start + np.where(whole, 0, group))
        return first, np.searchsorted(keys, start + np.where(whole, self.count, group + 1))
