"""Nonlinear functions as the checker knows them: lines and ranges that hold, and good slopes.

For f on ``[l, u]`` and any slope s, ``f(x) >= s x + t`` with ``t = inf (f(x) - s x)``, and
``f(x) <= s x + t`` with ``t = sup (f(x) - s x)``: t has to be right, rounded down or up. A slope
never has to be: any is valid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sensverify.certificates.check.arithmetic import Arithmetic, Numbers
from sensverify.errors import MissingRule

Slopes = tuple[np.ndarray, np.ndarray]
"""Of the line below and of the one above, ``[cells, entries]``, float64."""

Make = Callable[[Any], Numbers]
"""Finite floats as numbers of some arithmetic."""


class Lines(NamedTuple):
    """Slopes ``[cells, entries]`` and intercepts ``[cells, size]`` of one nonlinear step."""

    lower_slope: Numbers
    lower: Numbers
    upper_slope: Numbers
    upper: Numbers


class Enclosure:
    """One nonlinear function; its slopes are found as those of a function of one number.

    Intervals are ``lower <= x <= upper``, numpy arrays ``[cells, entries]``, float64.

    Parameters
    ----------
    operator : Operator
    shape : tuple of int
        Of what enters it.
    """

    def __init__(self, operator: Any, shape: tuple[int, ...]) -> None:
        self.operator = operator

    def lines(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray, slopes: Slopes
    ) -> Lines:
        """The lines with the slopes given that hold on intervals."""
        raise NotImplementedError

    def image(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray
    ) -> tuple[Numbers, Numbers]:
        """Range of f on intervals: the lines without slope."""
        flat = np.zeros_like(lower)
        lines = self.lines(arithmetic, lower, upper, (flat, flat))
        return lines.lower, lines.upper

    def float32_error(self, error: np.ndarray, reached: np.ndarray) -> np.ndarray:
        """Error of f computed in float32, from that of its argument; both ``[cells, ...]``.

        ``reached`` is the largest magnitude that the argument may have.
        """
        raise NotImplementedError

    def float32_error_within(
        self, error: np.ndarray, lower: np.ndarray, upper: np.ndarray
    ) -> np.ndarray:
        """The same from bounds on the argument, where these tell more than its magnitude."""
        return self.float32_error(error, np.maximum(abs(lower), abs(upper)) + error)

    def value(self, x: np.ndarray) -> np.ndarray:
        """f in plain floating-point numbers."""
        raise NotImplementedError

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """About the derivative, in plain floating-point numbers."""
        raise NotImplementedError

    kinks_at: list[float] | None = None
    """Where the slope changes, of a function that is linear in between; None of others."""

    def secants(
        self, arithmetic: Arithmetic, lower: np.ndarray, upper: np.ndarray
    ) -> tuple[Numbers, Numbers]:
        """The least and the largest slope of f between any two points of intervals, or beyond."""
        raise MissingRule(f"certificates do not know the slopes of {type(self.operator).__name__}")

    def plainly(self, x: Numbers, numbers: Make) -> Numbers:
        """f of numbers, of a function that is linear between kinks: right but for rounding."""
        raise NotImplementedError

    @property
    def steepest_of_all(self) -> Any:
        """The largest magnitude of any slope, by entry or of all."""
        raise NotImplementedError

    def candidates(self, lower: np.ndarray, upper: np.ndarray) -> Sequence[np.ndarray]:
        """Slopes that may be good ones, beside that of the chord."""
        raise NotImplementedError

    def extremes(
        self, lower: np.ndarray, upper: np.ndarray, slope: np.ndarray
    ) -> Sequence[np.ndarray]:
        """Points of intervals where about ``f(x) - slope x`` is least or largest."""
        raise NotImplementedError

    def rule_slopes(self, lower: np.ndarray, upper: np.ndarray) -> Slopes:
        """Slopes by rule: of the lines with each candidate, those that are best in the middle.

        Those of CROWN, and like them for other functions.
        """
        middle = lower / 2 + upper / 2
        below = above = chord = self.chord_slopes(lower, upper)
        best_low, best_high = np.full_like(lower, -np.inf), np.full_like(lower, np.inf)
        for slope in (chord, *self.candidates(lower, upper)):
            slope = np.broadcast_to(slope, lower.shape)
            gaps = [self.value(x) - slope * x for x in self.extremes(lower, upper, slope)]
            low, high = np.minimum.reduce(gaps), np.maximum.reduce(gaps)
            low, high = low + slope * middle, high + slope * middle
            # Not at a tie: rounding must not decide, or the same proof would differ by machine.
            enough = 1e-6 * (upper - lower)
            below = np.where(low > best_low + enough, slope, below)
            above = np.where(high < best_high - enough, slope, above)
            best_low, best_high = np.maximum(low, best_low), np.minimum(high, best_high)
        return below, above

    def chord_slopes(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """Slopes of the lines through both ends; those above that a proof need not name."""
        width = upper - lower
        rise = self.value(upper) - self.value(lower)
        return np.where(width > 0, rise / np.where(width > 0, width, 1.0), self.derivative(lower))
