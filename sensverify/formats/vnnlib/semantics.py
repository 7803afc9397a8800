"""Meaning of a form: a linear term, or a formula of linear constraints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce
from itertools import combinations, pairwise, product
from typing import Any

from sensverify.errors import BadProperty
from sensverify.formats.vnnlib.formula import (
    ALWAYS,
    CASES,
    FALSE,
    NEVER,
    Cases,
    Constraint,
    Formula,
    InputBound,
    Relation,
    TooLarge,
    Truth,
    all_of,
    any_of,
    cases_of,
    differ,
)
from sensverify.formats.vnnlib.parser import Form, Source, quoted
from sensverify.formats.vnnlib.terms import (
    LARGEST,
    Linear,
    Multiply,
    NotLinear,
    Variable,
    combined,
    difference,
    number,
    variable,
)

_BRANCHES = 4096
"""Most values that a term may have by way of "ite"."""

_ARITHMETIC = ("+", "-", "*", "/")
_ORDERS = ("<=", "<", ">=", ">")
_SAME = ("=", "!=", "distinct")
_SYMBOL = re.compile(r"[A-Za-z~!@$%^&*_\-+=<>.?/][\w~!@$%^&*\-+=<>.?/]*|\|[^|]*\|", re.ASCII)


@dataclass(frozen=True)
class Term:
    """A linear term for each of some conditions, of which always one holds."""

    branches: tuple[tuple[Truth, Linear], ...]


Value = Truth | Term


@dataclass(frozen=True)
class Scope:
    """Meaning of names, and the text that messages point to.

    Parameters
    ----------
    source : Source
    variables : mapping of str to Variable
        The names that were declared.
    named : mapping of str to Truth or Term
        Values named by "let" and "define-fun". They come first.
    multiply : callable, optional
        Makes a term of a product of variables; see `combined`.
    """

    source: Source
    variables: Mapping[str, Variable]
    named: Mapping[str, Value] = field(default_factory=dict)
    multiply: Multiply | None = None

    def error(self, problem: str, position: int, remedy: str = "") -> BadProperty:
        """See `Source.error`."""
        return self.source.error(problem, position, remedy)


def assertion_cases(expression: Any, scope: Scope, position: int) -> Cases:
    """The cases in which a formula holds.

    Parameters
    ----------
    expression : Form or str
    scope : Scope
    position : int
        Position in the text that messages point to when the expression is a name.

    Raises
    ------
    BadProperty
        It is no formula of linear constraints, or has too many cases; says where and what.
    """
    try:
        return cases_of(_truth(expression, scope, position).yes)
    except TooLarge as error:
        raise scope.error(error.problem, position, error.remedy) from None


def expression_value(expression: Any, scope: Scope, position: int) -> Value:
    """The value of an expression of either sort; see `assertion_cases`."""
    try:
        return _value(expression, scope, position)
    except TooLarge as error:
        raise scope.error(error.problem, position, error.remedy) from None


def is_symbol(name: Any) -> bool:
    """True where an item of a form is a symbol, which a value can be given to."""
    return isinstance(name, str) and _SYMBOL.fullmatch(name) is not None


def _truth(expression: Any, scope: Scope, position: int) -> Truth:
    value = _value(expression, scope, position)
    if not isinstance(value, Truth):
        raise scope.error(f"expected a formula, got {quoted(expression)}", position)
    return value


def _value(expression: Any, scope: Scope, position: int) -> Value:
    if not isinstance(expression, Form):
        return _atom(expression, scope, position)
    position = expression.position
    head = expression[0] if expression else None
    if not isinstance(head, str):
        raise scope.error(f"expected a formula or a term, got {quoted(expression)}", position)
    if head in _ARITHMETIC:
        return _arithmetic(expression, scope)
    if head in _ORDERS or head in _SAME:
        return _comparison(expression, scope)
    read = _FORMS.get(head)
    if read is None:
        known = ", ".join((*_FORMS, *_ORDERS, *_SAME, *_ARITHMETIC))
        raise scope.error(f"unknown operator {quoted(head)}; there are {known}", position)
    return read(expression, scope)


def _atom(token: str, scope: Scope, position: int) -> Value:
    if token in scope.named:
        return scope.named[token]
    which = scope.variables.get(token)
    if which is not None:
        return Term(((ALWAYS, variable(which)),))
    if token in ("true", "false"):
        return ALWAYS if token == "true" else NEVER
    try:
        value = number(token)
    except ValueError:
        raise scope.error(f"{quoted(token)} is no number that can be read", position) from None
    if value is None:
        raise scope.error(f"unknown name {quoted(token)}", position, "declare it before it is used")
    return Term(((ALWAYS, value),))


def _arithmetic(form: Form, scope: Scope) -> Term:
    if len(form) < 2:
        raise scope.error(f"expected a term, got {quoted(form)}", form.position)
    parts = _terms([_value(part, scope, form.position) for part in form[1:]], form, scope)
    try:
        return Term(
            tuple(
                (guard, combined(form[0], values, scope.multiply))
                for guard, values in _branches(parts, form, scope)
            )
        )
    except NotLinear as error:
        raise scope.error(f"{quoted(form)} {error}", form.position) from None


def _terms(values: Sequence[Value], form: Form, scope: Scope) -> list[Term]:
    """The values of a form's parts, which have to be terms."""
    for value, part in zip(values, form[1:], strict=True):
        if not isinstance(value, Term):
            raise scope.error(f"expected a term, got {quoted(part)}", form.position)
    return [value for value in values if isinstance(value, Term)]


