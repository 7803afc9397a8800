"""Whether a certificate answers a property."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sensverify.certificates import Claims
from sensverify.certificates.check.coverage import covers, stands_for
from sensverify.errors import CertificateRejected
from sensverify.formats.vnnlib import Property
from sensverify.formats.vnnlib.loading import parse_property

DECLARED = "".join(f"(declare-const {name} Real)" for name in ("X_0", "Y_0", "Y_1"))


def asked(formula: str, *, box: str = "(<= 0 X_0 1)") -> Property:
    return parse_property(f"{DECLARED}(assert {box})(assert {formula})")


def certificate(
    rows: Any, limits: Any, groups: Any, *, lower: Any = ((0.0,),), upper: Any = ((1.0,),)
) -> Any:
    """One that claims this; ``covers`` looks at nothing else."""
    ends = np.array(lower, float), np.array(upper, float)
    return SimpleNamespace(
        ending=None,
        claims=Claims(
            *ends,
            rows=np.array([rows], float),
            limits=np.array([limits] * len(ends[0]), float),
            groups=None if groups is None else np.array([groups] * len(ends[0])),
        ),
    )


def refuses(found: Any, formula: str, **changes: str) -> None:
    with pytest.raises(CertificateRejected):
        covers(found, asked(formula, **changes))


# Y_0 <= 1, or Y_1 <= 2 and Y_0 <= 3: both are never met.
EXACT = certificate([[1, 0], [0, 1], [1, 0]], [1, 2, 3], [0, 1, 1])
FORMULA = "(or (<= Y_0 1) (and (<= Y_1 2) (<= Y_0 3)))"


@pytest.mark.parametrize(
    ("formula", "box"),
    [
        (FORMULA, "(<= 0 X_0 1)"),
        # In another order, and of a smaller box.
        ("(or (and (<= Y_0 3) (<= Y_1 2)) (<= Y_0 1))", "(<= 0.25 X_0 0.5)"),
        # Less is asked.
        ("(<= Y_0 1)", "(<= 0 X_0 1)"),
        ("(<= Y_0 0.5)", "(<= 0 X_0 1)"),
        ("(< Y_0 1)", "(<= 0 X_0 1)"),
        ("(and (<= Y_0 1) (<= Y_1 77))", "(<= 0 X_0 1)"),
        ("(and (<= Y_1 1) (<= Y_0 2) (<= Y_0 2.5))", "(<= 0 X_0 1)"),
        # Multiples.
        ("(<= (* 3 Y_0) 3)", "(<= 0 X_0 1)"),
        ("(<= (* 0.1 Y_0) 0.1)", "(<= 0 X_0 1)"),
        # Several boxes inside of one.
        (FORMULA, "(or (<= 0 X_0 0.2) (<= 0.2 X_0 0.4) (<= 0.1 X_0 1))"),
    ],
)
def test_what_follows(formula: str, box: str) -> None:
    covers(EXACT, asked(formula, box=box))


@pytest.mark.parametrize(
    ("formula", "box"),
    [
        # Boxes that stick out, by as little as a decimal number does from float64.
        (FORMULA, "(<= 0 X_0 1.1)"),
        (FORMULA, "(<= -0.0000000000000000000000001 X_0 1)"),
        (FORMULA, "(<= 0 X_0 1.0000000000000000000000001)"),
        (FORMULA, "(or (<= 0 X_0 0.2) (<= 0.5 X_0 2))"),
        # More is asked.
        ("(<= Y_0 1.0000000000000000000000001)", "(<= 0 X_0 1)"),
        ("(<= Y_1 2)", "(<= 0 X_0 1)"),
        ("(and (<= Y_1 2) (<= Y_0 4))", "(<= 0 X_0 1)"),
        ("(or (<= Y_0 1) (<= Y_1 0))", "(<= 0 X_0 1)"),
        # Something else is asked.
        ("(>= Y_0 -1)", "(<= 0 X_0 1)"),
        ("(<= (+ Y_0 (* 0.0000000000000000000000001 Y_1)) 1)", "(<= 0 X_0 1)"),
    ],
)
def test_what_does_not_follow(formula: str, box: str) -> None:
    refuses(EXACT, formula, box=box)


def test_rows_of_no_group_count_for_nothing() -> None:
    refuses(certificate([[1, 0], [0, 1]], [1, 9], [0, -1]), "(<= Y_1 2)")
    covers(certificate([[1, 0], [0, 1]], [1, 9], [-1, 0]), asked("(<= Y_1 2)"))


def test_a_row_of_zeros_stands_for_nothing() -> None:
    refuses(certificate([[0, 0]], [-1], [0]), "(<= Y_0 1)")


def test_the_problem_may_be_any_of_several() -> None:
    found = certificate([[1, 0]], [1], [0], lower=((3.0,), (0.0,)), upper=((4.0,), (1.0,)))
    covers(found, asked("(<= Y_0 1)"))
    covers(found, asked("(<= Y_0 1)", box="(or (<= 0 X_0 1) (<= 3.5 X_0 4))"))
    # A box that two of them cover only together is in neither.
    halves = certificate([[1, 0]], [1], [0], lower=((0.0,), (0.5,)), upper=((0.5,), (1.0,)))
    refuses(halves, "(<= Y_0 1)")


def test_claims_about_bounds_or_other_sizes() -> None:
    with pytest.raises(CertificateRejected, match="does not refute a property"):
        covers(certificate([[1, 0]], [1], None), asked("(<= Y_0 1)"))
    with pytest.raises(CertificateRejected, match="1 inputs and 3 outputs, the property about 1"):
        covers(certificate([[1, 0, 0]], [1], [0]), asked("(<= Y_0 1)"))


def test_the_message_names_the_case() -> None:
    with pytest.raises(CertificateRejected, match="input box 2 of the property's 2"):
        covers(EXACT, asked(FORMULA, box="(or (<= 0 X_0 0.2) (<= 0.5 X_0 2))"))


def test_exact_factors() -> None:
    (case,) = asked("(<= (+ (* 0.1 Y_0) (* 0.3 Y_1)) 0.7)").cases
    (constraint,) = case.constraints
    assert stands_for(constraint, [1.0, 3.0], 7.0)
    assert stands_for(constraint, [2.0, 6.0], 14.5)
    assert not stands_for(constraint, [1.0, 3.0], np.nextafter(7.0, 0))
    assert not stands_for(constraint, [0.1, 0.3], 0.8)
    assert not stands_for(constraint, [-1.0, -3.0], 7.0)
    assert not stands_for(constraint, [0.0, 0.0], 7.0)


def test_strict_rows_answer_strict_constraints_alone() -> None:
    """Of a strict row it is only known that it reaches its limit."""
    found = certificate([[1, 0], [0, 1]], [1, 2], [0, 0])
    for strict, follows, not_ in (
        ([[1, 1]], "(and (< Y_0 1) (< Y_1 2))", "(and (< Y_0 1) (<= Y_1 2))"),
        ([[0, 1]], "(and (<= Y_0 1) (< Y_1 2))", "(and (<= Y_0 1) (<= Y_1 2))"),
        ([[1, 0]], "(and (<= Y_0 0.875) (<= Y_1 2))", "(and (<= Y_0 1) (< Y_1 2))"),
    ):
        claims = replace(found.claims, strict=np.array(strict))
        covers(SimpleNamespace(ending=None, claims=claims), asked(follows))
        refuses(SimpleNamespace(ending=None, claims=claims), not_)
        # Of two limits for one row the smaller one counts, and of equal ones the strict one.
        covers(
            SimpleNamespace(ending=None, claims=claims),
            asked(f"(and {follows} (<= Y_0 1) (<= Y_1 2))"),
        )
