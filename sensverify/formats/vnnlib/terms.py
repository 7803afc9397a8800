"""Numbers and linear terms, in exact rational arithmetic."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from sensverify.formats.vnnlib.reader import Form, Source, shown

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?")
_LONGEST_NUMBER = 1000
"""Characters of one number. Python refuses to read much longer integers."""

_BITS = 20_000
"""Of a number that comes out of a term: repeated products must not fill the memory."""


class Variable(NamedTuple):
    """Entry ``place`` of the inputs, where ``kind`` is X, or of the outputs, where it is Y."""

    kind: str
    place: int


@dataclass(frozen=True)
class Linear:
    """``sum(factors[v] * v) + constant``; factors are not zero."""

    factors: Mapping[Variable, Fraction]
    constant: Fraction


@dataclass(frozen=True)
class Scope:
    """What a name in a term means, and where messages point to."""

    source: Source
    variables: Mapping[str, Variable]


_NONE: Mapping[Variable, Fraction] = {}
_ZERO, _ONE = Fraction(0), Fraction(1)


def linear(expression: Any, scope: Scope, position: int) -> Linear:
    """A term with its products multiplied out.

    Parameters
    ----------
    expression : Form or str
    scope : Scope
    position : int
        Where messages point to when the expression is a name or a number.

    Raises
    ------
    BadProperty
        It is not linear, divides by zero, or holds an unknown name or operator.
    """
    if not isinstance(expression, Form):
        return _atom(expression, scope, position)
    position = expression.position
    if len(expression) < 2 or isinstance(expression[0], Form):
        raise scope.source.error(f"expected a term, got {shown(expression)}", position)
    operator = expression[0]
    parts = [linear(part, scope, position) for part in expression[1:]]
    if operator == "+":
        value = _sum(parts)
    elif operator == "-":
        rest = [_scaled(part, Fraction(-1)) for part in parts[1:]]
        value = _sum([parts[0], *rest]) if rest else _scaled(parts[0], Fraction(-1))
    elif operator in ("*", "/"):
        value = _product(operator, parts, expression, scope)
    else:
        raise scope.source.error(
            f"unknown operator {shown(operator)} in a term; there are + - * /", position
        )
    if any(_bits(number) > _BITS for number in (value.constant, *value.factors.values())):
        raise scope.source.error(f"a number in {shown(expression)} gets too long", position)
    return value


def _atom(token: str, scope: Scope, position: int) -> Linear:
    variable = scope.variables.get(token)
    if variable is not None:
        return Linear({variable: _ONE}, _ZERO)
    if len(token) <= _LONGEST_NUMBER and _NUMBER.fullmatch(token):
        return Linear(_NONE, Fraction(token))
    if _NUMBER.match(token):
        raise scope.source.error(f"{shown(token)} is no number that can be read", position)
    raise scope.source.error(f"unknown name {shown(token)}; declare it before it is used", position)


def _sum(parts: Sequence[Linear]) -> Linear:
    factors: dict[Variable, Fraction] = {}
    constant = _ZERO
    for part in parts:
        constant += part.constant
        for variable, factor in part.factors.items():
            factors[variable] = factors.get(variable, _ZERO) + factor
    return Linear({v: factor for v, factor in factors.items() if factor}, constant)


def _scaled(part: Linear, scale: Fraction) -> Linear:
    if not scale:
        return Linear(_NONE, _ZERO)
    return Linear({v: scale * factor for v, factor in part.factors.items()}, scale * part.constant)


def _product(operator: str, parts: Sequence[Linear], form: Form, scope: Scope) -> Linear:
    value = parts[0]
    for part in parts[1:]:
        if operator == "/":
            if part.factors or not part.constant:
                raise scope.source.error(
                    f"{shown(form)} divides by something that is not a number other than zero",
                    form.position,
                )
            value = _scaled(value, 1 / part.constant)
        elif part.factors and value.factors:
            raise scope.source.error(
                f"{shown(form)} multiplies variables; only linear terms can be decided",
                form.position,
            )
        else:
            value = _scaled(part, value.constant) if part.factors else _scaled(value, part.constant)
        if any(_bits(number) > _BITS for number in (value.constant, *value.factors.values())):
            raise scope.source.error(f"a number in {shown(form)} gets too long", form.position)
    return value


def difference(left: Linear, right: Linear) -> Linear:
    """``left - right``."""
    if not right.factors:
        # By far the most common: a variable beside a number.
        return Linear(left.factors, left.constant - right.constant)
    return _sum([left, _scaled(right, Fraction(-1))])


def _bits(number: Fraction) -> int:
    return max(number.numerator.bit_length(), number.denominator.bit_length())
