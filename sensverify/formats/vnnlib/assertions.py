"""Assertions of VNN-LIB 2 as they stand in the text, evaluated as float32 does it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from sensverify.formats.vnnlib.declarations import Declaration, Tensor
from sensverify.formats.vnnlib.parser import Form
from sensverify.formats.vnnlib.terms import Variable

ENTRY = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)(?:\[(\d{1,9}(?:,\d{1,9})*)\])?", re.ASCII)
"""A variable with its places."""

_UNIT, _LEAST = 2.0**-24, 2.0**-149
_JUNCTIONS = ("and", "or")

Values = Callable[[Variable], float]
"""The value, or the largest magnitude, of a variable."""


class Variables(Mapping[str, Variable]):
    """Meaning of names with their places, such as ``X[0,2]``; nothing is listed before."""

    def __init__(self, networks: Sequence[Declaration]) -> None:
        self.tensors: dict[str, tuple[str, Tensor]] = {}
        for network in networks:
            self.tensors.update({tensor.name: ("X", tensor) for tensor in network.inputs})
            self.tensors.update({tensor.name: ("Y", tensor) for tensor in network.given})

    def __getitem__(self, token: str) -> Variable:
        match = ENTRY.fullmatch(token)
        if match is None or match[1] not in self.tensors:
            raise KeyError(token)
        kind, tensor = self.tensors[match[1]]
        places = tuple(int(n) for n in match[2].split(",")) if match[2] else ()
        if len(places) != len(tensor.shape) or any(
            place >= length for place, length in zip(places, tensor.shape, strict=True)
        ):
            raise KeyError(token)
        place = 0
        for own, length in zip(places, tensor.shape, strict=True):
            place = place * length + own
        return Variable(kind, tensor.start + place)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


@dataclass(frozen=True)
class Assertions:
    """Formulas with comparisons of terms, all of which have to hold.

    Parameters
    ----------
    formulas : tuple of Form
        As version 1 writes them.
    variables : Variables
    """

    formulas: tuple[Form, ...]
    variables: Variables

    def hold(self, values: Values) -> bool:
        """Whether all hold where every operation is rounded to float32, sums from left to right.

        NaN and infinity meet nothing.
        """
        with np.errstate(all="ignore"):
            return all(self._holds(formula, values) for formula in self.formulas)

    def rounding(self, largest: Values) -> float:
        """By how much float32 may move the difference of two sides of some comparison, at most.

        Parameters
        ----------
        largest : callable
            Largest magnitude of a variable; its own error is not counted.
        """
        found = 0.0
        for comparison in self._comparisons(self.formulas):
            if self._inputs_alone(comparison) and not self._computes(comparison):
                # Bounds of inputs are rounded with the box.
                continue
            sides = [self._error(side, largest) for side in comparison[1:]]
            found = max(found, sum(error for _, error in sides))
        return found * (1 + 2.0**-20)

    def compute_with_inputs(self, *, several: bool) -> bool:
        """Whether a bound of an input adds, or multiplies by something else than 1 or -1.

        Parameters
        ----------
        several : bool
            Relations of several inputs are bounds, too.
        """
        return any(
            self._inputs_alone(each, several=several)
            and self._computes(each)
            # A product of variables bounds none of them.
            and not any(map(self._multiplies, each[1:]))
            for each in self._comparisons(self.formulas)
        )

    def bounds_rounding(
        self, largest: Values, places: Sequence[int], *, several: bool, chain: int
    ) -> float:
        """By how much float32 may move the ends of inputs that comparisons of inputs bound.

        Parameters
        ----------
        largest : callable
            Largest magnitude of an input.
        places : sequence of int
            Of every input; equal ones have the same.
        several : bool
            Relations of several inputs are bounds, too.
        chain : int
            Longest chain of inputs that are bounded by each other.
        """
        own = max((_UNIT * largest(Variable("X", i)) for i in range(len(places))), default=0.0)
        gain = 0.0
        for comparison in self._comparisons(self.formulas):
            if not self._inputs_alone(comparison, several=several):
                continue
            if any(map(self._multiplies, comparison[1:])):
                # A product of variables bounds none of them.
                continue
            factors = self._factors(comparison, places)
            if not factors:
                continue
            sides = [self._error(side, largest) for side in comparison[1:]]
            least, whole = min(map(abs, factors)), sum(map(abs, factors))
            own = max(own, sum(error for _, error in sides) / float(least))
            gain = max(gain, float((whole - least) / least))
        return own * sum(gain**k for k in range(chain + 1)) * (1 + 2.0**-20)

    def _factors(self, comparison: Form, places: Sequence[int]) -> list[Fraction]:
        """Factors of inputs in the difference of the two sides, without those that are 0."""
        total: dict[int, Fraction] = {}

        def add(term: Any, scale: Fraction) -> Fraction:
            """Add a term, and return its constant."""
            if not isinstance(term, Form):
                which = self.variables.get(term)
                if which is None:
                    return scale * Fraction(term)
                place = places[which.place]
                total[place] = total.get(place, Fraction(0)) + scale
                return Fraction(0)
            first, *rest = term[1:]
            if term[0] == "*":
                varying = [p for p in term[1:] if any(map(self._is_variable, _tokens([p])))]
                numbers = [_constant(p) for p in term[1:] if p not in varying]
                scale *= prod(numbers, start=Fraction(1))
                return add(varying[0], scale) if varying else scale
            if not rest:
                return add(first, -scale if term[0] == "-" else scale)
            sign = -1 if term[0] == "-" else 1
            return add(first, scale) + sum(add(part, sign * scale) for part in rest)

        add(comparison[1], Fraction(1))
        add(comparison[2], Fraction(-1))
        return [factor for factor in total.values() if factor]

    def _holds(self, formula: Form, values: Values) -> bool:
        head = formula[0]
        if head in _JUNCTIONS:
            parts = (self._holds(part, values) for part in formula[1:])
            return all(parts) if head == "and" else any(parts)
        left, right = (self._value(side, values) for side in formula[1:])
        if not (np.isfinite(left) and np.isfinite(right)):
            return False
        return bool(_COMPARE[head](left, right))

    def _value(self, term: Any, values: Values) -> np.float32:
        if not isinstance(term, Form):
            which = self.variables.get(term)
            return np.float32(_nearest(term) if which is None else values(which))
        parts = [self._value(part, values) for part in term[1:]]
        if term[0] == "-" and len(parts) == 1:
            return np.float32(-parts[0])
        total = parts[0]
        for part in parts[1:]:
            total = np.float32(_COMPUTE[term[0]](total, part))
        return total

    def _error(self, term: Any, largest: Values) -> tuple[float, float]:
        """Largest magnitude of a term, and of its error by rounding."""
        if not isinstance(term, Form):
            which = self.variables.get(term)
            if which is not None:
                return largest(which), 0.0
            size = abs(float(Fraction(term)))
            return size, _UNIT * size + _LEAST
        parts = [self._error(part, largest) for part in term[1:]]
        size, error = parts[0]
        for other, more in parts[1:]:
            if term[0] == "*":
                error = size * more + other * error + error * more
                size = size * other
            else:
                size, error = size + other, error + more
            error += _UNIT * (size + error) + _LEAST
        return size, error

    def _inputs_alone(self, comparison: Form, *, several: bool = False) -> bool:
        tokens = _tokens(comparison[1:])
        found = {w for token in tokens if (w := self.variables.get(token)) is not None}
        return {which.kind for which in found} == {"X"} and (several or len(found) == 1)

    def _computes(self, term: Any) -> bool:
        if not isinstance(term, Form):
            return False
        ones = all(_is_one(p) or self._is_variable(p) for p in term[1:])
        plain = term[0] == "*" and ones and sum(not _is_one(p) for p in term[1:]) <= 1
        own = term[0] in _COMPUTE and len(term) > 2 and not plain
        return own or any(self._computes(part) for part in term[1:])

    def _multiplies(self, term: Any) -> bool:
        if not isinstance(term, Form):
            return False
        varying = [p for p in term[1:] if any(map(self._is_variable, _tokens([p])))]
        return (term[0] == "*" and len(varying) > 1) or any(map(self._multiplies, term[1:]))

    def _is_variable(self, token: Any) -> bool:
        return not isinstance(token, Form) and self.variables.get(token) is not None

    def _comparisons(self, formulas: Any) -> Iterator[Form]:
        for formula in formulas:
            if formula[0] in _JUNCTIONS:
                yield from self._comparisons(formula[1:])
            else:
                yield formula


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "<": np.less,
    ">": np.greater,
    "=": np.equal,
    "!=": np.not_equal,
}
_COMPUTE: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
}


def _constant(term: Any) -> Fraction:
    """The value of a term without variables."""
    if not isinstance(term, Form):
        return Fraction(term)
    first, *rest = (_constant(part) for part in term[1:])
    if term[0] == "*":
        return prod(rest, start=first)
    if term[0] == "+":
        return first + sum(rest)
    return first - sum(rest) if rest else -first


def _is_one(token: Any) -> bool:
    if isinstance(token, Form):
        return False
    try:
        return abs(Fraction(token)) == 1
    except ValueError:
        return False


def _nearest(token: str) -> np.float32:
    """The float32 number nearest to a decimal one, ties to even, without rounding twice."""
    exact = Fraction(token)
    with np.errstate(over="ignore"):
        near = np.float32(float(exact))
    around = [np.nextafter(near, np.float32(end)) for end in (-np.inf, np.inf)]
    choices = [each for each in (near, *around) if np.isfinite(each)]
    if not choices:
        return near
    return min(choices, key=lambda each: (abs(Fraction(float(each)) - exact), _odd(each)))


def _odd(value: np.float32) -> int:
    return int(np.float32(value).view(np.int32) & 1)


def _tokens(terms: Any) -> Iterator[str]:
    for term in terms:
        if isinstance(term, Form):
            yield from _tokens(term[1:])
        else:
            yield str(term)
