"""VNN-LIB 2: what is read, what is refused, and the same by the standard's own package."""

from __future__ import annotations

import importlib.util
import os
from fractions import Fraction

import numpy as np
import pytest

from sensverify.errors import BadProperty
from sensverify.formats.vnnlib import parse_property, parse_query
from sensverify.formats.vnnlib.terms import Variable

TEXT = """(vnnlib-version <2.0>)
; one network
(declare-network acc
  (declare-input X float32 [1, 2, 2])
  (declare-output Y float32 [1, 2])
)
(assert (and (>= X[0,0,0] -0.5) (<= (* -1.0 X[0,0,0]) 0.25)))
(assert (<= X[0,0,0] 1.0))
(assert (and (>= X[0,0,1] 0.0) (<= X[0,0,1] 1.0)))
(assert (and (>= X[0,1,0] 0.0) (<= X[0,1,0] 0.1)))
(assert (and (>= X[0,1,1] -0.5) (>= 2.0 X[0,1,1])))
(assert (or (<= Y[0,0] (+ Y[0,1] 3.0)) (> (- Y[0,1] 1.0 Y[0,0]) 0.0)))
"""
ONE = "(vnnlib-version <2.0>)\n(declare-network f (declare-input X real [2]) {})\n{}"
BOUNDS = "(assert (and (>= X[0] -1) (<= X[0] 1) (>= X[1] -1) (<= X[1] 1)))\n"
PAIR = """(vnnlib-version <2.1>)
(declare-network f (declare-input A float32 [2]) (declare-output P float32 []))
(declare-network g {} (declare-input B float32 [2]) (declare-hidden H float32 [3] "in/side:0")
  (declare-output Q float32 []))
"""


@pytest.fixture
def package():
    if importlib.util.find_spec("vnnlib") is None:
        if os.environ.get("CI"):
            pytest.fail("the package vnnlib is not installed")
        pytest.skip("the package vnnlib is not installed")
    return importlib.import_module("vnnlib")


def test_a_property() -> None:
    asked = parse_property(TEXT)
    (case,) = asked.cases
    assert (asked.inputs, asked.outputs) == (4, 2)
    assert case.lower.tolist() == [-0.25, 0, 0, -0.5]
    # The largest float64 that is no more than 0.1, and the smallest that is no less.
    assert case.upper.tolist() == [1, 1, pytest.approx(0.1, abs=1e-16), 2]
    assert case.upper[2] < 0.1 == case.query.box.upper[0, 2]
    assert case.query.rows.tolist() == [[1, -1], [1, -1]]
    assert case.query.limits.tolist() == [3, -1]
    assert case.query.strict.tolist() == [False, True]
    assert case.query.alternatives == ((0,), (1,))


