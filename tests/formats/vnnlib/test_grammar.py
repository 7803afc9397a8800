"""VNN-LIB text: what is read, and what every error says."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from sensverify.errors import BadProperty
from sensverify.formats.vnnlib import load_property, parse_property

DECLARED = "(declare-const X_0 Real)\n(declare-const X_1 Real)\n(declare-const Y_0 Real)\n"
BOX = "(assert (>= X_0 -1))(assert (<= X_0 1))(assert (>= X_1 0))(assert (<= X_1 2))\n"
START = DECLARED + "(declare-const Y_1 Real)\n" + BOX


def test_a_property_of_vnn_comp() -> None:
    asked = parse_property(
        """; a comment (with a parenthesis
        (declare-const X_0 Real) ; another
        (declare-fun Y_0 () Real)
        (set-info :source |what (anyone); wrote|)
        (set-logic QF_LRA)
        (assert (>= X_0 0.25))
        (assert (<= X_0 0.5))
        (assert (<= Y_0 -1))
        (check-sat)
        """
    )
    (query,) = asked.queries
    assert (asked.inputs, asked.outputs) == (1, 1)
    assert (query.box.lower.tolist(), query.box.upper.tolist()) == ([[0.25]], [[0.5]])
    assert (query.rows.tolist(), query.limits.tolist()) == ([[1.0]], [-1.0])
    assert query.alternatives == ((0,),)
    assert not query.strict.any()


@pytest.mark.parametrize(
    ("assertion", "rows", "limits", "strict"),
    [
        ("(<= Y_0 Y_1)", [[1, -1]], [0], [False]),
        ("(>= Y_0 Y_1)", [[-1, 1]], [0], [False]),
        ("(< Y_0 3)", [[1, 0]], [3], [True]),
        ("(> 3 Y_0)", [[1, 0]], [3], [True]),
        ("(> Y_0 3)", [[-1, 0]], [-3], [True]),
        ("(= Y_0 3)", [[1, 0], [-1, 0]], [3, -3], [False, False]),
        ("(<= (+ Y_0 Y_1 1) (- Y_1 Y_0 2))", [[2, 0]], [-3], [False]),
        ("(<= (* 2 Y_0 3) 12)", [[6, 0]], [12], [False]),
        ("(<= (* -0.5 (+ Y_0 Y_1)) (- 1))", [[-0.5, -0.5]], [-1], [False]),
        ("(<= (/ Y_0 4) 1e1)", [[0.25, 0]], [10], [False]),
        ("(<= -1 Y_0 +1.)", [[-1, 0], [1, 0]], [1, 1], [False, False]),
        ("(<= (- Y_0) .5E+1)", [[-1, 0]], [5], [False]),
        ("(and (<= Y_0 1) (and) (and (<= Y_1 2)) true)", [[1, 0], [0, 1]], [1, 2], [False] * 2),
    ],
)
def test_linear_constraints(
    assertion: str, rows: list[list[float]], limits: list[float], strict: list[bool]
) -> None:
    (query,) = parse_property(f"{START}(assert {assertion})").queries
    assert query.rows.tolist() == rows
    assert query.limits.tolist() == limits
    assert query.strict.tolist() == strict
    assert query.alternatives == (tuple(range(len(rows))),)


def test_nested_formulas_become_cases_of_one_box() -> None:
    (query,) = parse_property(
        f"{START}(assert (or (<= Y_0 1) (and (<= Y_0 2) (or (<= Y_1 3) (<= Y_1 4))) false))"
        "(assert (<= Y_0 Y_1))"
    ).queries
    assert query.limits.tolist() == [0, 1, 2, 3, 4]
    assert query.alternatives == ((0, 1), (0, 2, 3), (0, 2, 4))


def test_conjunctions_of_disjunctions_are_multiplied_out() -> None:
    (query,) = parse_property(
        f"{START}(assert (and (or (<= Y_0 1) (<= Y_0 2)) (or (<= Y_1 3) (<= Y_1 4))))"
        "(assert (!= Y_0 0))"
    ).queries
    assert len(query.alternatives) == 8
    assert len(query.rows) == 6


def test_cases_with_one_box_are_one_query() -> None:
    asked = parse_property(
        DECLARED
        + """(assert (>= X_1 0)) (assert (<= X_1 2)) (assert (or
            (and (>= X_0 -1) (<= X_0 0) (<= Y_0 1))
            (and (>= X_0 0) (<= X_0 1) (<= Y_0 2))
            (and (<= X_0 0.0) (>= X_0 -1.00) (<= Y_0 3))
            (and (<= X_0 0.0) (>= X_0 -1.00) (<= Y_0 3) (<= X_0 5))
            (and (<= X_0 -1) (>= X_0 1))))"""
    )
    first, second = asked.queries
    assert first.box.lower.tolist() == [[-1, 0]]
    assert first.box.upper.tolist() == [[0, 2]]
    assert first.alternatives == ((0,), (1,))
    assert first.limits.tolist() == [1, 3]
    assert second.box.lower.tolist() == [[0, 0]]
    assert second.limits.tolist() == [2]


def test_bounds_are_sharpened_by_the_case() -> None:
    asked = parse_property(f"{START}(assert (or (<= X_0 0) (and (>= X_0 0.5) (<= Y_0 0))))")
    first, second = asked.queries
    assert (first.box.lower[0, 0], first.box.upper[0, 0]) == (-1, 0)
    # Nothing is asked of the outputs there: every input meets it.
    assert first.alternatives == ((),)
    assert first.met_by(np.zeros((1, 2))).all()
    assert (second.box.lower[0, 0], second.box.upper[0, 0]) == (0.5, 1)


@pytest.mark.parametrize(
    "assertion",
    ["(<= X_0 -2)", "(< X_0 -1)", "(or)", "false", "(<= 2 1)", "(< 1 1)", "(and (<= X_1 -1) true)"],
)
def test_a_contradiction_has_no_case(assertion: str) -> None:
    assert parse_property(f"{START}(assert {assertion})").cases == ()


def test_scaled_and_turned_bounds_of_one_input() -> None:
    (query,) = parse_property(
        "(declare-const X_0 Real)(declare-const Y_0 Real)"
        "(assert (<= (* -2 X_0) 3))(assert (>= 1 (- X_0 0.5)))"
    ).queries
    assert (query.box.lower[0, 0], query.box.upper[0, 0]) == (-1.5, 1.5)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\n\n(assert (<= X_0 1)", 3, "not closed"),
        ("\n)", 2, "too many"),
        ("\nhello", 2, "expected '('"),
        ('(set-info "open', 1, "not closed"),
        ("(assert)", 1, "one formula"),
        ("()", 1, "unknown command '()'"),
        ("((assert))", 1, "unknown command"),
        ("(define-fun f () Real 1)", 1, "unknown command '(define-fun f () Real 1)'"),
        ("(declare-const X_0 Int)", 1, "does not declare a Real"),
        ("(declare-const Z_0 Real)", 1, "'Z_0' is not a name of an input X_i or an output Y_j"),
        ("(declare-const X_01 Real)", 1, "'X_01'"),
        ("(declare-const (X_0) Real)", 1, "'(X_0)'"),
        ("(declare-const X_0 Real)\n(declare-const X_0 Real)", 2, "declared twice"),
        (f"{START}\n(assert (<= Y_7 1))", 7, "unknown name 'Y_7'"),
        (f"{START}(assert\n (<= X_0 X_1))", 7, "relates several inputs"),
        (f"{START}(assert (<= X_0 Y_0))", 6, "relates inputs with outputs"),
        (f"{START}(assert (<= (* Y_0 Y_1) 1))", 6, "multiplies variables"),
        (f"{START}(assert (<= (/ 1 Y_1) 1))", 6, "divides"),
        (f"{START}(assert (<= (/ Y_1 0) 1))", 6, "divides"),
        (f"{START}(assert (<= (max Y_1 0) 1))", 6, "unknown operator 'max' in a term"),
        (f"{START}(assert (<= Y_1))", 6, "does not compare"),
        (f"{START}(assert (<= () Y_1))", 6, "expected a term"),
        (f"{START}(assert (not (<= Y_1 0)))", 6, "unknown operator 'not' in a formula"),
        (f"{START}(assert Y_1)", 6, "expected a formula"),
        (f"{START}(assert (<= Y_1 nan))", 6, "unknown name 'nan'"),
        (f"{START}(assert (<= Y_1 0x1p3))", 6, "no number that can be read"),
        (f"{START}(assert (<= Y_1 1e400))", 6, "does not fit float64"),
        (f"{START}(assert (<= X_1 -1e400))", 6, "does not fit float64"),
    ],
)
def test_errors_name_the_line(text: str, line: int, words: str) -> None:
    with pytest.raises(BadProperty) as caught:
        parse_property(text, name="spec.vnnlib")
    assert f"'spec.vnnlib', line {line}: " in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "declares no input X_0"),
        ("(declare-const X_0 Real)", "declares no output Y_0"),
        ("(declare-const X_1 Real)(declare-const Y_0 Real)", "but not X_0"),
        (DECLARED + "(assert (>= X_0 0))(assert (<= X_0 1))(assert (<= X_1 1))", "bound for X_1"),
        (DECLARED + "(assert (or (and (>= X_0 0) (<= X_0 1)) (<= X_1 1)))", "X_1"),
        (
            "(declare-const Y_0 Real)" + "".join(f"(declare-const X_{i} Real)" for i in range(9)),
            "X_0, X_1, X_2, X_3, X_4 and 4 more",
        ),
    ],
)
def test_errors_about_the_whole_file(text: str, words: str) -> None:
    with pytest.raises(BadProperty, match=words):
        parse_property(text)


@pytest.mark.parametrize("name", ["p.vnnlib", "p.vnnlib.gz"])
def test_files(tmp_path: Path, name: str) -> None:
    # A byte-order mark, the line ends of another system, and a comment in another encoding.
    contents = b"\xef\xbb\xbf; 100 \xb5m\r\n" + (START + "(assert (<= Y_0 0))").encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(contents) if name.endswith(".gz") else contents)
    assert load_property(path).inputs == 2
    assert load_property(str(path)).outputs == 2
