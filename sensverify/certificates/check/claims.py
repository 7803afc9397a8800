"""What a certificate claims."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensverify.proof import NONE


@dataclass(frozen=True, eq=False)
class Claims:
    """What is to be proven about a network.

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
    """

    lower: np.ndarray
    upper: np.ndarray
    rows: np.ndarray
    limits: np.ndarray
    groups: np.ndarray | None = None
    strict: np.ndarray | None = None

    @property
    def problems(self) -> int:
        return len(self.lower)

    @property
    def count(self) -> int:
        """How many groups of rows there are; without groups every row is one."""
        return self.limits.shape[1] if self.groups is None else int(self.groups.max(initial=-1)) + 1

    def rows_of(self, problem: np.ndarray) -> np.ndarray:
        """The rows about each problem, ``[cells, rows, outputs]``."""
        return self.rows[problem * 0 if len(self.rows) == 1 else problem]

    def members(self, problem: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Which rows a cell is about, boolean ``[cells, rows]``."""
        count = self.limits.shape[1]
        if self.groups is None:
            return (group[:, None] == NONE) | (np.arange(count) == group[:, None])
        own = self.groups[problem]
        return (own >= 0) & ((group[:, None] == NONE) | (own == group[:, None]))

    def reaching(self, problem: np.ndarray) -> np.ndarray:
        """Rows that only have to reach their limits, boolean ``[cells, rows]``."""
        if self.strict is None:
            return np.zeros((len(problem), self.limits.shape[1]), bool)
        return np.asarray(self.strict[problem] == 1)
