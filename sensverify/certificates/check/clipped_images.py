"""Images that are cut to a range, in arithmetic that cannot round wrongly.

**Theorem.** Let the parameters t lie in a box, and cells cover it. Let ``u = p + t P`` stay in
``[l, h]`` while t is in a cell, and ``s u + k`` lie below ``clip(u)`` on ``[l, h]`` and
``S u + K`` above it, feature by feature. Then there ``a . clip(p + t P)`` is at least what comes
out with the lower line for the clip where a is positive, else with the upper one; that is linear in
t, and least at a corner. Over the whole box it is at least the least of all cells.

The clip less a line is least at an end or at a kink, so that any slope has its constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from sensverify.certificates.check.arithmetic import LEAST, Arithmetic, Numbers
from sensverify.certificates.check.ends import End
from sensverify.errors import CertificateRejected

PARTS = {1: 16, 2: 4, 3: 2, 4: 2}
"""By number of parameters, into how many parts the interval of each is cut; of more, into one."""


@dataclass(frozen=True, eq=False)
class Images:
    """Varied inputs in a range, one set for each leaf; see `InputSets`."""

    point: np.ndarray
    patterns: np.ndarray
    least: np.ndarray
    most: np.ndarray
    cut: np.ndarray

    def least_value(self, end: End) -> tuple[Numbers, Numbers]:
        """Computed least values ``[cells, rows]``, and what they may have lost to rounding.

        Parameters
        ----------
        end : End
            Nothing added to it yet.
        """
        # The box around the images bounds them, too.
        end.corner(end.coefficient)
        found = [self._in_cell(end, *cell) for cell in self._cells()]
        total, lost = found[0]
        for other, more in found[1:]:
            total, lost = np.minimum(total, other), np.maximum(lost, more)
        better = total - lost > end.total - end.lost
        return np.where(better, total, end.total), np.where(better, lost, end.lost)

    def _cells(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Ends ``[leaves, parameters]`` of cells that cover the box; neighbours share theirs."""
        count = self.least.shape[1]
        parts = PARTS.get(count, 1)
        if parts == 1:
            return [(self.least, self.most)]
        half = parts // 2
        grid = [self.least * (1 - i / half) for i in range(half)]
        grid += [self.most * (i / half) for i in range(half)] + [self.most]
        return [
            (
                np.stack([grid[p][:, axis] for axis, p in enumerate(places)], axis=1),
                np.stack([grid[p + 1][:, axis] for axis, p in enumerate(places)], axis=1),
            )
            for places in product(range(parts), repeat=count)
        ]

    def _in_cell(self, end: End, least: np.ndarray, most: np.ndarray) -> tuple[Numbers, Numbers]:
        arithmetic = end.arithmetic
        low, high = self._ends(arithmetic, least, most)
        below, above = self.cut[:, :1], self.cut[:, 1:]
        slope, at = _lower_line(arithmetic, low, high, below, above)
        steep, top = _lower_line(arithmetic, -high, -low, -above, -below)
        point, patterns = arithmetic.numbers(self.point), arithmetic.numbers(self.patterns)
        rising, falling = np.maximum(end.coefficient, 0), np.minimum(end.coefficient, 0)
        found = End(arithmetic, end.coefficient, end.low, end.high)
        # Mirrored, a line below is one above: both starts are rounded away from the clip.
        found.dot(rising, _start(arithmetic, slope, point, at)[:, None])
        found.dot(falling, -_start(arithmetic, steep, -point, top)[:, None])
        slopes = rising * arithmetic.numbers(slope)[:, None]
        slopes = slopes + falling * arithmetic.numbers(steep)[:, None]
        for number in range(patterns.shape[1]):
            terms = slopes * patterns[:, number][:, None]
            first, last = (arithmetic.numbers(e[:, number])[:, None] for e in (least, most))
            found.along(terms, first, last, abs(patterns[:, number]))
        return found.total, found.lost

    def _ends(
        self, arithmetic: Arithmetic, least: np.ndarray, most: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Between which the features stay before they are cut, ``[leaves, features]``, float64."""
        point, patterns = arithmetic.numbers(self.point), arithmetic.numbers(self.patterns)
        first, last = (arithmetic.numbers(end)[..., None] for end in (least, most))
        up, down = np.maximum(patterns, 0), np.minimum(patterns, 0)
        low = point + (up * first + down * last).sum(axis=1)
        high = point + (up * last + down * first).sum(axis=1)
        size = abs(point) + (abs(patterns) * np.maximum(abs(first), abs(last))).sum(axis=1)
        lost = arithmetic.raised(arithmetic.gamma(3 * patterns.shape[1] + 4) * size)
        if arithmetic.unit:
            lost = lost + LEAST
        found = arithmetic.floats(low - lost, -1), arithmetic.floats(high + lost, 1)
        if not all(np.isfinite(values).all() for values in found):
            raise CertificateRejected("varied inputs overflow before they are cut to their range")
        return found


def _lower_line(
    arithmetic: Arithmetic, low: np.ndarray, high: np.ndarray, least: np.ndarray, most: np.ndarray
) -> tuple[np.ndarray, Numbers]:
    """Slopes in float64, and constants, of lines below a clip on intervals.

    The clip's convex hull is flat up to ``least``, and goes straight to the value at the upper end.
    """
    start = np.maximum(low, least)
    rise = np.clip(high, least, most) - np.minimum(start, most)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rising = np.where(high > start, rise / (high - start), 0.0)
        flat = (low < least) & ((least - low > high - least) | (high <= least))
    slope = np.where(flat | ~np.isfinite(rising), 0.0, rising)
    constant = None
    for place in (low, high, np.clip(least, low, high), np.clip(most, low, high)):
        value = arithmetic.numbers(np.clip(place, least, most))
        line = arithmetic.numbers(slope) * arithmetic.numbers(place)
        gap = _rounded_down(arithmetic, value - line, abs(value) + abs(line))
        constant = gap if constant is None else np.minimum(constant, gap)
    return slope, constant


def _start(arithmetic: Arithmetic, slope: np.ndarray, point: Numbers, constant: Numbers) -> Numbers:
    """A line's value at the point, not above it."""
    line = arithmetic.numbers(slope) * point
    return _rounded_down(arithmetic, line + constant, abs(line) + abs(constant))


def _rounded_down(arithmetic: Arithmetic, value: Numbers, size: Numbers) -> Numbers:
    """Less than a sum of a product and a number, whatever rounding did."""
    return value - 4 * arithmetic.unit * size - LEAST if arithmetic.unit else value
