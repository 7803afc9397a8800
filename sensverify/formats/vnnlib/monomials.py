"""Products of variables, each as a variable of its own: polynomials become linear terms."""

from __future__ import annotations

from fractions import Fraction

from sensverify.formats.vnnlib.terms import Linear, NotLinear, Variable, is_long

_DEGREE = 8
"""Most variables of one product."""

_MOST = 4096
"""Most products of one text."""


class Monomials:
    """The products of variables that a text names.

    Parameters
    ----------
    first : int
        Place among the outputs that the first product gets.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._known: dict[tuple[Variable, ...], Variable] = {}

    @property
    def factors(self) -> tuple[tuple[Variable, ...], ...]:
        """The variables of every product, in order of their places."""
        return tuple(self._known)

    def multiply(self, left: Linear, right: Linear) -> Linear:
        """The product of two terms, with a variable for each product of variables.

        Raises
        ------
        NotLinear
            There are too many, or one has too many variables.
        """
        total: dict[Variable, Fraction] = {}

        def add(which: Variable, factor: Fraction) -> None:
            total[which] = total.get(which, Fraction(0)) + factor

        for one, factor in left.factors.items():
            add(one, factor * right.constant)
            for other, second in right.factors.items():
                add(self._variable(one, other), factor * second)
        for other, second in right.factors.items():
            add(other, second * left.constant)
        constant = left.constant * right.constant
        if is_long(constant) or any(map(is_long, total.values())):
            raise NotLinear("holds a number that gets too long")
        return Linear({which: factor for which, factor in total.items() if factor}, constant)

    def _variable(self, one: Variable, other: Variable) -> Variable:
        key = tuple(sorted((*self._parts(one), *self._parts(other))))
        if len(key) > _DEGREE:
            raise NotLinear(f"multiplies more than {_DEGREE} variables")
        if key not in self._known:
            if len(self._known) >= _MOST:
                raise NotLinear(f"is one of more than {_MOST:,} products of variables")
            self._known[key] = Variable("Y", self._first + len(self._known))
        return self._known[key]

    def _parts(self, which: Variable) -> tuple[Variable, ...]:
        if which.kind == "Y" and which.place >= self._first:
            return self.factors[which.place - self._first]
        return (which,)
