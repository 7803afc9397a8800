"""Random formulas, written as text and read again, against their own evaluation."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sensverify.formats.vnnlib import Property, parse_property

INPUTS, OUTPUTS = 2, 2
BOUND = 8

# Eighths: float64 holds them, so a float64 point can be on any boundary.
numbers = st.integers(-8 * BOUND, 8 * BOUND).map(lambda n: Fraction(n, 8))
Formula = tuple[str, Any]
JOINED: dict[str, Callable[[list[bool]], bool]] = {
    "and": all,
    "or": any,
    "not": lambda found: not found[0],
    "=>": lambda found: found[1] or not found[0],
    "xor": lambda found: found[0] != found[1],
    "=": lambda found: found[0] == found[1],
    "ite": lambda found: found[1] if found[0] else found[2],
}
COUNTS = {"not": 1, "=>": 2, "xor": 2, "=": 2, "ite": 3, "let": 1}


def written(formula: Formula) -> str:
    kind, parts = formula
    if kind in JOINED:
        return f"({kind} {' '.join(written(part) for part in parts)})"
    if kind == "let":
        return f"(let ((named {written(parts[0])})) (and named (or named false)))"
    terms, limit = parts
    text = " ".join(f"(* {float(factor)!r} {name})" for name, factor in terms)
    return f"({'=' if kind == 'equal' else kind} (+ {text}) {float(limit)!r})"


def holds(formula: Formula, values: dict[str, Fraction]) -> bool:
    kind, parts = formula
    if kind in JOINED:
        return JOINED[kind]([holds(part, values) for part in parts])
    if kind == "let":
        return holds(parts[0], values)
    terms, limit = parts
    gap = sum((factor * values[name] for name, factor in terms), Fraction(0)) - limit
    return {
        "<=": gap <= 0,
        "<": gap < 0,
        ">=": gap >= 0,
        ">": gap > 0,
        "equal": gap == 0,
        "distinct": gap != 0,
    }[kind]


comparisons = st.sampled_from(["<=", "<", ">=", ">", "equal", "distinct"])
factors = numbers.filter(bool)
on_inputs = st.tuples(
    st.sampled_from([f"X_{i}" for i in range(INPUTS)]), st.sampled_from([1, -1, 2, Fraction(1, 2)])
).map(lambda pair: (pair,))
on_outputs = st.tuples(*(st.tuples(st.just(f"Y_{i}"), factors) for i in range(OUTPUTS)))
atoms = st.tuples(comparisons, st.tuples(st.one_of(on_inputs, on_outputs), numbers))


def joined(parts: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    several = st.tuples(st.sampled_from(["and", "or"]), st.lists(parts, max_size=3))
    counted = st.sampled_from(sorted(COUNTS)).flatmap(
        lambda kind: st.tuples(
            st.just(kind), st.lists(parts, min_size=COUNTS[kind], max_size=COUNTS[kind])
        )
    )
    return st.one_of(several, counted)


formulas = st.recursive(atoms, joined, max_leaves=6)
values = st.integers(-8 * BOUND, 8 * BOUND).map(lambda n: n / 8)
points = st.lists(values, min_size=INPUTS + OUTPUTS, max_size=INPUTS + OUTPUTS)


def met(asked: Property, inputs: np.ndarray, outputs: np.ndarray, exact: bool) -> bool:
    for case in asked.cases:
        box = case.query.box
        if exact:
            inside = (case.lower <= inputs) & (inputs <= case.upper)
            found = case.met_by(outputs)
        else:
            inside = (box.lower[0] <= inputs) & (inputs <= box.upper[0])
            found = bool(case.query.met_by(outputs[None])[0])
        if inside.all() and found:
            return True
    return False


@given(st.lists(formulas, max_size=3), st.lists(points, min_size=1, max_size=20))
def test_a_property_holds_where_its_formulas_do(
    asserted: list[Formula], found: list[list[float]]
) -> None:
    names = [f"X_{i}" for i in range(INPUTS)] + [f"Y_{i}" for i in range(OUTPUTS)]
    text = "".join(f"(declare-const {name} Real)" for name in names)
    text += "".join(
        f"(assert (<= X_{i} {BOUND}))\n(assert (>= X_{i} -{BOUND}))" for i in range(INPUTS)
    )
    asked = parse_property(text + "".join(f"(assert {written(item)})" for item in asserted))
    for point in found:
        exact = dict(zip(names, map(Fraction, point), strict=True))
        truth = all(holds(item, exact) for item in asserted)
        inputs, outputs = np.array(point[:INPUTS]), np.array(point[INPUTS:])
        assert met(asked, inputs, outputs, exact=True) == truth
        # The query may be met by more, never by less.
        assert met(asked, inputs, outputs, exact=False) >= truth


@given(st.lists(formulas, max_size=3))
def test_every_box_is_one_query(asserted: list[Formula]) -> None:
    text = "".join(f"(declare-const {kind}_{i} Real)" for kind in "XY" for i in range(2))
    text += "".join(f"(assert (<= -1 X_{i} 1))" for i in range(INPUTS))
    asked = parse_property(text + "".join(f"(assert {written(item)})" for item in asserted))
    seen = {
        (
            *case.lower.tolist(),
            *case.upper.tolist(),
            *case.query.box.lower[0],
            *case.query.box.upper[0],
        )
        for case in asked.cases
    }
    assert len(seen) == len(asked.cases)
    for query in asked.queries:
        assert len(set(query.alternatives)) == len(query.alternatives)
        assert {i for part in query.alternatives for i in part} == set(range(len(query.rows)))


relations = st.tuples(
    st.sampled_from(["<=", "<", ">=", ">", "equal", "distinct"]),
    st.tuples(st.tuples(*(st.tuples(st.just(f"X_{i}"), factors) for i in range(3))), numbers),
)


@given(st.lists(relations, max_size=3), st.lists(numbers, min_size=3, max_size=3))
def test_relations_of_fixed_inputs_are_decided_exactly(
    asserted: list[Formula], fixed: list[Fraction]
) -> None:
    text = "(declare-const Y_0 Real)" + "".join(f"(declare-const X_{i} Real)" for i in range(3))
    text += "".join(f"(assert {written(item)})" for item in asserted)
    # Thirds: float64 does not hold them.
    text += "".join(f"(assert (= (* 3 X_{i}) {float(n)!r}))" for i, n in enumerate(fixed))
    exact = {f"X_{i}": n / 3 for i, n in enumerate(fixed)}
    truth = all(holds(item, exact) for item in asserted)
    assert len(parse_property(text).cases) == truth


@given(relations, st.lists(numbers, min_size=2, max_size=2))
def test_one_input_is_bounded_by_those_that_are_fixed(
    asserted: Formula, fixed: list[Fraction]
) -> None:
    text = "(declare-const Y_0 Real)" + "".join(f"(declare-const X_{i} Real)" for i in range(3))
    text += f"(assert {written(asserted)})(assert (<= -8 X_2 8))"
    text += "".join(f"(assert (= X_{i} {float(n)!r}))" for i, n in enumerate(fixed))
    cases = parse_property(text).cases
    for value in (Fraction(n, 4) for n in range(-32, 33)):
        truth = holds(asserted, {"X_0": fixed[0], "X_1": fixed[1], "X_2": value})
        found = any(case.lower[2] <= value <= case.upper[2] for case in cases)
        assert found == truth
