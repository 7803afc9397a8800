"""The base classes of operators, and the facts that a nonlinear function of one number declares."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

from sensverify.core.box import Array
from sensverify.errors import MissingRule

Values = TypeVar("Values", bound=Array)


@dataclass(frozen=True, eq=False)
class Operator:
    """Base class of everything a node can do."""


class Linear(Operator):
    """An affine map of its inputs."""


class Nonlinear(Operator):
    """A function that linear bounds need a relaxation of."""


class Elementwise(Nonlinear):
    """A nonlinear function applied to every number on its own.

    One that is neither `PiecewiseLinear` nor `Smooth` declares no more than its value: methods have
    to be given their rules for it.
    """

    def value(self, x: Values, xp: Any) -> Values:
        """The function, entry by entry.

        Parameters
        ----------
        x : Tensor or numpy array
        xp : module of functions
            ``torch`` for a tensor, `sensverify.network.functions.NUMPY` for an array: the same
            names for both, such as ``xp.exp``, ``xp.log1p``, ``xp.relu``, ``xp.where``.
        """
        raise self._undeclared("value")

    def _undeclared(self, fact: str) -> MissingRule:
        name = type(self).__name__
        return MissingRule(
            f"operator {name} does not declare its {fact}",
            f"define {name}.{fact}, or register rules for it with the method",
        )


class PiecewiseLinear(Elementwise):
    """A continuous function of one number that is linear between kinks.

    Attributes
    ----------
    kinks : tuple of float
        Where the slope changes, ascending; an infinite one is none.
    slopes : tuple of float or array
        One more than kinks: of the pieces from left to right. Arrays broadcast to x.
    """

    @property
    def kinks(self) -> tuple[float, ...]:
        raise self._undeclared("kinks")

    @property
    def slopes(self) -> tuple[Any, ...]:
        raise self._undeclared("slopes")

    @property
    def rising(self) -> bool | None:
        """True where the function never falls, False: it never rises; None: neither is sure."""
        if not all(isinstance(slope, float | int) for slope in self.slopes):
            return None
        if min(self.slopes) >= 0:
            return True
        return False if max(self.slopes) <= 0 else None


class Smooth(Elementwise):
    """A function of one number, curved to one side between inflections.

    Attributes
    ----------
    inflections : tuple of float
        Where the function changes between convex and concave, ascending. What is linear counts as
        either, so a kink between a convex and a linear piece is one of these, too.
    convex : bool
        Whether it is convex to the left of the first inflection; without one, everywhere.
    kinks : tuple of float
        Where the derivative jumps.
    rising : bool or None
        True: it never falls on a branch. False: it never rises. None: found out from the
        derivative.
    odd : bool
        Whether ``value(x) - value(0)`` is odd.
    branches : tuple of pairs of float
        The intervals on which it is defined, ascending. An end belongs to its branch where the
        value there is finite.
    """

    inflections: tuple[float, ...] = ()
    kinks: tuple[float, ...] = ()
    rising: bool | None = None
    odd: bool = False
    branches: tuple[tuple[float, float], ...] = ((-inf, inf),)

    @property
    def convex(self) -> bool:
        raise self._undeclared("convex")

    def derivative(self, x: Values, xp: Any) -> Values:
        """The derivative, entry by entry; arguments as for `value`."""
        raise self._undeclared("derivative")

    def tangents(self, slope: Values, xp: Any) -> list[Values] | None:
        """Where the derivative has a value, entry by entry, if there is a formula for it.

        Every such point is among those given; any number stands for one that does not exist, NaN
        never does. None: they are found by bisection on the derivative.
        """
        return None


class Periodic(Smooth):
    """A smooth function that repeats itself; what it declares takes the place of inflections.

    Attributes
    ----------
    period : float
    extremes : pair of float
        Its least and its largest value.
    steepest : float
        The largest magnitude of its derivative.
    """

    period: float
    extremes: tuple[float, float]
    steepest: float

    convex = True
    """Of no account: `tangents` gives its tangent points within one period."""


class Steps(Elementwise):
    """A function that is constant between jumps and never falls.

    Bounds take every value between those on both sides of a jump for one that is attained there,
    and jumps that lie hardly outside of an interval for ones inside of it: so no bound depends on
    which side of a jump rounding puts a number.

    Attributes
    ----------
    height : float
        Of its highest jump.
    spacing : float
        Least distance between two jumps.
    sided : bool
        Whether the value at every jump is the limit from one of its sides.
    """

    height: float = 1.0
    spacing: float = inf
    sided: bool = True

    def jump_from(self, x: Values, xp: Any) -> Values:
        """The least place of a jump that is not below x; infinite where there is none."""
        raise self._undeclared("jump_from")

    def jump_to(self, x: Values, xp: Any) -> Values:
        """The largest place of a jump that is not above x; infinite where there is none."""
        raise self._undeclared("jump_to")

    def below(self, x: Values, xp: Any) -> Values:
        """The limit of the values from the left."""
        raise self._undeclared("below")

    def above(self, x: Values, xp: Any) -> Values:
        """The limit of the values from the right."""
        raise self._undeclared("above")


def above_zero(slope: Any, xp: Any) -> Any:
    """Slopes, with the least normal number in place of those that no tangent has."""
    return xp.clip(slope, xp.finfo(slope.dtype).tiny, None)
