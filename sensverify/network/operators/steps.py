"""Functions of one number that are constant between jumps."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan
from typing import Any

from sensverify.network.operators.base import Steps, Values


class _AtZero(Steps):
    """One jump, at zero."""

    before: float
    after: float = 1.0

    def jump_from(self, x: Values, xp: Any) -> Values:
        return xp.where(x <= 0, xp.zeros_like(x), xp.full_like(x, inf))

    def jump_to(self, x: Values, xp: Any) -> Values:
        return xp.where(x >= 0, xp.zeros_like(x), xp.full_like(x, -inf))

    def below(self, x: Values, xp: Any) -> Values:
        return xp.where(x > 0, xp.full_like(x, self.after), xp.full_like(x, self.before))

    def above(self, x: Values, xp: Any) -> Values:
        return xp.where(x < 0, xp.full_like(x, self.before), xp.full_like(x, self.after))


@dataclass(frozen=True, eq=False)
class Sign(_AtZero):
    """-1 below zero, 1 above it, 0 at it."""

    before = -1.0
    height = 2.0
    sided = False

    def value(self, x: Values, xp: Any) -> Values:
        return xp.where(x == x, xp.sign(x), xp.full_like(x, nan))


@dataclass(frozen=True, eq=False)
class Heaviside(_AtZero):
    """0 below zero, 1 above it, and ``at_zero``, between the two, at it."""

    at_zero: float = 0.0

    before = 0.0

    @property
    def sided(self) -> bool:  # type: ignore[override]
        return self.at_zero in (0.0, 1.0)

    def value(self, x: Values, xp: Any) -> Values:
        # Of the sign, so that there is a gradient: zero.
        share = 0.5 * (Sign().value(x, xp) + 1)
        return xp.where(x == 0, xp.full_like(x, self.at_zero), share)


@dataclass(frozen=True, eq=False)
class Floor(Steps):
    """The largest integer that is not above x."""

    spacing = 1.0

    def value(self, x: Values, xp: Any) -> Values:
        return xp.floor(x)

    def jump_from(self, x: Values, xp: Any) -> Values:
        return xp.ceil(x)

    def jump_to(self, x: Values, xp: Any) -> Values:
        return xp.floor(x)

    def below(self, x: Values, xp: Any) -> Values:
        return xp.ceil(x) - 1

    def above(self, x: Values, xp: Any) -> Values:
        return xp.floor(x)


@dataclass(frozen=True, eq=False)
class Ceil(Steps):
    """The smallest integer that is not below x."""

    spacing = 1.0

    def value(self, x: Values, xp: Any) -> Values:
        return xp.ceil(x)

    def jump_from(self, x: Values, xp: Any) -> Values:
        return xp.ceil(x)

    def jump_to(self, x: Values, xp: Any) -> Values:
        return xp.floor(x)

    def below(self, x: Values, xp: Any) -> Values:
        return xp.ceil(x)

    def above(self, x: Values, xp: Any) -> Values:
        return xp.floor(x) + 1


@dataclass(frozen=True, eq=False)
class Round(Steps):
    """The integer nearest to x; of two that are as near, the even one."""

    spacing = 1.0

    def value(self, x: Values, xp: Any) -> Values:
        return xp.round(x)

    def jump_from(self, x: Values, xp: Any) -> Values:
        return xp.ceil(x - 0.5) + 0.5

    def jump_to(self, x: Values, xp: Any) -> Values:
        return xp.floor(x - 0.5) + 0.5

    def below(self, x: Values, xp: Any) -> Values:
        return xp.ceil(x - 0.5)

    def above(self, x: Values, xp: Any) -> Values:
        return xp.floor(x + 0.5)
