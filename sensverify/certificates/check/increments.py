"""The increment of a function: ``f(x + d) - f(x)``, from what is known of f.

Three bounds hold for any slopes a and b of a plane ``a x + b d + t``, and the best one is taken:

- with f(x + d) above ``b (x + d) + t1`` and f(x) below ``(b - a) x + t2``, t may be ``t1 - t2``;
- the increment is ``s d`` for a slope s of f between its least and its largest, and ``(s - b) d``
  is extreme at an end of both; ``-a x`` is so at an end of x;
- of f that is linear between kinks, the increment less the plane is linear in between the lines
  where x or x + d is at a kink: it is extreme where two of these, or of the box's sides, meet.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sensverify.certificates.check.arithmetic import (
    FLOOR,
    UNIT32,
    Arithmetic,
    Numbers,
    Rigorous,
)
from sensverify.certificates.check.enclosure import Enclosure, Lines, Slopes
from sensverify.network.operators import Increment

Box = tuple[np.ndarray, np.ndarray]
"""The low and the high ends of x and d, ``[cells, size, 2]``."""


class Increments(Enclosure):
    """The increment of a function of one number; entries are x and d in turn."""

    def __init__(self, operator: Increment, shape: tuple[int, ...], function: Enclosure) -> None:
        super().__init__(operator, shape)
        self.function = function

    def lines(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray, slopes: Slopes
    ) -> Lines:
        low, high, below, above = (_pairs(part) for part in (lower, upper, *slopes))
        least = self._least(arithmetic, (low, high), below, 1)
        most = self._least(arithmetic, (low, high), above, -1)
        numbers = arithmetic.numbers
        return Lines(numbers(slopes[0]), least, numbers(slopes[1]), -most)

    def _least(
        self,
        arithmetic: Arithmetic,
        box: Box,
        slope: np.ndarray,
        sign: int,
    ) -> Numbers:
        """At most ``sign (f(x + d) - f(x) - a x - b d)``."""
        found = [
            self._apart(arithmetic, box, slope, sign),
            self._together(arithmetic, box, slope, sign),
        ]
        kinks = self.function.kinks_at
        if kinks is not None:
            values = self._at_vertices(arithmetic, box, slope, sign, kinks)
            found.append(np.minimum.reduce(list(values)))
        return np.maximum.reduce(found)

    def _apart(
        self,
        arithmetic: Arithmetic,
        box: Box,
        slope: np.ndarray,
        sign: int,
    ) -> Numbers:
        low, high = box
        along, steep = slope[..., 0], slope[..., 1]
        before = steep - along
        after = self.function.lines(arithmetic, *_sums(low, high), (steep, steep))
        start = self.function.lines(arithmetic, low[..., 0], high[..., 0], (before, before))
        first, second = (after.lower, start.upper) if sign > 0 else (-after.upper, -start.lower)
        size = np.maximum(abs(low[..., 0]), abs(high[..., 0]))
        numbers = arithmetic.numbers
        # The difference of the slopes is rounded, and what x makes of that is lost.
        rest = abs(numbers(steep) - numbers(along) - numbers(before)) * numbers(size)
        if not arithmetic.unit:
            return first - second - rest
        rest = 2 * arithmetic.unit * abs(before) * size
        return first - second - 4 * (rest + arithmetic.unit * (abs(first) + abs(second))) - FLOOR

    def _together(
        self,
        arithmetic: Arithmetic,
        box: Box,
        slope: np.ndarray,
        sign: int,
    ) -> Numbers:
        (low, high), numbers = box, arithmetic.numbers
        along, steep = numbers(slope[..., 0]), numbers(slope[..., 1])
        asides = [-sign * along * numbers(end[..., 0]) for end in box]
        slopes = self.function.secants(arithmetic, *_reach(low, high))
        values = [sign * (s - steep) * numbers(end[..., 1]) for s in slopes for end in box]
        total = np.minimum.reduce(values) + np.minimum(*asides)
        if not arithmetic.unit:
            return total
        change = np.maximum(abs(low[..., 1]), abs(high[..., 1]))
        steepest = np.maximum(*(abs(s) for s in slopes)) + abs(steep)
        size = steepest * change + np.maximum(*(abs(aside) for aside in asides))
        # Products may underflow, but where a factor is zero.
        lost = (change > 0) | ((along != 0) & ((low[..., 0] != 0) | (high[..., 0] != 0)))
        return total - np.where(lost, 8 * arithmetic.unit * size + FLOOR, 0.0)

    def _at_vertices(
        self,
        arithmetic: Arithmetic,
        box: Box,
        slope: np.ndarray,
        sign: int,
        kinks: list[float],
    ) -> Iterator[Numbers]:
        numbers = arithmetic.numbers
        (x0, x1), (d0, d1) = ([numbers(end[..., part]) for end in box] for part in (0, 1))
        along, steep = numbers(slope[..., 0]), numbers(slope[..., 1])
        points = [(x, d) for x in (x0, x1) for d in (d0, d1)]
        places = [numbers(np.broadcast_to(kink, box[0].shape[:-1])) for kink in kinks]
        for kink in places:
            points += [(kink, d) for d in (d0, d1)]
            points += [(kink - d, d) for d in (d0, d1)]
            points += [(x, kink - x) for x in (x0, x1)]
            points += [(kink, other - kink) for other in places]
        steepest = self.function.steepest_of_all
        for x, d in points:
            x, d = np.minimum(np.maximum(x, x0), x1), np.minimum(np.maximum(d, d0), d1)
            grown = self.function.plainly(x + d, numbers) - self.function.plainly(x, numbers)
            value = sign * (grown - along * x - steep * d)
            if arithmetic.unit:
                # Points are rounded, and with them all that depends on them.
                size = (abs(along) + abs(steep) + 2 * steepest + 1) * (abs(x) + abs(d))
                size = size + steepest * max(map(abs, kinks), default=0.0)
                value = value - 16 * arithmetic.unit * size - FLOOR
            yield value

    def rule_slopes(self, lower: np.ndarray, upper: np.ndarray) -> Slopes:
        """Of the plane of d alone and of that of both lines, the one nearer in the middle."""
        low, high = _pairs(lower), _pairs(upper)
        arithmetic = Rigorous()
        flat, steep = self.function.secants(arithmetic, *_reach(low, high))
        change = low[..., 1], high[..., 1]
        after = self.function.rule_slopes(*_sums(low, high))
        before = self.function.rule_slopes(low[..., 0], high[..., 0])
        none = np.zeros_like(flat)
        candidates = []
        for own, ends, start in (
            (_across(flat, steep, *change), after[0], before[1]),
            (_across(steep, flat, *change), after[1], before[0]),
        ):
            pair = (none, own), (ends - start, ends)
            candidates.append([np.stack(each, axis=-1) for each in pair])
        middle = low / 2 + high / 2
        enough = 1e-6 * abs(high - low).max(axis=-1)
        result = []
        for sign, (first, second) in zip((1, -1), candidates, strict=True):
            heights = [
                sign * (slope * middle).sum(axis=-1)
                + self._least(arithmetic, (low, high), slope, sign)
                for slope in (first, second)
            ]
            # Not at a tie, which rounding would decide.
            better = heights[1] > heights[0] + enough
            result.append(np.where(better[..., None], second, first).reshape(lower.shape))
        return result[0], result[1]

    def chord_slopes(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        return self.rule_slopes(lower, upper)[1]

    def float32_error_within(
        self, error: np.ndarray, lower: np.ndarray, upper: np.ndarray
    ) -> np.ndarray:
        errors, low, high = _pairs(error), _pairs(lower), _pairs(upper)
        whole = (np.maximum(abs(low), abs(high)) + errors).sum(axis=-1)
        moved = errors.sum(axis=-1) + 2 * UNIT32 * whole
        first, last = _sums(low, high)
        after = self.function.float32_error_within(moved, first, last)
        before = self.function.float32_error_within(errors[..., 0], low[..., 0], high[..., 0])
        # The difference is of two numbers as far apart as the steepest slope allows.
        first, last = _reach(low, high)
        room = errors.sum(axis=-1)
        slopes = self.function.secants(Rigorous(), first - room, last + room)
        steepest = np.maximum(*(abs(slope) for slope in slopes))
        rounded: np.ndarray = 4 * UNIT32 * steepest * whole
        return (after + before) * (1 + 4 * UNIT32) + rounded


def _pairs(entries: np.ndarray) -> np.ndarray:
    """``[cells, size, 2]``: x and d."""
    return entries.reshape(len(entries), -1, 2)


def _sums(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of ``x + d``, rounded outward."""
    return np.nextafter(low.sum(axis=-1), -np.inf), np.nextafter(high.sum(axis=-1), np.inf)


def _reach(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of all that x and x + d can be, rounded outward where it is a sum."""
    first, last = _sums(low, high)
    still = (low[..., 1] == 0) & (high[..., 1] == 0)
    first, last = np.where(still, low[..., 0], first), np.where(still, high[..., 0], last)
    return np.minimum(low[..., 0], first), np.maximum(high[..., 0], last)


def _across(flat: np.ndarray, steep: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Slope of the line below ``s d``, where s lies between two slopes, in d alone."""
    width = np.where(high > low, high - low, 1.0)
    across = (high / width) * flat - (low / width) * steep
    return np.where(low >= 0, flat, np.where(high <= 0, steep, across))