def test_the_same_as_a_query() -> None:
    asked = parse_query(TEXT)
    assert asked.plain
    assert asked.types == ("float32",)
    (case,), (flat,) = asked.flat.cases, parse_property(TEXT).cases
    for one, other in zip(
        (case.lower, case.upper, case.query.rows, case.query.limits),
        (flat.lower, flat.upper, flat.query.rows, flat.query.limits),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("(<= X[0,0,0] 1.0)", "(<= X[0,0,0] X[0,0,1])", "line 8: .*relates several inputs"),
        ("X[0,1,1] -0.5", "X[0,2,1] -0.5", "line 11: 'X.0,2,1.' is no entry of 'X'"),
        ("X[0,1,1] -0.5", "X[0,1] -0.5", "line 11: 'X.0,1.' is no entry"),
        ("X[0,1,1] -0.5", "X -0.5", "line 11: 'X' is no entry"),
        ("X[0,1,1] -0.5", "Z[0] -0.5", "line 11: unknown name 'Z.0.'"),
        ("X[0,1,1] -0.5", "X_3 -0.5", "line 11: unknown name 'X_3'"),
        ("X[0,1,1] -0.5", "0.25 -0.5", "line 11: .*holds no variable"),
        ("(declare-output Y", "(declare-hidden H float32 [2])(declare-output Y", "is not .declare"),
        ("(declare-output Y float32 [1, 2])", "", "line 3: network 'acc' has no output"),
        ("(assert (<= X", "(assert (<= ", "does not compare two terms"),
        ("(assert (<= X[0,0,0] 1.0))", "(assert X[0,0,0])", "line 8: .*one formula"),
        ("(assert (<= X[0,0,0] 1.0))", "(assert (not (<= X[0,0,0] 1.0)))", "expected a formula"),
        ("(assert (<= X[0,0,0] 1.0))", "(check-sat)", "line 8: unknown command"),
        ("(* -1.0 X[0,0,0])", "(/ X[0,0,0] 2.0)", "line 7: expected a term"),
        ("<2.0>", "<3.0>", "version 3.0"),
        ("<2.0>", "2.0", "expected .vnnlib-version <2.0>."),
        ("X float32 [1, 2, 2]", "X float31 [1, 2, 2]", "'float31'; there are real"),
        ("X float32 [1, 2, 2]", "X float32 [1, -2, 2]", "no shape"),
        ("X float32 [1, 2, 2]", "X float32 [1, 0, 2]", "cannot be used"),
        ("X float32 [1, 2, 2]", "X float32 [99999,99999,99]", "cannot be used"),
        ("X float32 [1, 2, 2]", "X real [1, 2, 2]", "some variables are real"),
        ("X float32 [1, 2, 2]", "X float32 [1, 2, 2] initialized", "initialized"),
        ("declare-output Y", "declare-output X", "'X' is declared twice"),
        ("declare-network acc", "declare-network 3", "does not name a network"),
        ("(>= X[0,1,1] -0.5) ", "(>= X[0,1,1] -0.5.5) ", "no number"),
        ("(>= X[0,1,1] -0.5) ", "", "no lower or no upper bound for X_3"),
    ],
)
def test_errors(old: str, new: str, words: str) -> None:
    assert old in TEXT
    with pytest.raises(BadProperty, match=words):
        parse_property(TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(vnnlib-version <2.0>)", "no network is declared"),
        (ONE.format("(declare-output Y real [1])", ""), "nothing is asserted"),
        (TEXT + "(declare-network g (declare-input Z float32 [1]))", "declared before"),
        (TEXT + "(assert " + "(and " * 10**5, "deep"),
        (TEXT + "(assert (and))", "joins nothing"),
        (PAIR.format("(equal-to h)") + "(assert (<= P 1.0))", "like 'h', which is not declared"),
        (PAIR.format("(equal-to f)(equal-to f)") + "(assert (<= P 1.0))", "may stand first"),
        (
            PAIR.format("(equal-to f)").replace("B float32 [2]", "B float32 [3]")
            + "(assert (<= P 1.0))",
            "other inputs than 'f'",
        ),
    ],
)
def test_errors_of_whole_texts(text: str, words: str) -> None:
    with pytest.raises(BadProperty, match=words):
        parse_query(text)


def test_types_are_not_mixed() -> None:
    text = PAIR.format("").replace("B float32 [2]", "B int64 [2]")
    with pytest.raises(BadProperty, match="mixes the types float32 and int64"):
        parse_query(text + "(assert (<= A[0] B[0]))")
    with pytest.raises(BadProperty, match=r"'0\.5' is no int64"):
        parse_query(text + "(assert (<= B[0] 0.5))")


def test_what_one_network_s_property_is_not() -> None:
    text = PAIR.format("") + "(assert (<= P 1.0))"
    with pytest.raises(BadProperty, match="2 networks") as caught:
        parse_property(text)
    assert "vnnlib verify" in caught.value.remedy


def bounds(name: str, low: float = -1.0, high: float = 1.0, count: int = 2) -> str:
    return "".join(
        f"(assert (>= {name}[{i}] {low})) (assert (<= {name}[{i}] {high}))" for i in range(count)
    )


def test_equal_inputs_are_one() -> None:
    text = PAIR.format("(equal-to f)") + bounds("A") + "(assert (== A[1] B[0]))"
    text += "(assert (>= B[1] 0.0)) (assert (<= B[1] 0.5)) (assert (>= B[0] 0.25))"
    asked = parse_query(text + "(assert (>= P Q))")
    assert asked.places == (0, 1, 1, 2)
    (case,) = asked.flat.cases
    assert case.lower.tolist() == [-1, 0.25, 0]
    assert case.upper.tolist() == [1, 1, 0.5]
    # P, then Q, then H, which is declared before Q.
    assert case.query.rows.tolist() == [[-1, 1, 0, 0, 0]]
    assert not asked.plain


