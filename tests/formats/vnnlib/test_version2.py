"""VNN-LIB 2.0, through the package vnnlib."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest

from sensverify.errors import BackendMissing, BadProperty
from sensverify.formats.vnnlib import parse_property

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


@pytest.fixture
def package() -> None:
    if importlib.util.find_spec("vnnlib") is None:
        if os.environ.get("CI"):
            pytest.fail("the package vnnlib is not installed")
        pytest.skip("the package vnnlib is not installed")


@pytest.mark.usefixtures("package")
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


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("(<= X[0,0,0] 1.0)", "(<= X[0,0,0] X[0,0,1])", "line 8: .*relates several inputs"),
        ("X[0,1,1] -0.5", "X[0,2,1] -0.5", "line 11: Index out of bounds"),
        ("(declare-output Y", "(declare-output Z float32 [2])(declare-output Y", "2 outputs"),
        ("(assert (<= X", "(assert (<= ", "no valid VNN-LIB 2.0"),
        ("3.0", "3", "line 12: Type mismatch"),
    ],
)
def test_errors(old: str, new: str, words: str) -> None:
    with pytest.raises(BadProperty, match=words):
        parse_property(TEXT.replace(old, new))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vnnlib", None)
    with pytest.raises(BackendMissing, match=r"pip install 'sensverify\[vnnlib\]'"):
        parse_property(TEXT)


def test_deep_nesting_does_not_reach_the_package() -> None:
    with pytest.raises((BadProperty, BackendMissing)):
        parse_property(TEXT + "(assert " + "(and " * 10**5)
