"""Cases sorted by their input box: all constraints over one box become one query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from sensverify.core.box import Box
from sensverify.core.queries import Query
from sensverify.errors import BadProperty
from sensverify.formats.vnnlib.contradictions import contradictory
from sensverify.formats.vnnlib.formula import SPLIT, Atom, Constraint
from sensverify.formats.vnnlib.property import Case
from sensverify.formats.vnnlib.relations import Interval, resolve
from sensverify.formats.vnnlib.rounding import float_row, rounded_down, rounded_up

_NAMED = 5
"""Number of inputs without a bound that a message names."""

_REPEATED = 1_000_000
"""Most relations of inputs, counted once for each case."""

_NUMBERS = 1 << 27
"""Most numbers in the arrays of all cases: 1 GiB."""


def make_cases(
    inputs: int,
    outputs: int,
    shared: Sequence[Atom],
    alternatives: Sequence[Sequence[Atom]],
    *,
    names: Sequence[str] | None = None,
) -> tuple[Case, ...]:
    """One `Case` for each input box.

    Parameters
    ----------
    inputs, outputs : int
    shared : sequence of Atom
        Constraints that hold in every case.
    alternatives : sequence of sequences of Atom
        Further constraints of every case. Cases with an empty input box are left out, and those
        whose constraints on outputs contradict each other.
    names : sequence of str, optional
        Of the inputs, in messages; default: X_0, X_1, ...

    Raises
    ------
    BadProperty
        An input has no lower or no upper bound in some case, or the arrays would be too large.
    Undecidable
        Inputs that are not fixed are related in some case.
    """
    common: list[Interval] = [(None, None)] * inputs
    whole = resolve(shared, common, final=False)
    if whole is None:
        return ()
    for index, interval in whole.intervals.items():
        common[index] = interval
    _check_repeated(len(whole.relations), len(alternatives))
    missing = {i for i, interval in enumerate(common) if None in interval}
    groups: dict[frozenset[tuple[int, Interval]], list[list[Constraint]]] = {}
    for atoms in alternatives:
        part = resolve([*whole.relations, *atoms], common)
        if part is None:
            continue
        _check_bounded(missing, part.intervals, names)
        changed = frozenset(
            (i, interval) for i, interval in part.intervals.items() if interval != common[i]
        )
        constraints = [*whole.constraints, *part.constraints]
        if not contradictory(constraints):
            groups.setdefault(changed, []).append(constraints)
    _check_memory(inputs, outputs, [sum(map(len, parts)) for parts in groups.values()])
    arrays = _Arrays(common)
    return tuple(
        _case(arrays.with_changes(changed), outputs, parts) for changed, parts in groups.items()
    )


def _check_bounded(
    missing: set[int], own: dict[int, Interval], called: Sequence[str] | None
) -> None:
    open_ones = sorted(i for i in missing if i not in own or None in own[i])
    if open_ones:
        names = ", ".join(f"X_{i}" if called is None else called[i] for i in open_ones[:_NAMED])
        more = f" and {len(open_ones) - _NAMED} more" if len(open_ones) > _NAMED else ""
        raise BadProperty(
            f"no lower or no upper bound for {names}{more}; every input needs both in every case"
        )


def _check_repeated(relations: int, cases: int) -> None:
    if relations * cases > _REPEATED:
        raise BadProperty(
            f"{relations:,} constraints relate inputs that {cases:,} cases may fix, more than are "
            "worked out",
            SPLIT,
        )


def _check_memory(inputs: int, outputs: int, constraints: Sequence[int]) -> None:
    numbers = len(constraints) * 4 * inputs + sum(constraints) * outputs
    if numbers > _NUMBERS:
        raise BadProperty(
            f"its {len(constraints):,} input boxes and their constraints take {numbers:,} numbers; "
            f"at most {_NUMBERS:,} are held",
            SPLIT,
        )


class _Arrays:
    """The rounded ends of all inputs, ``[4, inputs]``: outward, then inward."""

    def __init__(self, common: Sequence[Interval]) -> None:
        self._values = np.full((4, len(common)), np.nan)
        for index, interval in enumerate(common):
            if None not in interval:
                self._values[:, index] = _rounded(interval)

    def with_changes(self, changed: Iterable[tuple[int, Interval]]) -> np.ndarray:
        """A copy with some inputs' ends replaced."""
        values = self._values.copy()
        for index, interval in changed:
            values[:, index] = _rounded(interval)
        return values


def _rounded(interval: Interval) -> tuple[float, float, float, float]:
    lower, upper = interval
    if lower is None or upper is None:
        raise ValueError("an input without bounds")
    first = rounded_up(lower.limit, strict=lower.strict)
    last = rounded_down(upper.limit, strict=upper.strict)
    if first > last and not (lower.strict or upper.strict):
        # A printed float, such as 0.1, that fixes an input: its exact value is no float64 number.
        first, last = float(lower.limit), float(upper.limit)
    return rounded_down(lower.limit), rounded_up(upper.limit), first, last


def _case(ends: np.ndarray, outputs: int, parts: Sequence[Sequence[Constraint]]) -> Case:
    places: dict[Constraint, int] = {}
    alternatives = {
        tuple(dict.fromkeys(places.setdefault(atom, len(places)) for atom in part)): None
        for part in parts
    }
    rows, limits = np.zeros((len(places), outputs)), np.zeros(len(places))
    for constraint, place in places.items():
        columns = [column for column, _ in constraint.factors]
        factors = [factor for _, factor in constraint.factors]
        rows[place, columns], limits[place] = float_row(factors, constraint.limit)
    query = Query(
        box=Box(ends[0][None], ends[1][None]),
        rows=rows,
        limits=limits,
        alternatives=tuple(alternatives),
        strict=np.array([constraint.strict for constraint in places], dtype=bool),
    )
    return Case(query, ends[2], ends[3], tuple(places))