def test_inputs_that_are_compared_are_outputs() -> None:
    text = PAIR.format("") + bounds("A") + bounds("B")
    asked = parse_query(text + "(assert (<= (+ A[1] (* 2.0 Q)) (- B[0] 0.5)))")
    assert asked.compared == (1, 2)
    (case,) = asked.flat.cases
    assert case.query.rows.tolist() == [[0, 2, 0, 0, 0, 1, -1]]
    assert case.query.limits.tolist() == [-0.5]


def test_relations_bound_inputs() -> None:
    text = PAIR.format("") + bounds("A") + "(assert (<= B[0] (+ A[0] 0.5)))"
    text += "(assert (>= B[0] (- A[0] 0.5))) (assert (== B[1] (* 2.0 A[1])))"
    asked = parse_query(text + "(assert (<= P Q))")
    (case,) = asked.flat.cases
    assert case.lower.tolist() == [-1, -1, -1.5, -2]
    assert case.upper.tolist() == [1, 1, 1.5, 2]
    assert asked.implied == 1
    with pytest.raises(BadProperty, match=r"bound for B\[1\]"):
        parse_query(PAIR.format("") + bounds("A") + bounds("B", count=1) + "(assert (<= P Q))")


def test_the_longest_chain_of_bounds_is_known() -> None:
    text = "(vnnlib-version <2.0>)(declare-network f (declare-input X real [4])"
    text += "(declare-output Y real [1]))(assert (and (>= X[0] 0) (<= X[0] 1)))"
    # Each from the one before, also where one pass over them finds all.
    text += "".join(
        f"(assert (<= (- X[{i}] X[{i + 1}]) 0.5))(assert (>= (- X[{i}] X[{i + 1}]) -0.5))"
        for i in range(3)
    )
    asked = parse_query(text + "(assert (<= Y[0] 0))")
    assert asked.implied == 3
    assert asked.flat.cases[0].upper.tolist() == [1, 1.5, 2, 2.5]


def test_what_contradicts_itself_has_no_case() -> None:
    text = PAIR.format("") + bounds("A") + "(assert (== A[0] B[0])) (assert (== A[1] B[1]))"
    assert not parse_query(text + "(assert (< A[0] B[0]))").flat.cases
    kept = parse_query(text + "(assert (or (< A[0] B[0]) (<= P 0.0)))").flat.cases
    assert [case.query.rows.tolist() for case in kept] == [[[1, 0, 0, 0, 0]]]


def test_products_of_variables() -> None:
    text = ONE.format("(declare-output Y real [2])", BOUNDS)
    text += "(assert (<= (* Y[0] (+ Y[1] X[0] 2.0) Y[0]) (* 3.0 X[0] Y[0] Y[0])))"
    asked = parse_query(text)
    x, y, z = Variable("X", 0), Variable("Y", 0), Variable("Y", 1)
    named = {tuple(sorted(each)) for each in asked.products}
    assert {(y, y), tuple(sorted((y, y, z))), tuple(sorted((x, y, y)))} <= named
    (constraint,) = asked.flat.cases[0].constraints
    factors = {asked.products[place - 2]: factor for place, factor in constraint.factors}
    assert factors == {
        tuple(sorted((y, y))): Fraction(2),
        tuple(sorted((y, y, z))): Fraction(1),
        tuple(sorted((x, y, y))): Fraction(-2),
    }
    with pytest.raises(BadProperty, match="multiplies variables"):
        parse_property(text)


@pytest.mark.parametrize(
    ("formula", "values", "holds"),
    [
        # 0.1 is rounded to float32 as the input is.
        ("(<= X[0] 0.1)", np.float32(0.1), True),
        ("(< X[0] 0.1)", np.float32(0.1), False),
        ("(== (+ X[0] 16777216.0) 16777216.0)", 1.0, True),
        ("(== (+ 16777216.0 X[0] X[0]) 16777216.0)", 1.0, True),
        ("(== (+ X[0] X[0] 16777216.0) 16777218.0)", 1.0, True),
        ("(<= (* X[0] X[0]) 0.0)", 1e-30, True),
        ("(>= (* X[0] X[0]) 0.0)", 1e30, False),
        ("(<= X[0] 0.0)", np.nan, False),
        ("(or (<= X[0] 0.0) (>= (- X[0]) -2.0))", 1.0, True),
    ],
)
def test_assertions_in_float32(formula: str, values: float, holds: bool) -> None:
    text = ONE.replace("real", "float32").format("(declare-output Y float32 [1])", BOUNDS)
    asked = parse_query(text + f"(assert {formula})")
    own = asked.assertions.formulas[-1]
    found = type(asked.assertions)((own,), asked.assertions.variables).hold(lambda _: values)
    assert found is holds


