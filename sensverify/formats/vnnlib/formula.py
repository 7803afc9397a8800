"""Asserted formulas as cases: conjunctions of constraints, one of which has to hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from sensverify.formats.vnnlib.reader import Form, shown
from sensverify.formats.vnnlib.terms import Linear, Scope, difference, linear

CASES = 100_000
"""Most cases a property may have once its formulas are multiplied out."""

_ATOMS = 10_000_000
"""Most constraints in all cases together: they are held in memory."""

_LARGEST = Fraction(2) ** 1023
"""Beyond it numbers need not fit float64."""


@dataclass(frozen=True, slots=True)
class InputBound:
    """``X_index <= limit``, or ``>=`` where not ``upper``; without equality where ``strict``."""

    index: int
    upper: bool
    limit: Fraction
    strict: bool


@dataclass(frozen=True, slots=True)
class Constraint:
    """``sum(factor * Y_index) <= limit``, or ``<`` where ``strict``, in exact numbers.

    ``factors`` holds pairs of index and factor, by index; there is at least one.
    """

    factors: tuple[tuple[int, Fraction], ...]
    limit: Fraction
    strict: bool


Atom = InputBound | Constraint
Cases = list[tuple[Atom, ...]]
"""One of them has to hold. None: false. An empty one: true."""

_OPERATORS = ("<=", ">=", "<", ">", "=", "!=", "distinct")


def cases_of(expression: Any, scope: Scope, position: int) -> Cases:
    """A formula in disjunctive normal form.

    Raises
    ------
    BadProperty
        The formula has too many cases, an operator that is not known, a constraint that is not
        linear, or one on the inputs that bounds more than one of them.
    """
    if expression in ("true", "false"):
        return [()] if expression == "true" else []
    if not isinstance(expression, Form) or not expression or isinstance(expression[0], Form):
        raise scope.source.error(f"expected a formula, got {shown(expression)}", position)
    position = expression.position
    operator, parts = expression[0], expression[1:]
    if operator in _OPERATORS:
        return _comparison(expression, scope)
    if operator not in ("and", "or"):
        raise scope.source.error(
            f"unknown operator {shown(operator)} in a formula; there are and, or, "
            f"{', '.join(_OPERATORS)}",
            position,
        )
    made = [cases_of(part, scope, position) for part in parts]
    try:
        return conjunction(made) if operator == "and" else _disjunction(made)
    except OverflowError as error:
        raise scope.source.error(str(error), position) from None


def conjunction(parts: Sequence[Cases]) -> Cases:
    """The cases in which every part holds.

    Raises
    ------
    OverflowError
        There are too many; the message says so.
    """
    # What has one case is gathered first: copying it once for each of thousands would be slow.
    shared = tuple(atom for part in parts if len(part) == 1 for atom in part[0])
    cases: Cases = [shared]
    for part in parts:
        if len(part) != 1:
            atoms = len(part) * sum(map(len, cases)) + len(cases) * sum(map(len, part))
            _check_size(len(cases) * len(part), atoms)
            cases = [one + other for one in cases for other in part]
    return cases


def _disjunction(parts: Iterable[Cases]) -> Cases:
    cases = [case for part in parts for case in part]
    _check_size(len(cases), sum(map(len, cases)))
    return cases


def _check_size(cases: int, atoms: int) -> None:
    if cases > CASES:
        raise OverflowError(
            f"the formula has more than {CASES:,} cases once it is multiplied out; split the "
            "property into several files"
        )
    if atoms > _ATOMS:
        raise OverflowError(
            f"the formula has more than {_ATOMS:,} constraints once it is multiplied out; split "
            "the property into several files"
        )


def _comparison(form: Form, scope: Scope) -> Cases:
    """A comparison of two terms, or of more: as in SMT-LIB each with the next."""
    operator, terms = form[0], form[1:]
    if len(terms) < 2 or (len(terms) > 2 and operator in ("!=", "distinct")):
        raise scope.source.error(f"{shown(form)} does not compare two terms", form.position)
    values = [linear(term, scope, form.position) for term in terms]
    if operator in ("!=", "distinct"):
        gap = difference(*values)
        return _disjunction([_atom(gap, True, sign, form, scope) for sign in (1, -1)])
    signs = {"<": (1,), "<=": (1,), ">": (-1,), ">=": (-1,), "=": (1, -1)}[operator]
    strict = operator in ("<", ">")
    made = [
        _atom(difference(left, right), strict, sign, form, scope)
        for left, right in pairwise(values)
        for sign in signs
    ]
    return made[0] if len(made) == 1 else conjunction(made)


def _atom(gap: Linear, strict: bool, sign: int, form: Form, scope: Scope) -> Cases:
    """``sign * gap <= 0`` (or ``< 0``) as a bound of one input or a constraint on the outputs."""
    if not gap.factors:
        value = sign * gap.constant
        return [()] if (value < 0 if strict else value <= 0) else []
    kinds = {variable.kind for variable in gap.factors}
    if kinds == {"X"} and len(gap.factors) == 1:
        ((variable, factor),) = gap.factors.items()
        limit = -gap.constant / factor if factor != 1 else -gap.constant
        _check_range((limit,), form, scope)
        return [(InputBound(variable.place, (factor > 0) == (sign > 0), limit, strict),)]
    if "X" in kinds:
        what = "relates inputs with outputs" if "Y" in kinds else "relates several inputs"
        raise scope.source.error(
            f"{shown(form)} {what}; only boxes of inputs can be decided: bounds on one X each",
            form.position,
        )
    pairs = sorted((variable.place, sign * factor) for variable, factor in gap.factors.items())
    limit = -sign * gap.constant
    _check_range((limit, *(factor for _, factor in pairs)), form, scope)
    return [(Constraint(tuple(pairs), limit, strict),)]


def _check_range(numbers: Iterable[Fraction], form: Form, scope: Scope) -> None:
    if any(abs(number) > _LARGEST for number in numbers):
        raise scope.source.error(f"a number in {shown(form)} does not fit float64", form.position)
