"""Boxes with linear constraints on their inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sensverify.core.box import Array, Box, to_numpy
from sensverify.core.brief import count_of
from sensverify.core.sets.input_set import InputSet
from sensverify.errors import BadBox, BadShape

_ROUNDS = 20

_CLOSE = 1e-12
"""From an equality, in the units of the features: one step more takes a move there."""


@dataclass(frozen=True, eq=False, repr=False)
class Constrained(InputSet):
    """Inputs of a box that meet linear constraints, ``matrix x <= limits``, some with ``=``.

    Parameters
    ----------
    lower, upper, point
        As of `InputSet`.
    matrix : array or tensor, shape ``[batch, constraints, features]``, float64
        Of the input flattened in row-major order.
    limits : array or tensor, shape ``[batch, constraints]``, float64
    equal : tuple of bool
        The constraints that hold with ``=``, one for each.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> box = sv.Box(np.zeros((1, 2)), np.ones((1, 2)))
    >>> below = sv.Constrained.of(box, np.array([[1.0, 1.0]]), np.array([1.0]))
    >>> below.contains(np.array([[0.5, 0.4]])).all(), below.contains(np.array([[0.7, 0.4]])).all()
    (np.True_, np.False_)
    """

    matrix: Any
    limits: Any
    equal: tuple[bool, ...] = ()

    kind: ClassVar[str] = "constrained"

    @classmethod
    def of(
        cls,
        box: Box,
        matrix: Array | None = None,
        limits: Array | None = None,
        *,
        equal_matrix: Array | None = None,
        equal_limits: Array | None = None,
        point: Array | None = None,
    ) -> Constrained:
        """The inputs of boxes with ``matrix x <= limits`` and ``equal_matrix x = equal_limits``.

        Parameters
        ----------
        box : Box, shape ``[batch, *features]``
        matrix, equal_matrix : array ``[constraints, features]``, optional
        limits, equal_limits : array ``[constraints]``, optional
            Equalities without limits hold as at the point.
        point : array, shape ``[batch, *features]``, optional
            Of the set; default: one in its middle is looked for.

        Raises
        ------
        BadShape
            The parts do not fit together.
        BadBox
            No input meets the constraints, the point does not, or a number is NaN.
        """
        lower, upper = (to_numpy(end).astype(np.float64) for end in (box.lower, box.upper))
        features = int(np.prod(box.shape))
        own = None if point is None else np.asarray(to_numpy(point), dtype=np.float64)
        rows, ends = _rows(matrix, limits, features, "matrix")
        if equal_matrix is not None and equal_limits is None and own is not None:
            same, _ = _rows(equal_matrix, np.zeros(len(equal_matrix)), features, "equal_matrix")
            both = own.reshape(len(own), -1) @ same.T
        else:
            same, values = _rows(equal_matrix, equal_limits, features, "equal_matrix")
            both = np.broadcast_to(values, (box.batch, len(values)))
        every = np.concatenate([rows, same])
        if not len(every):
            raise BadShape("a constrained set needs at least one constraint")
        equal = (False,) * len(rows) + (True,) * len(same)
        most = np.concatenate([np.broadcast_to(ends, (box.batch, len(ends))), both], axis=1)
        if own is None:
            own = np.stack(
                [
                    _middle(low.ravel(), high.ravel(), every, limit, np.array(equal), number)
                    for number, (low, high, limit) in enumerate(
                        zip(lower, upper, most, strict=True)
                    )
                ]
            ).reshape(lower.shape)
        found = cls(
            lower, upper, own, np.broadcast_to(every, (box.batch, *every.shape)), most, equal
        )
        found.check_points()
        return found

    def _check(self) -> None:
        count = tuple(self.limits.shape)[1:]
        if len(count) != 1 or tuple(self.matrix.shape) != (self.batch, *count, self.features):
            raise BadShape(
                f"constraints of shape {tuple(self.matrix.shape)} and limits "
                f"{tuple(self.limits.shape)} do not fit {self.batch} boxes of {self.features} "
                "features: expected [batch, constraints, features] and [batch, constraints]"
            )
        if (len(self.equal),) != count:
            raise BadShape(f"{count[0]} constraints need as many words on being equalities")

    @property
    def exact(self) -> bool:
        return not any(self.equal)

    @property
    def words(self) -> str:
        equal = sum(self.equal)
        parts = [(len(self.equal) - equal, "linear inequality", "linear inequalities")]
        parts.append((equal, "linear equality", "linear equalities"))
        return " and ".join(count_of(*part) for part in parts if part[0])

    @property
    def _size(self) -> np.ndarray:
        """Sums of the magnitudes of coefficients, ``[batch, constraints]``."""
        size = abs(to_numpy(self.matrix)).sum(axis=-1)
        return np.where(size > 0, size, 1.0)

    @property
    def _room(self) -> np.ndarray:
        """Room between the set's point and every limit, ``[batch, constraints]``."""
        own = to_numpy(self.point).astype(np.float64).reshape(self.batch, -1)
        return to_numpy(self.limits) - np.einsum("bmn,bn->bm", to_numpy(self.matrix), own)

    def _broken(self, moved: np.ndarray) -> np.ndarray:
        """Distances of moves from what constraints allow, about, ``[..., batch, constraints]``."""
        over = np.einsum("bmn,...bn->...bm", to_numpy(self.matrix), moved) - self._room
        return np.where(np.array(self.equal), abs(over), np.maximum(over, 0)) / self._size

    def _excess(self, moved: np.ndarray) -> np.ndarray:
        return self._broken(moved).max(axis=-1)

    def _retracted(self, moved: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        matrix, room = to_numpy(self.matrix), self._room
        square = np.maximum((matrix**2).sum(axis=-1), 1e-300)
        close = np.where(np.array(self.equal), _CLOSE, 0.0)
        for _ in range(_ROUNDS):
            if not (self._broken(moved) > close).any():
                break
            for row, equal in enumerate(self.equal):
                over = np.einsum("bn,pbn->pb", matrix[:, row], moved) - room[:, row]
                share = (over if equal else np.maximum(over, 0)) / square[:, row]
                moved = moved - share[..., None] * matrix[:, row]
            moved = np.clip(moved, low, high)
        return self._pulled(moved, low, high)

    def _pulled(self, moved: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Moves shortened until they keep all constraints, after equalities were mended."""
        matrix, equal = to_numpy(self.matrix), np.array(self.equal)
        if equal.any():
            same = matrix[:, equal]
            # Features that are at an end in the direction of the move would be cut again.
            off = np.einsum("bmn,pbn->pbm", same, moved)
            moved = moved - np.einsum("bnm,pbm->pbn", np.linalg.pinv(same), off)
        ahead = np.einsum("bmn,pbn->pbm", matrix[:, ~equal], moved)
        room = np.maximum(self._room, 0)[:, ~equal]
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = [
                np.where(ahead > room, room / ahead, 1.0),
                np.where(moved > high, high / moved, 1.0),
                np.where(moved < low, low / moved, 1.0),
            ]
        shares = np.concatenate(parts, axis=-1).min(axis=-1, keepdims=True, initial=1.0)
        return moved * np.maximum(shares, 0.0)


def _rows(
    matrix: Array | None, limits: Array | None, features: int, what: str
) -> tuple[np.ndarray, np.ndarray]:
    if matrix is None and limits is None:
        return np.zeros((0, features)), np.zeros(0)
    if matrix is None or limits is None:
        raise BadShape("constraints need a matrix and limits, one for each of its rows")
    rows = np.asarray(to_numpy(matrix), dtype=np.float64)
    ends = np.asarray(to_numpy(limits), dtype=np.float64)
    if rows.ndim < 2 or ends.ndim != 1 or rows[0:1].size != features * len(rows[0:1]):
        raise BadShape(
            f"{what} of shape {rows.shape} does not fit inputs of {features} features: expected "
            f"[constraints, {features}]"
        )
    if len(rows) != len(ends):
        raise BadShape(f"{what} has {len(rows)} constraints, and there are {len(ends)} limits")
    # Written so that a NaN fails it.
    if not (np.isfinite(rows).all() and np.isfinite(ends).all()):
        raise BadBox("a constraint holds NaN or infinity")
    return rows.reshape(len(rows), features), ends


def _middle(
    low: np.ndarray,
    high: np.ndarray,
    rows: np.ndarray,
    limits: np.ndarray,
    equal: np.ndarray,
    number: int,
) -> np.ndarray:
    """A point of one set, as far as can be from all inequalities; the box is nonempty."""
    from scipy.optimize import linprog

    size = np.linalg.norm(rows, axis=1)
    cost = np.zeros(len(low) + 1)
    cost[-1] = -1.0
    more = np.where(equal, 0.0, size)[:, None]
    every = np.concatenate([rows, more], axis=1)
    found = linprog(
        cost,
        A_ub=every[~equal] if (~equal).any() else None,
        b_ub=limits[~equal] if (~equal).any() else None,
        A_eq=every[equal] if equal.any() else None,
        b_eq=limits[equal] if equal.any() else None,
        bounds=[*zip(low, high, strict=True), (0.0, float((high - low).max(initial=0.0)) + 1.0)],
        method="highs",
    )
    if found.status == 2:
        raise BadBox(
            f"box {number} is empty: none of its inputs meets the constraints",
            "nothing is claimed of an empty set; widen the box or the constraints",
        )
    if found.status != 0 or found.x is None:
        raise BadBox(f"no input of box {number} that meets the constraints was found")
    return np.clip(found.x[:-1], low, high)
