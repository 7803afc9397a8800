"""Intervals in segments, with binaries that say on which of them a number lies.

With break points ``p1 < ... < pk`` inside of an interval, x is the start of its segment plus its
way along that segment. The binary of a break point says whether x has passed it, and none is 1
where the one before it is 0: the difference of two that follow one another is 1 on the segment
between them and 0 elsewhere. What is linear on every segment is scaled by these differences;
without integrality that is the convex hull of the segments' pieces. Source: Balas 1985,
*Disjunctive programming and a hierarchy of relaxations for discrete optimization problems*.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix, diags

from sensverify.solvers.encoding.builder import Builder
from sensverify.solvers.encoding.expression import Expression
from sensverify.solvers.encoding.piecewise import ROUNDING, SMALLEST, numbered
from sensverify.solvers.encoding.rules import Place

Term = tuple[csr_matrix, np.ndarray]
"""Coefficients, and the columns that they multiply: as `Builder.add_rows` takes them."""


@dataclass(frozen=True, eq=False)
class Segments:
    """The segments of some numbers, as many for each.

    Parameters
    ----------
    ends : numpy array, shape ``[segments + 1, numbers]``
        Ascending: the ends of the interval and the break points.
    along : tuple of integer numpy arrays, each ``[numbers]``
        Columns: how far a number is beyond the start of each segment; 0 where it is on another.
    passed : tuple of integer numpy arrays, each ``[numbers]``
        Binaries of the break points.
    """

    ends: np.ndarray
    along: tuple[np.ndarray, ...]
    passed: tuple[np.ndarray, ...]

    def __getitem__(self, numbers: np.ndarray) -> Segments:
        along, passed = (tuple(c[numbers] for c in part) for part in (self.along, self.passed))
        return Segments(self.ends[:, numbers], along, passed)

    def chosen(self, values: np.ndarray) -> list[Term]:
        """The value ``[segments, numbers]`` of the segment that is on, less that of the first."""
        steps = np.diff(values, axis=0)
        return [(diags(step), column) for step, column in zip(steps, self.passed, strict=True)]

    def sloped(self, slopes: np.ndarray) -> list[Term]:
        """The way along a segment times its slope, ``[segments, numbers]``."""
        return [(diags(slope), column) for slope, column in zip(slopes, self.along, strict=True)]

    def spread(self, builder: Builder, longest: np.ndarray, columns: list[np.ndarray]) -> None:
        """Keep columns at 0 on all segments but their own, there at most this ``[segments, n]``."""
        count = len(columns)
        for k, (column, length) in enumerate(zip(columns, longest, strict=True)):
            terms: list[tuple[np.ndarray | float, np.ndarray]] = [(1.0, column)]
            if k > 0:
                terms.append((-length, self.passed[k - 1]))
            if k < count - 1:
                terms.append((length, self.passed[k]))
            builder.add_scaled_rows(*terms, upper=length if k == 0 else 0.0)

    def places(self, inputs: np.ndarray) -> np.ndarray:
        """The segment that each of ``[numbers, points]`` lies on."""
        return (inputs[None] >= self.ends[1:-1, :, None]).sum(axis=0)


def add_segments(place: Place, ends: np.ndarray, x: Expression, entries: np.ndarray) -> Segments:
    """Columns and rows that say on which segment each of some numbers lies.

    Parameters
    ----------
    place : Place
    ends : numpy array, shape ``[segments + 1, numbers]``
        The first and the last ones are bounds on the numbers. Two segments or more.
    x : Expression
        The numbers.
    entries : integer numpy array, shape ``[numbers]``
        By which entry of the node's input each of them is known.
    """
    builder, count = place.builder, len(ends) - 1
    margin = ROUNDING * np.maximum(1e-3, np.abs(ends).max(axis=0))
    ends = np.concatenate([ends[:1] - margin, ends[1:-1], ends[-1:] + margin])
    lengths = np.maximum(np.diff(ends, axis=0), SMALLEST)
    none = np.zeros(len(entries))
    along = [
        builder.add_columns(none, length, role, entries)
        for length, role in zip(lengths, numbered("along", count), strict=True)
    ]
    roles = numbered("passed", count - 1)
    passed = [builder.add_binaries(place.position, entries, role) for role in roles]
    found = Segments(ends, tuple(along), tuple(passed))
    for one, following in pairwise(passed):
        builder.add_scaled_rows((1.0, one), (-1.0, following), lower=0.0)
    found.spread(builder, lengths, along)
    right = x.offset - ends[0]
    terms = [*found.sloped(np.ones((count, len(x)))), *found.chosen(ends[:-1])]
    rows = builder.add_rows(*terms, (-x.matrix, None), lower=right, upper=right)
    builder.remember(place.position, entries, rows)

    def fill(values: np.ndarray) -> None:
        inputs = x.values(values)
        place_of = found.places(inputs)
        for k, column in enumerate(along):
            values[column] = np.where(place_of == k, inputs - ends[k][:, None], 0.0)
        for k, column in enumerate(passed):
            values[column] = place_of > k

    builder.fills.append(fill)
    return found


def in_groups(counts: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each number of segments that there is, with the numbers that have it."""
    return [(int(count), np.flatnonzero(counts == count)) for count in np.unique(counts)]