def test_rounding_of_terms_is_bounded() -> None:
    """Random terms of four numbers, in float32 and exactly."""
    text = ONE.replace("real", "float32").format("(declare-output Y float32 [4])", BOUNDS)
    term = "(+ (* 3.7 Y[0] -0.1) (- Y[1] Y[2] 1000.3) (* Y[3] (+ Y[0] Y[1])))"
    asked = parse_query(text + f"(assert (<= {term} 0.3))")
    rng = np.random.default_rng(0)
    sizes = np.array([1.0, 10.0, 100.0, 1e-3])
    margin = asked.assertions.rounding(lambda which: float(sizes[which.place]))
    worst = 0.0
    for _ in range(200):
        y = np.float32(sizes * rng.uniform(-1, 1, 4))
        f = np.float32
        mine = f(f(f(f(3.7) * y[0]) * f(-0.1)) + f(f(y[1] - y[2]) - f(1000.3)))
        mine = f(mine + f(y[3] * f(y[0] + y[1])))
        a, b, c, d = map(Fraction, y.astype(float).tolist())
        exact = Fraction("3.7") * a * Fraction("-0.1") + b - c - Fraction("1000.3") + d * (a + b)
        off = (Fraction(float(mine)) - Fraction(float(f(0.3)))) - (exact - Fraction("0.3"))
        worst = max(worst, abs(float(off)))
    assert 0 < worst <= margin < 1e3 * worst


GOOD = [
    TEXT,
    PAIR.format("(equal-to f)") + "(assert (== A[0] B[1])) (assert (!= H[2] 0.5))",
    PAIR.format("(isomorphic-to f)") + "(assert (or (<= P Q) (and (> (- P) 1.0) (< Q P))))",
    ONE.format("(declare-output Y real [])", "(assert (<= (* X[0] X[1] Y) (- Y 1.5 X[0])))"),
]
BAD = [
    TEXT.replace("X[0,1,1] -0.5", "X[0,2,1] -0.5"),
    TEXT.replace("X[0,1,1] -0.5", "Z[0,1,1] -0.5"),
    TEXT.replace("(assert (<= X", "(assert (<= "),
    TEXT.replace("declare-output Y", "declare-output X"),
    TEXT.replace("<2.0>", "<3.0>"),
    TEXT + "(assert (not (<= Y[0,0] 1.0)))",
    PAIR.format("(equal-to h)") + "(assert (<= P 1.0))",
]


@pytest.mark.parametrize("text", GOOD + BAD)
def test_the_standard_s_package_says_so_too(text: str, package) -> None:
    def read(reader) -> bool:
        try:
            reader(text)
        except (BadProperty, package.VNNLibException) as error:
            # Bounds that are missing are none of the package's matters.
            return "no lower or no upper bound" in str(error)
        return True

    assert read(package.parse_query_string) is read(parse_query) is (text in GOOD)


def test_rounding_of_computed_bounds_is_bounded() -> None:
    """What float32 allows of ``0.1 x + 3 y - 0.7 <= 0.3 - y`` beyond the exact end of y."""
    text = ONE.replace("real", "float32").format(
        "(declare-output Y float32 [1])",
        "(assert (>= X[0] 0.25)) (assert (<= X[0] 2.0)) (assert (>= X[1] -1.0))"
        "(assert (<= (- (+ (* 0.1 X[0]) (* 3.0 X[1])) 0.7) (- 0.3 X[1])))",
    )
    asked = parse_query(text + "(assert (<= Y[0] 0.0))")
    assert asked.implied
    assert asked.computes_bounds
    end = asked.flat.cases[0].query.box.upper[0, 1]
    assert end == pytest.approx((1.0 - 0.025) / 4)
    moved = asked.assertions.bounds_rounding(
        lambda which: 2.0, asked.places, several=True, chain=asked.implied
    )
    own = type(asked.assertions)((asked.assertions.formulas[3],), asked.assertions.variables)
    furthest = -np.inf
    near = np.float32(end) + np.arange(-200, 200).astype(np.float32) * np.float32(2.0**-26)
    for y in near:
        values = {0: np.float32(0.25), 1: y}
        if own.hold(lambda which, values=values: values[which.place]):
            furthest = max(furthest, float(y))
    assert end - 1e-6 < furthest <= end + moved < end + 1e-3
