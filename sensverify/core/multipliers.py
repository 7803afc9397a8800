"""Good multipliers of linear constraints: those with which a linear function is bounded best.

With multipliers y >= 0 (of any sign where a constraint holds with ``=``) of ``matrix x <= limits``,
``a . x`` is at least ``min (a + y matrix) . x - y . limits`` over the box, a concave function of y
that is bent where a reduced cost ``a + y matrix`` is 0 or a multiplier is. Its largest value is
taken where as many of these meet as there are multipliers: so one goes from such a point to the
next along an edge, as the simplex algorithm does (Dantzig 1963, ch. 5; many functions at once).
Nothing depends on how far that gets: any multipliers prove a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_PIVOTS = 8
"""Steps from one point to the next, for each constraint."""

_LEVEL = 1e-11
"""Slope of an edge, relative to the size of its terms, up to which it leads nowhere."""


_UNEVEN = 1e-10
"""Change of coefficients, relative to the largest, that breaks ties."""


_NUMBERS = 1 << 22
"""Numbers of constraints' matrices that one call holds at a time."""


def best_multipliers(
    matrix: np.ndarray,
    limits: np.ndarray,
    equal: np.ndarray,
    rows: np.ndarray,
    ends: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers of constraints for linear functions, and where these are about the least.

    Parameters
    ----------
    matrix : numpy array, shape ``[cells, constraints, features]``
    limits : numpy array, shape ``[cells, constraints]``
    equal : boolean numpy array, shape ``[constraints]``
    rows : numpy array, shape ``[cells, rows, features]``
        The functions.
    ends : pair of numpy arrays, shape ``[cells, 1, features]``
        Of the boxes.

    Returns
    -------
    multipliers : numpy array, shape ``[cells, rows, constraints]``
        Finite, and at least 0 where a constraint is an inequality.
    points : numpy array, shape ``[cells, rows, features]``
        In the boxes; in the sets but for rounding where the multipliers are the best.
    """
    cells, count, features = rows.shape
    owner = np.repeat(np.arange(cells), count)
    flat = rows.reshape(-1, features)
    # Where more meets than there are multipliers, edges lead nowhere: no two numbers stay in step.
    uneven = np.sin(1.0 + np.arange(features)) * abs(flat).max(axis=1, initial=0.0)[:, None]
    flat = flat + _UNEVEN * uneven
    found, points = np.zeros((len(flat), len(equal))), np.zeros(flat.shape)
    step = max(1, _NUMBERS // max(1, len(equal) * features))
    for first in range(0, len(flat), step):
        part = slice(first, first + step)
        mine = owner[part]
        low, high = (end[mine, 0] for end in ends)
        walk = _Walk(matrix[mine], limits[mine], equal, flat[part], low, high)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for _ in range(_PIVOTS * len(equal)):
                if not walk.step():
                    break
            found[part], points[part] = walk.multipliers(), walk.points()
    shape = (cells, count, -1)
    return found.reshape(shape), points.reshape(shape)


@dataclass(eq=False)
class _Walk:
    """Where the walks are, one for each function: all at multipliers 0 at first.

    ``at`` are the multipliers. ``met[item, k]`` is what meets there: the number of a feature whose
    reduced cost is 0, or ``-1 - c`` where multiplier c is. ``normals`` are the rows of these.
    """

    matrix: np.ndarray
    limits: np.ndarray
    equal: np.ndarray
    rows: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __post_init__(self) -> None:
        items, count = self.limits.shape
        self.at = np.zeros((items, count))
        self.met = np.tile(-1 - np.arange(count), (items, 1))
        self.normals = np.tile(np.eye(count), (items, 1, 1))
        self.going = np.ones(items, bool)

    def multipliers(self) -> np.ndarray:
        """The multipliers, ``[items, constraints]``: finite, and of the sign that they may have."""
        found = np.where(np.isfinite(self.at), self.at, 0.0)
        return np.where(self.equal, found, np.maximum(found, 0.0))

    def points(self) -> np.ndarray:
        """Inputs that attain the value, where the walks have ended at the top.

        Features whose reduced cost is 0 are where the constraints with multipliers leave no room.
        """
        every = np.arange(len(self.at))
        cost = self.rows + np.einsum("ik,ikn->in", self.at, self.matrix)
        resting = self._resting(every)
        corner = np.where(cost > 0, self.low, self.high)
        rest = np.einsum("ikn,in->ik", self.matrix, np.where(resting, 0.0, corner))
        edges = self._edges(every)
        own = np.einsum("ike,ik->ie", edges, self.limits - rest)
        item, place = np.nonzero(self.met >= 0)
        corner[item, self.met[item, place]] = own[item, place]
        corner = np.where(np.isfinite(corner), corner, self.low)
        return np.clip(corner, self.low, self.high)

    def step(self) -> bool:
        """Take the steepest edge of every walk as far as it rises; False where all have ended."""
        some = np.flatnonzero(self.going)
        if not len(some):
            return False
        edges = self._edges(some)
        cost = self.rows[some] + np.einsum("ik,ikn->in", self.at[some], self.matrix[some])
        resting = self._resting(some)
        slopes, sizes = self._slopes(some, edges, np.where(resting, 0.0, cost), resting)
        length = np.sqrt((edges**2).sum(axis=1))
        rise = np.where(sizes * _LEVEL < abs(slopes), slopes, 0.0) / length[:, None, :]
        rise = np.where(np.isfinite(rise), rise, 0.0).reshape(len(some), -1)
        best = rise.argmax(axis=1)
        place = np.arange(len(some))
        sign, leaving = 1 - 2 * (best // edges.shape[2]), best % edges.shape[2]
        up = rise[place, best] > 0
        self.going[some[~up]] = False
        # Multipliers that stay at 0 do so exactly.
        fixed = self._fixed(some, leaving)
        edge = np.where(fixed, 0.0, sign[:, None] * edges[place, :, leaving])
        slope = slopes.reshape(len(some), -1)[place, best]
        self._go(some[up], edge[up], slope[up], cost[up], resting[up], leaving[up])
        return True

    def _edges(self, some: np.ndarray) -> np.ndarray:
        """Directions in which all but one of what meets stay, ``[items, constraints, edges]``."""
        try:
            return np.asarray(np.linalg.inv(self.normals[some]))
        except np.linalg.LinAlgError:
            # Where some meet in more than a point there is no edge.
            return np.asarray(np.linalg.pinv(self.normals[some]))

    def _fixed(self, some: np.ndarray, leaving: np.ndarray) -> np.ndarray:
        """Mask of the multipliers that are 0 along an edge, ``[items, constraints]``."""
        own = np.where(np.arange(len(self.equal)) == leaving[:, None], 0, self.met[some])
        return np.asarray((own[:, :, None] == -1 - np.arange(len(self.equal))).any(axis=1))

    def _resting(self, some: np.ndarray) -> np.ndarray:
        """Mask of the features whose reduced cost is 0, ``[items, features]``."""
        mask = np.zeros((len(some), self.rows.shape[1] + 1), bool)
        np.put_along_axis(mask, np.maximum(self.met[some], -1), True, axis=1)
        # Place -1 is the last one, of no feature.
        return mask[:, :-1]

    def _slopes(
        self, some: np.ndarray, edges: np.ndarray, cost: np.ndarray, resting: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Slopes along the edges and against them, ``[items, 2, edges]``, and sizes of terms."""
        matrix, limits, met = self.matrix[some], self.limits[some], self.met[some]
        corner = np.where(cost > 0, self.low[some], self.high[some])
        corner = np.where(resting, 0.0, corner)
        gradient = np.einsum("ikn,in->ik", matrix, corner) - limits
        size = np.einsum("ikn,in->ik", abs(matrix), abs(corner)) + abs(limits)
        along = np.einsum("ik,ike->ie", gradient, edges)
        sizes = np.einsum("ik,ike->ie", size, abs(edges))
        feature = np.maximum(met, 0)
        own_low, own_high = (
            np.where(met >= 0, np.take_along_axis(end[some], feature, axis=1), 0.0)
            for end in (self.low, self.high)
        )
        against = -along - own_high
        # A multiplier of an inequality only grows from 0.
        bound = (met < 0) & ~self.equal[np.maximum(-1 - met, 0)]
        return (
            np.stack([along + own_low, np.where(bound, -np.inf, against)], axis=1),
            np.stack([sizes + abs(own_low), sizes + abs(own_high)], axis=1),
        )

    def _go(
        self,
        some: np.ndarray,
        edge: np.ndarray,
        slope: np.ndarray,
        cost: np.ndarray,
        resting: np.ndarray,
        leaving: np.ndarray,
    ) -> None:
        """Move along edges with positive slopes, to where the value falls or a multiplier is 0."""
        matrix = self.matrix[some]
        change = np.where(resting, 0.0, np.einsum("ik,ikn->in", edge, matrix))
        until = np.where(change * cost < 0, -cost / change, np.inf)
        falls = abs(change) * (self.high[some] - self.low[some])
        order = np.argsort(until, axis=1)
        left = slope[:, None] - np.cumsum(np.take_along_axis(falls, order, axis=1), axis=1)
        place = np.minimum((left > 0).sum(axis=1), order.shape[1] - 1)
        feature = order[np.arange(len(some)), place]
        far = until[np.arange(len(some)), feature]
        shrinks = (edge < 0) & ~self.equal
        room = np.where(shrinks, -self.at[some] / edge, np.inf)
        stop, nearest = room.argmin(axis=1), room.min(axis=1)
        stopped = nearest < far
        step = np.where(stopped, nearest, far)
        # Where it rises without an end the set is empty, or numbers are too small to tell.
        moves = np.isfinite(step)
        self.going[some[~moves]] = False
        at = self.at[some] + step[:, None] * edge
        at[np.arange(len(some)), stop] = np.where(stopped, 0.0, at[np.arange(len(some)), stop])
        own = np.where(stopped, -1 - stop, feature)
        bound = np.eye(len(self.equal))[stop]
        column = np.take_along_axis(matrix, feature[:, None, None], axis=2)[..., 0]
        normal = np.where(stopped[:, None], bound, column)
        chosen = some[moves]
        self.at[chosen] = at[moves]
        self.met[chosen, leaving[moves]] = own[moves]
        self.normals[chosen, leaving[moves]] = normal[moves]
