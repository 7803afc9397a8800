"""Ends of every input, and constraints that relate inputs, decided where those are fixed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sensverify.formats.vnnlib.formula import Atom, Constraint, InputBound, Relation
from sensverify.formats.vnnlib.terms import LARGEST, is_long

_ZERO = Fraction(0)


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit of one input, itself left out where ``strict``."""

    limit: Fraction
    strict: bool


Interval = tuple[Bound | None, Bound | None]
"""Lower and upper end of one input; None where there is none."""


class Undecidable(Exception):
    """A constraint relates inputs that are not fixed; the message names it.

    ``position`` is that of the constraint in the text.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True)
class Resolved:
    """Constraints sorted by what they bound.

    Parameters
    ----------
    intervals : dict of int to Interval
        Intervals of the inputs that they bound.
    constraints : list of Constraint
        On the outputs alone.
    relations : list of Relation
        Relations that are still open.
    """

    intervals: dict[int, Interval]
    constraints: list[Constraint]
    relations: list[Relation]


def resolve(
    atoms: Iterable[Atom], common: Sequence[Interval], *, final: bool = True
) -> Resolved | None:
    """Constraints as ends of inputs and constraints on outputs; None where they contradict.

    A relation of inputs is decided exactly: where all of them are fixed, or all but one, which it
    then bounds; where outputs are in it, and all inputs are fixed; or where it holds, or fails,
    everywhere in the box.

    Parameters
    ----------
    atoms : iterable of Atom
    common : sequence of Ends
        The ends that all inputs have without these constraints.
    final : bool
        True where no further constraints follow: relations that are open then are refused.

    Raises
    ------
    Undecidable
        A relation is not decided, or gives a number beyond float64.
    """
    inputs = _Inputs(common)
    constraints: list[Constraint] = []
    relations: list[Relation] = []
    for atom in atoms:
        if isinstance(atom, InputBound):
            inputs.bound(atom)
        elif isinstance(atom, Constraint):
            constraints.append(atom)
        else:
            relations.append(atom)
    open_ones = _resolved(relations, inputs, constraints) if relations else []
    if inputs.empty:
        return None
    left = []
    for relation in open_ones:
        known = inputs.always(relation)
        if known is False:
            return None
        if known is None:
            if final:
                raise Undecidable(_refusal(relation, inputs), relation.position)
            left.append(relation)
    return Resolved(inputs.intervals, constraints, left)


class _Inputs:
    """The ends of all inputs, as far as they are known."""

    def __init__(self, common: Sequence[Interval]) -> None:
        self.intervals: dict[int, Interval] = {}
        self.empty = False
        self._common = common

    def of(self, index: int) -> Interval:
        return self.intervals.get(index) or self._common[index]

    def bound(self, atom: InputBound) -> None:
        lower, upper = self.of(atom.index)
        new = Bound(atom.limit, atom.strict)
        if atom.upper:
            upper = new if upper is None else _tighter(upper, new, new.limit < upper.limit)
        else:
            lower = new if lower is None else _tighter(lower, new, new.limit > lower.limit)
        self.intervals[atom.index] = (lower, upper)
        if lower is not None and upper is not None and not lower.limit < upper.limit:
            self.empty |= lower.limit > upper.limit or lower.strict or upper.strict

    def value(self, index: int) -> Fraction | None:
        """Value of an input that is fixed, else None."""
        lower, upper = self.of(index)
        fixed = lower is not None and upper is not None and lower.limit == upper.limit
        return lower.limit if fixed and lower is not None else None

    def always(self, relation: Relation) -> bool | None:
        """True where a relation holds everywhere in the box, False: nowhere; None: not known."""
        if relation.outputs:
            return None
        highest, lowest = self._extreme(relation, 1), self._extreme(relation, -1)
        if highest is not None and _holds(highest.limit, relation, open_end=highest.strict):
            return True
        if lowest is not None:
            least = -lowest.limit
            if least > relation.limit:
                return False
            if least == relation.limit and (relation.strict or lowest.strict):
                return False
        return None

    def _extreme(self, relation: Relation, sign: int) -> Bound | None:
        """The largest value of ``sign * sum``, left out where an end is; None: there is none."""
        total, strict = _ZERO, False
        for index, factor in relation.inputs:
            end = self.of(index)[1 if sign * factor > 0 else 0]
            if end is None:
                return None
            total += sign * factor * end.limit
            strict |= end.strict
        return Bound(total, strict)


def _tighter(old: Bound, new: Bound, inside: bool) -> Bound:
    return new if inside or (new.limit == old.limit and new.strict) else old


def _holds(value: Fraction, relation: Relation, *, open_end: bool = False) -> bool:
    if value == relation.limit:
        return open_end or not relation.strict
    return value < relation.limit


def _resolved(
    relations: Sequence[Relation], inputs: _Inputs, constraints: list[Constraint]
) -> list[Relation]:
    """The relations that stay open once each input that gets fixed is put into all of them."""
    waiting: dict[int, list[int]] = {}
    missing = []
    for number, relation in enumerate(relations):
        unknown = [index for index, _ in relation.inputs if inputs.value(index) is None]
        missing.append(len(unknown))
        for index in unknown:
            waiting.setdefault(index, []).append(number)
    # Outputs are bounded by numbers alone; one input can be bounded by the relation itself.
    enough = [0 if relation.outputs else 1 for relation in relations]
    ready = [number for number, count in enumerate(missing) if count <= enough[number]]
    done = set()
    while ready and not inputs.empty:
        number = ready.pop()
        done.add(number)
        made = _reduced(relations[number], inputs)
        if isinstance(made, Constraint):
            constraints.append(made)
        elif isinstance(made, InputBound):
            inputs.bound(made)
            if inputs.value(made.index) is not None:
                for other in waiting.pop(made.index, ()):
                    missing[other] -= 1
                    if missing[other] == enough[other] and other not in done:
                        ready.append(other)
        elif not made:
            inputs.empty = True
    return [relation for number, relation in enumerate(relations) if number not in done]


def _reduced(relation: Relation, inputs: _Inputs) -> Constraint | InputBound | bool:
    """A relation with the fixed inputs put in, where no more than one other is left."""
    limit, left = relation.limit, []
    for index, factor in relation.inputs:
        value = inputs.value(index)
        if value is None:
            left.append((index, factor))
        else:
            limit -= factor * value
    if left:
        ((index, factor),) = left
        limit /= factor
    if abs(limit) > LARGEST or is_long(limit):
        raise Undecidable(
            f"{relation.quoted} gives a number that does not fit float64", relation.position
        )
    if relation.outputs:
        return Constraint(relation.outputs, limit, relation.strict)
    if left:
        return InputBound(index, factor > 0, limit, relation.strict)
    return limit > 0 or (limit == 0 and not relation.strict)


def _refusal(relation: Relation, inputs: _Inputs) -> str:
    what = "inputs with outputs" if relation.outputs else "several inputs"
    index = next(i for i, _ in relation.inputs if inputs.value(i) is None)
    return (
        f"{relation.quoted} relates {what}, and X_{index} is not fixed to a number; only boxes of "
        "inputs can be decided: bounds on one X each"
    )
