"""Formulas: constraints joined by and and or, and the cases that they come to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from sensverify.errors import BadProperty

CASES = 100_000
"""Most cases a property may have once its formulas are multiplied out."""

_ATOMS = 10_000_000
"""Most constraints in all cases together: they are held in memory."""

SPLIT = "split the property into several files"
"""Remedy for a property that is too large."""

_DEPTH = 250
"""Deepest nesting of formulas, those that names stand for included."""


class TooLarge(BadProperty):
    """A property has more cases, constraints or levels than are worked out."""


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


@dataclass(frozen=True, slots=True)
class Relation:
    """``inputs + outputs <= limit``, or ``<`` where ``strict``: what needs fixed inputs.

    Both sums are pairs of index and factor, as in `Constraint`. There is an input, and something
    beside it. ``position`` is where the text says so, and ``quoted`` is how a message quotes it.
    """

    inputs: tuple[tuple[int, Fraction], ...]
    outputs: tuple[tuple[int, Fraction], ...]
    limit: Fraction
    strict: bool
    position: int = field(compare=False)
    quoted: str = field(compare=False)


Atom = InputBound | Constraint | Relation
Cases = list[tuple[Atom, ...]]
"""One of them has to hold. None: false. An empty one: true."""


@dataclass(frozen=True, slots=True)
class Junction:
    """A conjunction of formulas where ``every``, else a disjunction.

    ``cases`` and ``atoms`` are the numbers of cases and constraints of its disjunctive normal
    form, counted up to more than may be. They are known without multiplying out: names may stand
    for one part many times.
    """

    every: bool
    parts: tuple[Formula, ...]
    depth: int
    cases: int
    atoms: int


Formula = Atom | Junction
TRUE, FALSE = Junction(True, (), 0, 1, 0), Junction(False, (), 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Truth:
    """A formula and its negation; neither holds a "not"."""

    yes: Formula
    no: Formula

    def negated(self) -> Truth:
        """The opposite."""
        return Truth(self.no, self.yes)


ALWAYS, NEVER = Truth(TRUE, FALSE), Truth(FALSE, TRUE)


def all_of(parts: Iterable[Truth]) -> Truth:
    """True where every part is.

    Raises
    ------
    TooLarge
        They are nested too deep.
    """
    found = tuple(parts)
    yes = _junction(True, [part.yes for part in found])
    return Truth(yes, _junction(False, [part.no for part in found]))


def any_of(parts: Iterable[Truth]) -> Truth:
    """True where some part is; errors as `all_of`."""
    return all_of([part.negated() for part in parts]).negated()


def differ(left: Truth, right: Truth) -> Truth:
    """True where one of the two is; errors as `all_of`."""
    return any_of([all_of([left, right.negated()]), all_of([left.negated(), right])])


def _junction(every: bool, parts: Iterable[Formula]) -> Formula:
    neutral, other = (TRUE, FALSE) if every else (FALSE, TRUE)
    members = [part for part in parts if part is not neutral]
    if any(part is other for part in members):
        return other
    if len(members) == 1:
        return members[0]
    if not members:
        return neutral
    depth = 1 + max(part.depth if isinstance(part, Junction) else 0 for part in members)
    if depth > _DEPTH:
        raise TooLarge(f"the formula is nested more than {_DEPTH} deep")
    cases, atoms = (1, 0) if every else (0, 0)
    for part in members:
        own, inside = (part.cases, part.atoms) if isinstance(part, Junction) else (1, 1)
        if every:
            cases, atoms = cases * own, atoms * own + cases * inside
        else:
            cases, atoms = cases + own, atoms + inside
        cases, atoms = min(cases, CASES + 1), min(atoms, _ATOMS + 1)
    return Junction(every, tuple(members), depth, cases, atoms)


def cases_of(formula: Formula) -> Cases:
    """A formula in disjunctive normal form.

    Raises
    ------
    TooLarge
        There are too many cases; the message says so.
    """
    if not isinstance(formula, Junction):
        return [(formula,)]
    _check_size(formula.cases, formula.atoms)
    made = [cases_of(part) for part in formula.parts]
    return conjunction(made) if formula.every else [case for part in made for case in part]


def conjunction(parts: Sequence[Cases]) -> Cases:
    """The cases in which every part holds.

    Raises
    ------
    TooLarge
        There are too many; the message says so.
    """
    # What has one case is gathered first: copying it once for each of thousands would be slow.
    single = [part[0] for part in parts if len(part) == 1]
    _check_size(1, sum(map(len, single)))
    cases: Cases = [tuple(atom for case in single for atom in case)]
    for part in parts:
        if len(part) != 1:
            atoms = len(part) * sum(map(len, cases)) + len(cases) * sum(map(len, part))
            _check_size(len(cases) * len(part), atoms)
            cases = [one + other for one in cases for other in part]
    return cases


def _check_size(cases: int, atoms: int) -> None:
    for count, most, what in ((cases, CASES, "cases"), (atoms, _ATOMS, "constraints")):
        if count > most:
            raise TooLarge(
                f"the formula has more than {most:,} {what} once it is multiplied out", SPLIT
            )
