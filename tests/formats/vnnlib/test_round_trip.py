"""Random formulas, written as text and read again, against their own evaluation."""

from __future__ import annotations

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


def written(formula: Formula) -> str:
    kind, parts = formula
    if kind in ("and", "or"):
        return f"({kind} {' '.join(written(part) for part in parts)})"
    terms, limit = parts
    text = " ".join(f"(* {float(factor)!r} {name})" for name, factor in terms)
    return f"({kind} (+ {text}) {float(limit)!r})"


def holds(formula: Formula, values: dict[str, Fraction]) -> bool:
    kind, parts = formula
    if kind in ("and", "or"):
        found = [holds(part, values) for part in parts]
        return all(found) if kind == "and" else any(found)
    terms, limit = parts
    gap = sum((factor * values[name] for name, factor in terms), Fraction(0)) - limit
    return {"<=": gap <= 0, "<": gap < 0, ">=": gap >= 0, ">": gap > 0, "=": gap == 0}[kind]


comparisons = st.sampled_from(["<=", "<", ">=", ">", "="])
factors = numbers.filter(bool)
on_inputs = st.tuples(
    st.sampled_from([f"X_{i}" for i in range(INPUTS)]), st.sampled_from([1, -1, 2, Fraction(1, 2)])
).map(lambda pair: (pair,))
on_outputs = st.tuples(*(st.tuples(st.just(f"Y_{i}"), factors) for i in range(OUTPUTS)))
atoms = st.tuples(comparisons, st.tuples(st.one_of(on_inputs, on_outputs), numbers))
formulas = st.recursive(
    atoms,
    lambda parts: st.tuples(st.sampled_from(["and", "or"]), st.lists(parts, max_size=3)),
    max_leaves=8,
)
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
