"""VNN-LIB text: what is read, and what every error says."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from sensverify.errors import BadProperty
from sensverify.formats.vnnlib import Case, load_property, parse_property

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


SAME = [
    ("(not (<= Y_0 1))", "(> Y_0 1)"),
    ("(not (> Y_0 1))", "(<= Y_0 1)"),
    ("(not (= Y_0 1))", "(or (< Y_0 1) (> Y_0 1))"),
    ("(not (distinct Y_0 1))", "(= Y_0 1)"),
    ("(not (not (< Y_0 1)))", "(< Y_0 1)"),
    ("(not (and (<= Y_0 1) (< Y_1 2)))", "(or (> Y_0 1) (>= Y_1 2))"),
    ("(not (or (<= Y_0 1) (< Y_1 2)))", "(and (> Y_0 1) (>= Y_1 2))"),
    ("(not (<= Y_0 1 Y_1))", "(or (> Y_0 1) (> 1 Y_1))"),
    ("(not (<= -2 X_0))", "false"),
    ("(not (<= X_0 0.5))", "(> X_0 0.5)"),
    ("(=> (<= Y_0 1) (< Y_1 2))", "(or (> Y_0 1) (< Y_1 2))"),
    ("(=> (<= Y_0 1) (< Y_1 2) (< Y_1 0))", "(or (> Y_0 1) (>= Y_1 2) (< Y_1 0))"),
    ("(=> (> X_0 2) (< Y_1 2))", "(or (<= X_0 1) (< Y_1 2))"),
    (
        "(ite (<= X_0 0.5) (<= Y_0 1) (<= Y_0 2))",
        "(or (and (<= X_0 0.5) (<= Y_0 1)) (and (> X_0 0.5) (<= Y_0 2)))",
    ),
    (
        "(<= (ite (<= Y_0 0) (- Y_0) Y_0) 3)",
        "(or (and (<= Y_0 0) (>= Y_0 -3)) (and (> Y_0 0) (<= Y_0 3)))",
    ),
    ("(<= (+ 1 (ite true Y_0 Y_1)) 3)", "(<= Y_0 2)"),
    (
        "(let ((a (+ Y_0 1)) (Y_1 (<= Y_1 0))) (and Y_1 (<= a 3)))",
        "(and (<= Y_1 0) (<= Y_0 2))",
    ),
    ("(let ((Y_0 Y_1)) (let ((Y_1 Y_0) (Y_0 2)) (<= Y_1 Y_0)))", "(<= Y_1 2)"),
    ("(! (<= Y_0 |Y_1|) :named a)", "(<= Y_0 Y_1)"),
    ("(= X_0 X_1 1)", "(and (= X_0 1) (= X_1 1))"),
    ("(and (= X_0 0.5) (<= Y_0 (+ X_0 X_0 1)))", "(and (= X_0 0.5) (<= Y_0 2))"),
    (
        "(and (= X_0 0.5) (= X_1 (* 2 X_0)) (>= Y_0 X_1))",
        "(and (= X_0 0.5) (= X_1 1) (>= Y_0 1))",
    ),
    ("(and (= X_0 0.5) (>= (+ X_0 X_1) (/ 3 4)))", "(and (= X_0 0.5) (>= X_1 0.25))"),
    ("(<= (+ X_0 X_1) 3)", "true"),
    ("(> (+ X_0 X_1) 3)", "false"),
    (
        "(or (and (= X_0 0.5) (<= X_0 X_1)) (<= Y_0 (- 1)))",
        "(or (and (= X_0 0.5) (>= X_1 0.5)) (<= Y_0 -1))",
    ),
]


def test_formulas_that_say_the_same() -> None:
    for assertions in SAME:
        found, wanted = (parse_property(f"{START}(assert {each})").cases for each in assertions)
        assert [*map(_meaning, found)] == [*map(_meaning, wanted)], assertions


def _meaning(case: Case) -> tuple[object, ...]:
    ends = (case.lower.tolist(), case.upper.tolist(), case.query.box.lower.tolist())
    parts = {frozenset(case.constraints[i] for i in part) for part in case.query.alternatives}
    return (*ends, case.query.box.upper.tolist(), parts)


def test_distinct_terms_differ_in_pairs() -> None:
    (query,) = parse_property(f"{START}(assert (distinct Y_0 Y_1 3))").queries
    met = query.met_by(np.array([[3, 1], [1, 3], [1, 1], [1, 2]]))
    assert met.tolist() == [False, False, False, True]
    (query,) = parse_property(f"{START}(assert (xor (< Y_0 0) (< Y_1 0) (< Y_0 Y_1)))").queries
    outputs = np.array([[-1, 1], [-2, -1], [1, 1], [2, -1]])
    assert query.met_by(outputs).tolist() == [False, True, False, True]


def test_commands_around_a_question() -> None:
    asked = parse_property(
        f"""{DECLARED}(declare-const Y_1 Real)(define-fun e () Real 0.5)
        (define-const low Bool (<= Y_0 e))(push 2){BOX}(echo "a ; (""b"")")(push)
        (assert (not low))(check-sat)(get-value (Y_0 (+ X_0 1)))(get-info :all)(check-sat)
        (pop 1)(pop 2)(exit)"""
    )
    (case,) = asked.cases
    assert case.query.rows.tolist() == [[-1, 0]]
    assert case.query.limits.tolist() == [-0.5]
    assert case.query.strict.tolist() == [True]


def test_what_was_taken_back_is_not_asked() -> None:
    (query,) = parse_property(
        f"{START}(push 1)(declare-const Y_2 Real)(assert (<= Y_0 1))(pop 1)(assert (<= Y_1 2))"
        "(check-sat)"
    ).queries
    assert query.rows.tolist() == [[0, 1]]


@pytest.mark.parametrize("letter", ["X", "x"])
def test_names_with_a_place_on_every_axis(letter: str) -> None:
    output = "Y" if letter == "X" else "y"
    places = [(i, j) for j in (2, 0, 1) for i in (1, 0)]
    text = "".join(
        f"(declare-const {letter}_{i}_{j} Real)(assert (= {letter}_{i}_{j} {10 * i + j}))"
        for i, j in places
    )
    text += f"; (declare-const {letter}_7_7 Real)\r(declare-const {output}_0 Real)"
    asked = parse_property(text)
    assert asked.input_shape == (2, 3)
    assert asked.queries[0].box.lower.tolist() == [[0, 1, 2, 10, 11, 12]]
    for shape in [(2, 3), (6,), (1, 2, 3), (2, 1, 3)]:
        assert asked.shape_mismatch(shape, (1,), "it") is None
    assert "has them in the shape (3, 2)" in str(asked.shape_mismatch((3, 2), (1,), "it"))
    assert "but it has 5" in str(asked.shape_mismatch((5,), (1,), "it"))


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


FAULTS = {
    "forms": [
        ("\n\n(assert (<= X_0 1)", 3, "not closed"),
        ("\n)", 2, "too many"),
        ("\nhello", 2, "expected '('"),
        ('(set-info "open', 1, "not closed"),
    ],
    "commands": [
        ("(assert)", 1, "one formula"),
        ("()", 1, "unknown command '()'"),
        ("((assert))", 1, "unknown command"),
        ("(define-sort R () Real)", 1, "unknown command '(define-sort R () Real)'"),
        (f"{START}(define-fun f ((a Real)) Real a)", 6, "functions of arguments are not read"),
        (f"{START}(define-fun f () Bool 1)", 6, "is no 'Bool'"),
        (f"{START}(define-const Y_0 Real 1)", 6, "declared twice"),
        (f"{START}(push x)", 6, "needs a number of levels"),
        (f"{START}(push 99999)", 6, "more than 10,000 levels"),
        (f"{START}(pop 1)", 6, "takes back more"),
        (f"{START}(check-sat)(assert (<= Y_0 1))", 6, "comes after (check-sat)"),
        (f"{START}(exit)(assert (<= Y_0 1))", 6, "comes after (exit)"),
        (f"{START}(push)(assert (<= Y_0 1))(check-sat)(pop)(check-sat)", 6, "several questions"),
        (f"{START}(check-sat-assuming ((<= Y_0 1)))", 6, "unknown command"),
    ],
    "names": [
        ("(declare-const X_0 Int)", 1, "does not declare a Real"),
        ("(declare-const Z_0 Real)", 1, "'Z_0' is not a name of an input X_i or an output Y_j"),
        ("(declare-const X_01 Real)", 1, "'X_01'"),
        ("(declare-const (X_0) Real)", 1, "'(X_0)'"),
        ("(declare-const X_0 Real)\n(declare-const X_0 Real)", 2, "declared twice"),
        (f"{START}\n(assert (<= Y_7 1))", 7, "unknown name 'Y_7'"),
        (f"{START}(assert (let ((a 1) (b a)) (<= b Y_0)))", 6, "unknown name 'a'"),
        (f"{START}(assert (<= x_0 1))", 6, "unknown name 'x_0'"),
        (f"{START}(declare-const Y_0_0 Real)", 6, "Y_0_0 has 2 numbers, other names of Y have 1"),
        (f"{START}(assert (<= Y_1 nan))", 6, "unknown name 'nan'"),
    ],
    "terms": [
        (f"{START}(assert\n (<= X_0 X_1))", 7, "relates several inputs"),
        (f"{START}(assert (<= X_0 Y_0))", 6, "relates inputs with outputs"),
        (f"{START}(assert (<= (* Y_0 Y_1) 1))", 6, "multiplies variables"),
        (f"{START}(assert (<= (/ 1 Y_1) 1))", 6, "divides"),
        (f"{START}(assert (<= (/ Y_1 0) 1))", 6, "divides"),
        (f"{START}(assert (<= (max Y_1 0) 1))", 6, "operator 'max'; there are and, or, not,"),
        (f"{START}(assert (<= Y_1))", 6, "does not compare"),
        (f"{START}(assert (<= () Y_1))", 6, "expected a formula or a term, got '()'"),
        (f"{START}(assert (<= true Y_1))", 6, "expected a term, got 'true'"),
        (f"{START}(assert (= Y_1 true))", 6, "expected a term, got 'true'"),
        (f"; a\r; b\r\n{START}(assert (<= (+ X_0 X_1) 2))", 8, "X_0 is not fixed"),
    ],
    "formulas": [
        (f"{START}(assert Y_1)", 6, "expected a formula"),
        (f"{START}(assert (not Y_1))", 6, "expected a formula, got 'Y_1'"),
        (f"{START}(assert (not))", 6, "does not negate one formula"),
        (f"{START}(assert (=> true))", 6, "needs 2 formulas"),
        (f"{START}(assert (ite true Y_1))", 6, "is not (ite condition this that)"),
        (f"{START}(assert (ite true Y_1 false))", 6, "between a formula and a term"),
        (f"{START}(assert (let ((a 1))))", 6, "is not (let ((name value) ...) body)"),
        (f"{START}(assert (let ((a 1) (a 2)) (<= a Y_0)))", 6, "named twice"),
        (f"{START}(assert (let ((1 2)) (<= 1 Y_0)))", 6, "does not name a value"),
    ],
    "numbers": [
        (
            f"{START}(assert (and (= X_0 1) (= (* 1e-200 X_1) (* 1e200 X_0))))",
            6,
            "does not fit float64",
        ),
        (f"{START}(assert (<= Y_1 0x1p3))", 6, "no number that can be read"),
        (f"{START}(assert (<= Y_1 1e400))", 6, "does not fit float64"),
        (f"{START}(assert (<= X_1 -1e400))", 6, "does not fit float64"),
    ],
}
"""Texts, the line that is wrong, and what the message says of it."""


@pytest.mark.parametrize("kind", FAULTS)
def test_errors_name_the_line(kind: str) -> None:
    for text, line, words in FAULTS[kind]:
        problem = refusal(text)
        assert f"'spec.vnnlib', line {line}: " in problem, text
        assert words in problem, text
        assert "\n" not in problem, text


def refusal(text: str) -> str:
    """What the message of the error says; empty where a text is read."""
    try:
        parse_property(text, name="spec.vnnlib")
    except BadProperty as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "declares no input X_0"),
        ("(declare-const X_0 Real)", "declares no output Y_0"),
        ("(declare-const X_1 Real)(declare-const Y_0 Real)", "but not X_0"),
        (DECLARED + "(assert (>= X_0 0))(assert (<= X_0 1))(assert (<= X_1 1))", "bound for X_1"),
        ("(declare-const X_0_1 Real)(declare-const Y_0 Real)", "1 inputs X_i, but not X_0_0"),
        (f"{START}(push)(assert (<= Y_0 1))(pop)", "takes assertions back by .pop."),
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
