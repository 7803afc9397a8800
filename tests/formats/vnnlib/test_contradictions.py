"""Constraints that contradict each other by themselves, beside a linear program's answer."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from sensverify.formats.vnnlib import parse_property
from sensverify.formats.vnnlib.contradictions import contradictory
from sensverify.formats.vnnlib.formula import Constraint

DECLARED = "(declare-const X_0 Real)(assert (<= 0 X_0 1))" + "".join(
    f"(declare-const Y_{i} Real)" for i in range(4)
)


@pytest.mark.parametrize(
    ("asserted", "empty"),
    [
        ("(and (> Y_0 0.1) (< Y_0 0.1))", True),
        ("(and (>= Y_0 0.1) (< Y_0 0.1))", True),
        ("(and (>= Y_0 0.1) (<= Y_0 0.1))", False),
        ("(and (>= Y_0 0.2) (<= Y_0 0.1))", True),
        ("(and (< Y_0 Y_1) (< Y_1 Y_2) (< Y_2 Y_0))", True),
        ("(and (<= Y_0 Y_1) (<= Y_1 Y_2) (<= Y_2 Y_0))", False),
        ("(and (<= Y_0 Y_1) (<= Y_1 Y_2) (< Y_2 Y_0))", True),
        ("(and (>= (+ Y_0 Y_1) 3) (<= Y_0 1) (<= (* 2 Y_1) 3))", True),
        ("(and (>= (+ Y_0 Y_1) 2.5) (<= Y_0 1) (<= (* 2 Y_1) 3))", False),
        ("(or (< Y_0 Y_0) (and (> Y_3 1) (< Y_3 1)))", True),
        ("(or (< Y_0 0) (and (> Y_3 1) (< Y_3 1)))", False),
    ],
)
def test_a_case_without_any_outputs_is_left_out(asserted: str, empty: bool) -> None:
    cases = parse_property(f"{DECLARED}(assert {asserted})").cases
    assert (cases == ()) is empty
    assert sum(len(case.query.alternatives) for case in cases) == (0 if empty else 1)


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_constraints(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, outputs = rng.integers(1, 9), rng.integers(1, 5)
    rows = rng.integers(-2, 3, size=(count, outputs))
    rows[~rows.any(axis=1), 0] = 1
    limits, strict = rng.integers(-2, 3, size=count), rng.random(count) < 0.5
    constraints = [
        Constraint(
            tuple((i, Fraction(int(f))) for i, f in enumerate(row) if f),
            Fraction(int(limit)),
            bool(is_strict),
        )
        for row, limit, is_strict in zip(rows, limits, strict, strict=True)
    ]
    # The largest room that all strict rows can have at once; capped, since it may have no end.
    matrix = np.column_stack([rows, strict])
    found = linprog(
        [0] * outputs + [-1], matrix, limits, bounds=[(None, None)] * outputs + [(None, 1)]
    )
    assert found.status in (0, 2)
    # A vertex of such small whole numbers is far from zero, or zero.
    room = -found.fun if found.status == 0 else -1.0
    met = room > 1e-6 if strict.any() else found.status == 0 and room >= -1e-6
    assert contradictory(constraints) is not met


def test_many_rows_end_soon() -> None:
    rng = np.random.default_rng(0)
    constraints = [
        Constraint(
            tuple((i, Fraction(float(f))) for i, f in enumerate(row)), Fraction(1), strict=False
        )
        for row in rng.normal(size=(200, 30))
    ]
    assert not contradictory(constraints)
