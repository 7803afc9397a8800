"""Queries: what they refuse, and who meets them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from sensverify.core.box import Box
from sensverify.core.queries import Decision, Query, Verdict
from sensverify.errors import BadShape

ROWS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
LIMITS = np.array([1.0, 2.0, 0.0])


def query(**changes: Any) -> Query:
    parts: dict[str, Any] = {
        "box": Box(np.zeros((1, 3)), np.ones((1, 3))),
        "rows": ROWS,
        "limits": LIMITS,
        "alternatives": ((0, 2), (1,)),
    }
    return Query(**{**parts, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"box": Box(np.zeros((2, 3)), np.ones((2, 3)))}, "one box, got 2"),
        ({"rows": ROWS[:2]}, "one limit for each"),
        ({"rows": ROWS[0]}, "one limit for each"),
        ({"limits": LIMITS[:, None]}, "one limit for each"),
        ({"limits": np.array([1.0, np.inf, 0.0])}, "finite"),
        ({"rows": ROWS * np.nan}, "finite"),
        ({"alternatives": ((0, 3),)}, "not among the 3"),
        ({"alternatives": ((-1,),)}, "not among the 3"),
        ({"strict": np.array([True])}, "strict"),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadShape, match=message):
        query(**changes)


def test_constraints_of_an_alternative_hold_together() -> None:
    outputs = np.array([[0.5, 9.0], [-0.5, 9.0], [-0.5, 2.0], [1.0, 9.0], [1.5, 2.5]])
    assert query().met_by(outputs).tolist() == [True, False, True, True, False]


def test_a_limit_is_met_by_what_is_equal_unless_it_is_strict() -> None:
    outputs, one = np.array([[1.0, 0.0], [np.nextafter(1.0, 0.0), 0.0]]), ((0,),)
    assert query(alternatives=one).met_by(outputs).tolist() == [True, True]
    strict = np.array([True, False, False])
    assert query(alternatives=one, strict=strict).met_by(outputs).tolist() == [False, True]


def test_no_alternative_is_met_by_nothing_and_an_empty_one_by_everything() -> None:
    outputs = np.array([[1e9, 1e9], [0.0, 0.0]])
    assert query(alternatives=()).met_by(outputs).tolist() == [False, False]
    assert query(alternatives=((),)).met_by(outputs).tolist() == [True, True]
    assert query(alternatives=((0,), ())).met_by(outputs).tolist() == [True, True]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_meets_nothing(bad: float) -> None:
    """Also where the constraints do not look at it."""
    outputs = np.array([[bad, 0.0], [0.5, bad]])
    for parts in (((0, 2), (1,)), ((),), ((2,),)):
        assert not query(alternatives=parts).met_by(outputs).any()


def test_outputs_of_any_shape_and_dtype() -> None:
    outputs = np.array([[[0.5], [9.0]], [[9.0], [9.0]]], dtype=np.float32)
    assert query().met_by(outputs).tolist() == [True, False]
    assert query().met_by(np.zeros((0, 2))).shape == (0,)


def test_single_precision_outputs_are_compared_in_double() -> None:
    """float32(.1) is above .1."""
    one = query(alternatives=((0,),), limits=np.array([0.1, 0.0, 0.0]))
    assert not one.met_by(np.array([[0.1, 0.0]], dtype=np.float32)).any()
    assert one.met_by(np.array([[0.1, 0.0]])).all()


def test_strict_is_nowhere_unless_it_is_given() -> None:
    assert query().strict.tolist() == [False] * 3
    empty = query(rows=np.zeros((0, 2)), limits=np.zeros(0), alternatives=((),))
    assert empty.strict.shape == (0,)


def test_questions_and_answers_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        query().limits = LIMITS  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Decision(Verdict.SAT).verdict = Verdict.UNSAT  # type: ignore[misc]


def test_verdicts_have_the_words_of_the_competition() -> None:
    assert [verdict.value for verdict in Verdict] == ["sat", "unsat", "unknown", "timeout"]
