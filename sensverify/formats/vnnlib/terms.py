"""Numbers and linear terms, in exact rational arithmetic."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?")
_LONGEST_NUMBER = 1000
"""Characters of one number. Python refuses to read much longer integers."""

_BITS = 20_000
"""Most bits of a number that a term gives: repeated products must not fill the memory."""


LARGEST = Fraction(2) ** 1023
"""Beyond it numbers need not fit float64."""


class Variable(NamedTuple):
    """Entry ``place`` of the inputs, where ``kind`` is X, or of the outputs, where it is Y."""

    kind: str
    place: int


@dataclass(frozen=True)
class Linear:
    """``sum(factors[v] * v) + constant``; factors are not zero."""

    factors: Mapping[Variable, Fraction]
    constant: Fraction

    @property
    def too_long(self) -> bool:
        """True where a number in it has more digits than are worked with."""
        return is_long(self.constant) or any(map(is_long, self.factors.values()))


_NONE: Mapping[Variable, Fraction] = {}
_ZERO, _ONE = Fraction(0), Fraction(1)


class NotLinear(Exception):
    """A term that is no linear one; the message says what it does."""


def variable(which: Variable) -> Linear:
    """The term that is one variable."""
    return Linear({which: _ONE}, _ZERO)


def number(token: str) -> Linear | None:
    """The term that is a number; None where the text is none.

    Raises
    ------
    ValueError
        It begins as one, and cannot be read.
    """
    if len(token) <= _LONGEST_NUMBER and _NUMBER.fullmatch(token):
        return Linear(_NONE, Fraction(token))
    if _NUMBER.match(token):
        raise ValueError(token)
    return None


Multiply = Callable[[Linear, Linear], Linear]
"""What a product of two terms with variables is."""


def combined(operator: str, parts: Sequence[Linear], multiply: Multiply | None = None) -> Linear:
    """The sum, difference, product or quotient of one or more terms.

    Parameters
    ----------
    operator : str
    parts : sequence of Linear
    multiply : callable, optional
        Makes a term of a product of variables; default: there is none.

    Raises
    ------
    NotLinear
    """
    if operator == "+":
        value = _sum(parts)
    elif operator == "-":
        rest = [_scaled(part, -_ONE) for part in parts[1:]]
        value = _sum([parts[0], *rest]) if rest else _scaled(parts[0], -_ONE)
    else:
        value = _product(operator, parts, multiply)
    if value.too_long:
        raise NotLinear("holds a number that gets too long")
    return value


def difference(left: Linear, right: Linear) -> Linear:
    """``left - right``."""
    if not right.factors:
        # By far the most common: a variable beside a number.
        return Linear(left.factors, left.constant - right.constant)
    return _sum([left, _scaled(right, -_ONE)])


def _sum(parts: Sequence[Linear]) -> Linear:
    factors: dict[Variable, Fraction] = {}
    constant = _ZERO
    for part in parts:
        constant += part.constant
        for which, factor in part.factors.items():
            factors[which] = factors.get(which, _ZERO) + factor
    return Linear({v: factor for v, factor in factors.items() if factor}, constant)


def _scaled(part: Linear, scale: Fraction) -> Linear:
    if not scale:
        return Linear(_NONE, _ZERO)
    return Linear({v: scale * factor for v, factor in part.factors.items()}, scale * part.constant)


def _product(operator: str, parts: Sequence[Linear], multiply: Multiply | None) -> Linear:
    value = parts[0]
    for part in parts[1:]:
        if operator == "/":
            if part.factors or not part.constant:
                raise NotLinear("divides by something that is not a number other than zero")
            value = _scaled(value, 1 / part.constant)
        elif part.factors and value.factors and multiply is not None:
            value = multiply(value, part)
        elif part.factors and value.factors:
            raise NotLinear("multiplies variables; only linear terms can be decided")
        else:
            value = _scaled(part, value.constant) if part.factors else _scaled(value, part.constant)
        if value.too_long:
            raise NotLinear("holds a number that gets too long")
    return value


def is_long(number: Fraction) -> bool:
    """True where a number has more digits than are worked with."""
    return max(number.numerator.bit_length(), number.denominator.bit_length()) > _BITS