def _check_branches(count: int, form: Form, scope: Scope) -> None:
    if count > _BRANCHES:
        raise scope.error(
            f"{quoted(form)} has more than {_BRANCHES:,} values by way of ite", form.position
        )


def _branches(
    terms: Sequence[Term], form: Form, scope: Scope
) -> Iterable[tuple[Truth, tuple[Linear, ...]]]:
    """The values that some terms have together, each with its condition."""
    count = 1
    for term in terms:
        count *= len(term.branches)
        _check_branches(count, form, scope)
    if count == 1:
        yield terms[0].branches[0][0], tuple(term.branches[0][1] for term in terms)
        return
    for chosen in product(*(term.branches for term in terms)):
        yield all_of(guard for guard, _ in chosen), tuple(value for _, value in chosen)


def _choice(branches: Iterable[tuple[Truth, Truth]]) -> Truth:
    """The formula of whichever condition holds; always exactly one does."""
    found = list(branches)
    if len(found) == 1:
        return found[0][1]
    yes = any_of(all_of(pair) for pair in found).yes
    return Truth(yes, any_of(all_of((guard, what.negated())) for guard, what in found).yes)


def _comparison(form: Form, scope: Scope) -> Truth:
    """A comparison of two parts, or of more: as in SMT-LIB."""
    operator, parts = form[0], form[1:]
    if len(parts) < 2 or (operator == "!=" and len(parts) > 2):
        raise scope.error(f"{quoted(form)} does not compare two terms", form.position)
    values = [_value(part, scope, form.position) for part in parts]
    truths = [value for value in values if isinstance(value, Truth)]
    formulas = len(truths) == len(values) and operator not in _ORDERS
    terms = [] if formulas else _terms(values, form, scope)
    if operator not in ("!=", "distinct"):
        if truths:
            return all_of(differ(*pair).negated() for pair in pairwise(truths))
        return all_of(_compared(operator, pair, form, scope) for pair in pairwise(terms))
    if len(parts) * (len(parts) - 1) // 2 > CASES:
        raise TooLarge(f"{len(parts):,} terms that differ from each other are too many")
    if truths:
        return differ(*truths) if len(truths) == 2 else NEVER
    pairs = combinations(terms, 2)
    return all_of(_compared("=", pair, form, scope).negated() for pair in pairs)


def _compared(operator: str, pair: Sequence[Term], form: Form, scope: Scope) -> Truth:
    def held(left: Linear, right: Linear) -> Truth:
        gap = difference(left, right)
        if operator == "=":
            return all_of(_at_most(gap, sign, False, form, scope) for sign in (1, -1))
        sign = 1 if operator in ("<=", "<") else -1
        return _at_most(gap, sign, operator in ("<", ">"), form, scope)

    return _choice((guard, held(*values)) for guard, values in _branches(pair, form, scope))


def _at_most(gap: Linear, sign: int, strict: bool, form: Form, scope: Scope) -> Truth:
    """``sign * gap <= 0``, or ``< 0``."""
    if not gap.factors:
        value = sign * gap.constant
        return ALWAYS if (value < 0 if strict else value <= 0) else NEVER
    return Truth(
        _constraint(gap, sign, strict, form, scope),
        _constraint(gap, -sign, not strict, form, scope),
    )


