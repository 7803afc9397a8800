"""Questions about a network that have a yes or a no, and the answers to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from sensverify.core.box import Box
from sensverify.errors import BadShape


class Verdict(Enum):
    """The answer to a `Query`, with the words of VNN-COMP."""

    SAT = "sat"
    """An input that meets the query is known."""
    UNSAT = "unsat"
    """No input in the box meets the query; proven."""
    UNKNOWN = "unknown"
    """The method gave up."""
    TIMEOUT = "timeout"
    """The time was up, or somebody stopped the work."""


@dataclass(frozen=True, eq=False)
class Query:
    """Is there an input in a box whose output lies in one of several polyhedra?

    An input x meets the query if, for some alternative, ``rows[i] · f(x) <= limits[i]`` for every
    i in it (``<`` where ``strict[i]``). A method may prove that nothing meets it by proving the
    stronger claim for ``<=`` in place of ``<``.

    Parameters
    ----------
    box : Box of numpy arrays, shape ``[1, *input_shape]``, float64
        May be an `InputSet`: the question is then about its inputs, and deciders that do not know
        such sets refuse it by name.
    rows : numpy array, shape ``[constraints, outputs]``, float64
        Coefficients of the output, flattened in row-major order.
    limits : numpy array, shape ``[constraints]``, float64
    alternatives : tuple of tuples of int
        Constraints that must hold together; one alternative is enough. An empty alternative holds
        everywhere.
    strict : boolean numpy array, shape ``[constraints]``, optional
        Default: nowhere.

    Raises
    ------
    BadShape
        The parts do not fit together, or a number is not finite.
    """

    box: Box
    rows: np.ndarray
    limits: np.ndarray
    alternatives: tuple[tuple[int, ...], ...]
    strict: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def __post_init__(self) -> None:
        count = len(self.limits)
        if self.box.batch != 1:
            raise BadShape(f"a query asks about one box, got {self.box.batch}")
        if self.rows.ndim != 2 or self.limits.ndim != 1 or len(self.rows) != count:
            raise BadShape(
                f"a query needs one limit for each of its rows, got rows {self.rows.shape} and "
                f"limits {self.limits.shape}"
            )
        if not (np.isfinite(self.rows).all() and np.isfinite(self.limits).all()):
            raise BadShape("a query needs finite rows and limits")
        if any(not 0 <= i < count for part in self.alternatives for i in part):
            raise BadShape(f"an alternative names a constraint that is not among the {count}")
        if len(self.strict) == 0:
            object.__setattr__(self, "strict", np.zeros(count, dtype=bool))
        elif self.strict.shape != (count,):
            raise BadShape(f"strict has shape {self.strict.shape} for {count} constraints")

    def met_by(self, outputs: np.ndarray) -> np.ndarray:
        """Mask of the outputs ``[points, outputs]`` that meet the query; NaN meets nothing."""
        outputs = outputs.reshape(len(outputs), self.rows.shape[1]).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            values = outputs @ self.rows.T
            held = np.where(self.strict, values < self.limits, values <= self.limits)
        finite = np.isfinite(outputs).all(axis=1)
        met = np.zeros(len(outputs), dtype=bool)
        for part in self.alternatives:
            met |= held[:, list(part)].all(axis=1)
        return met & finite


Accept = Callable[[np.ndarray], bool]
"""Has the last word on a witness, of shape ``[*input_shape]``: a replay of the original file. A
point that it refuses answers nothing, and the search goes on."""


@dataclass(frozen=True, eq=False)
class Decision:
    """The answer to a `Query`.

    Parameters
    ----------
    verdict : Verdict
    witness : numpy array or None, shape ``[*input_shape]``, float64
        With SAT: an input that meets the query.
    explored : int
        Sub-boxes or nodes that were bounded.
    certificate : object or None
        With UNSAT: the split tree, where the method keeps one. With ``tied``: a tree that may
        refute the query, too.
    tied : bool
        With UNKNOWN: the query has strict constraints, and what is left of the box is as close to
        their limits as rounding can tell. Exact arithmetic may show that nothing meets it.
    clearance : numpy array or None, shape ``[constraints]``
        With UNSAT by bounds on the whole box: by how much they are above the limits.
    shortfall : float or None
        With UNKNOWN or TIMEOUT: by how much what is proven is short of refuting the alternative
        that it is farthest from refuting, by the row that is nearest to its limit.
    phases : mapping from str to float
        Seconds of wall time by phase, where the method tells them: ``looking`` for an input that
        meets the query, ``bounding`` the whole box, ``splitting``.
    reason : str
        With UNKNOWN or TIMEOUT: what else than time was missing, where something was.
    """

    verdict: Verdict
    witness: np.ndarray | None = None
    explored: int = 0
    certificate: Any = None
    tied: bool = False
    clearance: np.ndarray | None = None
    shortfall: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
