"""Sine and cosine as certificates know them: bent the other way at every multiple of pi."""

from __future__ import annotations

from math import acos, ceil, floor, isfinite, pi

import numpy as np
from flint import arb, fmpq

from sensverify.certificates.check.arithmetic import gamma32
from sensverify.certificates.check.curved import Curved, lower_end
from sensverify.certificates.check.enclosure import Enclosure
from sensverify.certificates.check.s_shaped import LIBRARY
from sensverify.network.operators import Cos, Operator, Sin

_WIDEST = 40.0
"""An interval wider than this is taken to hold all values."""

_FARTHEST = 2.0**40
"""Where a float is too coarse to tell a piece."""


class _Wave(Curved):
    """``sin(x + shift)``; as an enclosure, `Curved` without fixed joints.

    Attributes
    ----------
    quarters : int
        The shift, in quarters of a period.
    """

    quarters: int = 0

    def ball(self, x: arb) -> arb:
        return x.cos() if self.quarters else x.sin()

    def steepness(self, x: arb) -> arb:
        return -x.sin() if self.quarters else x.cos()

    def value(self, x: np.ndarray) -> np.ndarray:
        return np.cos(x) if self.quarters else np.sin(x)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        return -np.sin(x) if self.quarters else np.cos(x)

    def extremes(self, lower: np.ndarray, upper: np.ndarray, slope: np.ndarray) -> list[np.ndarray]:
        found = [lower, upper]
        angle = np.arccos(np.clip(slope, -1, 1))
        for point in (angle, -angle):
            base = point - self.quarters * pi / 2
            for turns in (np.ceil, np.floor):
                end = lower if turns is np.ceil else upper
                at = base + turns((end - base) / (2 * pi)) * 2 * pi
                found.append(np.clip(at, lower, upper))
        return found

    def _least(
        self, slope: float, lower: float, upper: float, touching: list[float], sign: int
    ) -> fmpq | None:
        if not (isfinite(slope) and isfinite(lower) and isfinite(upper)):
            return None
        s, ends = arb(slope), (lower, upper)
        if upper - lower > _WIDEST or max(abs(lower), abs(upper)) > _FARTHEST:
            gaps = [-1 - sign * s * arb(x) for x in ends]
        else:
            gaps = [sign * (self.ball(arb(x)) - s * arb(x)) for x in ends]
            gaps += self._inner(slope, lower, upper, sign)
        found = [lower_end(gap) for gap in gaps]
        return None if any(end is None for end in found) else min(found)  # type: ignore[type-var]

    def _steep(self, lower: float, upper: float) -> list[arb]:
        if upper - lower > _WIDEST or max(abs(lower), abs(upper)) > _FARTHEST:
            return [arb(-1), arb(1)]
        return [self.steepness(arb(lower).union(arb(upper)))]

    def _inner(self, slope: float, lower: float, upper: float, sign: int) -> list[arb]:
        """Bounds on gaps between the ends: of every piece that is bent up, where sign turns it."""
        s, shift = arb(slope), arb.pi() * self.quarters / 2
        # Where sign * f has its least values on a straight line of its slope.
        angle = -acos(min(max(sign * slope, -1.0), 1.0))
        if sign < 0:
            angle += pi
        gaps = []
        first = floor((lower + self.quarters * pi / 2) / pi) - 1
        last = ceil((upper + self.quarters * pi / 2) / pi) + 1
        for k in range(first, last + 1):
            # Between k pi and (k + 1) pi the sine is convex where k is odd.
            if (k % 2 == 1) != (sign > 0):
                continue
            start, end = k * arb.pi() - shift, (k + 1) * arb.pi() - shift
            low = max(lower, float(start.mid()))
            high = min(upper, float(end.mid()))
            if low > high:
                continue
            turns = round((low / 2 + high / 2 - angle + self.quarters * pi / 2) / (2 * pi))
            touch = min(max(angle + turns * 2 * pi - self.quarters * pi / 2, low), high)
            value, steep = self.ball(arb(touch)), self.steepness(arb(touch))
            for x in (low, high):
                gaps.append(sign * (value + steep * (arb(x) - arb(touch)) - s * arb(x)))
        # Beside an inflection the ends of pieces are rounded: there the function as it is.
        for k in range(first, last + 1):
            joint = k * arb.pi() - shift
            middle = float(joint.mid())
            radius = 2.0**-50 * max(1.0, abs(middle))
            low, high = max(lower, middle - radius), min(upper, middle + radius)
            if low <= high:
                near = arb(low).union(arb(high))
                gaps.append(sign * (self.ball(near) - s * near))
        return gaps

    def float32_error_within(
        self, error: np.ndarray, lower: np.ndarray, upper: np.ndarray
    ) -> np.ndarray:
        # Nowhere steeper than 1, and at most 1.
        return error * (1 + 2.0**-20) + gamma32(LIBRARY)


class _Cos(_Wave):
    quarters = 1


WAVES: dict[type[Operator], type[Enclosure]] = {Cos: _Cos, Sin: _Wave}