def _constraint(gap: Linear, sign: int, strict: bool, form: Form, scope: Scope) -> Formula:
    """The same as a bound of one input, a constraint on the outputs, or what relates inputs."""
    inputs = {which.place: factor for which, factor in gap.factors.items() if which.kind == "X"}
    if len(inputs) == len(gap.factors) == 1:
        ((place, factor),) = inputs.items()
        limit = -gap.constant / factor if factor != 1 else -gap.constant
        _check_range((limit,), form, scope)
        return InputBound(place, (factor > 0) == (sign > 0), limit, strict)
    outputs = {which.place: factor for which, factor in gap.factors.items() if which.kind == "Y"}
    limit = -sign * gap.constant
    _check_range((limit, *gap.factors.values()), form, scope)
    if not inputs:
        return Constraint(_pairs(outputs, sign), limit, strict)
    on_inputs, on_outputs = _pairs(inputs, sign), _pairs(outputs, sign)
    return Relation(on_inputs, on_outputs, limit, strict, form.position, quoted(form))


def _pairs(factors: Mapping[int, Fraction], sign: int) -> tuple[tuple[int, Fraction], ...]:
    return tuple(sorted((place, sign * factor) for place, factor in factors.items()))


def _check_range(numbers: Iterable[Fraction], form: Form, scope: Scope) -> None:
    if any(abs(number) > LARGEST for number in numbers):
        raise scope.error(f"a number in {quoted(form)} does not fit float64", form.position)


def _and(form: Form, scope: Scope) -> Truth:
    return all_of(_truths(form, scope, 0))


def _or(form: Form, scope: Scope) -> Truth:
    return any_of(_truths(form, scope, 0))


def _not(form: Form, scope: Scope) -> Truth:
    if len(form) != 2:
        raise scope.error(f"{quoted(form)} does not negate one formula", form.position)
    return _truth(form[1], scope, form.position).negated()


def _implies(form: Form, scope: Scope) -> Truth:
    """``(=> a b c)`` is ``a => (b => c)``: c, or one of the others is false."""
    *premises, last = _truths(form, scope, 2)
    return any_of([*(part.negated() for part in premises), last])


def _xor(form: Form, scope: Scope) -> Truth:
    return reduce(differ, _truths(form, scope, 2))


def _truths(form: Form, scope: Scope, least: int) -> list[Truth]:
    if len(form) <= least:
        raise scope.error(f"{quoted(form)} needs {least} formulas", form.position)
    return [_truth(part, scope, form.position) for part in form[1:]]


def _ite(form: Form, scope: Scope) -> Value:
    if len(form) != 4:
        raise scope.error(f"{quoted(form)} is not (ite condition this that)", form.position)
    condition = _truth(form[1], scope, form.position)
    this, that = (_value(part, scope, form.position) for part in form[2:])
    guards = condition, condition.negated()
    if isinstance(this, Truth) and isinstance(that, Truth):
        return _choice(zip(guards, (this, that), strict=True))
    if isinstance(this, Truth) or isinstance(that, Truth):
        raise scope.error(f"{quoted(form)} chooses between a formula and a term", form.position)
    branches = [
        (all_of((guard, inner)), value)
        for guard, term in zip(guards, (this, that), strict=True)
        for inner, value in term.branches
    ]
    _check_branches(len(branches), form, scope)
    return Term(tuple(branch for branch in branches if branch[0].yes is not FALSE))


def _let(form: Form, scope: Scope) -> Value:
    """``(let ((name value) ...) body)``: the values do not see each other's names."""
    bindings = form[1] if len(form) == 3 else None
    if not isinstance(bindings, Form):
        raise scope.error(f"{quoted(form)} is not (let ((name value) ...) body)", form.position)
    named: dict[str, Value] = {}
    for binding in bindings:
        if not isinstance(binding, Form) or len(binding) != 2 or not is_symbol(binding[0]):
            raise scope.error(f"{quoted(binding)} does not name a value", bindings.position)
        if binding[0] in named:
            raise scope.error(f"{quoted(binding[0])} is named twice", binding.position)
        named[binding[0]] = _value(binding[1], scope, binding.position)
    return _value(form[2], replace(scope, named={**scope.named, **named}), form.position)


def _annotated(form: Form, scope: Scope) -> Value:
    """``(! what :attribute ...)``: attributes say nothing about the answer."""
    if len(form) < 2:
        raise scope.error(f"{quoted(form)} annotates nothing", form.position)
    return _value(form[1], scope, form.position)


_FORMS: dict[str, Callable[[Form, Scope], Value]] = {
    "and": _and,
    "or": _or,
    "not": _not,
    "=>": _implies,
    "xor": _xor,
    "ite": _ite,
    "let": _let,
    "!": _annotated,
}
