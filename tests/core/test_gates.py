"""Gates: limits as people write them, and verdicts that never pass what was not measured."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensverify.core.gates import Figure, Gate, GateVerdict, Limit, exit_status, judge
from sensverify.errors import BadSetting

LIMITS = {
    "0.9": Limit(0.9),
    "90%": Limit(0.9),
    "-3": Limit(-3.0),
    "1e-3": Limit(1e-3),
    ".5": Limit(0.5),
    "baseline": Limit(0.0, "+"),
    "baseline-0.01": Limit(0.01, "-"),
    "baseline - 1%": Limit(0.01, "-"),
    "baseline+2": Limit(2.0, "+"),
    "baseline*0.98": Limit(0.98, "*"),
    "baseline*98%": Limit(0.98, "*"),
}


def test_limits_are_read_as_people_write_them():
    assert {text: Limit.parse(text) for text in LIMITS} == LIMITS
    assert Limit.parse(0.25) == Limit(0.25)


@pytest.mark.parametrize(
    "text",
    ["", "nan", "inf", "90 %%", "baseline/2", "baseline2", "base-1", "baseline-", "1-2", "%"],
)
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(BadSetting):
        Limit.parse(text)
    with pytest.raises(BadSetting):
        Limit.parse(math.nan)


def test_a_relative_limit_needs_an_earlier_figure():
    assert Limit(0.01, "-").against(0.9) == pytest.approx(0.89)
    assert Limit(0.5, "*").against(3.0) == 1.5
    for earlier in (None, math.nan):
        with pytest.raises(BadSetting, match="earlier result"):
            Limit(0.01, "-").against(earlier)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_verdict_is_right_wherever_the_figure_is(a, b, limit):
    least, most = sorted((a, b))
    for name, keeps in (("min_x", lambda v: v >= limit), ("max_x", lambda v: v <= limit)):
        verdict = Gate(name, Figure(least, most, 5), limit).verdict
        ends = {keeps(least), keeps(most)}
        expected = {True: GateVerdict.PASSED, False: GateVerdict.FAILED}
        assert verdict is (expected[ends.pop()] if len(ends) == 1 else GateVerdict.UNDECIDED)


@pytest.mark.parametrize(
    "figure",
    [Figure(None, None, 0), Figure(1.0, 1.0, 0), Figure(math.nan, 1.0, 3), Figure(0.5, None, 3)],
)
@pytest.mark.parametrize(("name", "limit"), [("min_x", -math.inf), ("max_x", math.inf)])
def test_nothing_measured_passes_nothing(figure, name, limit):
    assert Gate(name, figure, limit).verdict is GateVerdict.FAILED


def test_limits_meet_their_figures():
    figures = {"min_certified": Figure(0.8, 0.95, 20, True), "max_width": Figure(2.0, 2.0, 20)}
    limits = {
        "min_certified": Limit(0.05, "-"),
        "max_width": Limit(1.5),
        "max_changed": Limit(0.1),
    }
    gates = judge(figures, limits, {"min_certified": Figure(0.85, 0.99, 20, True)}, group="3")
    assert [(gate.name, gate.verdict.value) for gate in gates] == [
        ("min_certified", "passed"),
        ("max_width", "failed"),
        ("max_changed", "failed"),
    ]
    assert (gates[0].limit, gates[0].baseline) == (pytest.approx(0.8), 0.85)
    assert exit_status(gates) == 1
    assert exit_status(gates[:1]) == 0
    open_still = judge(figures, {"min_certified": Limit(0.9)})
    assert (open_still[0].verdict, exit_status(open_still)) == (GateVerdict.UNDECIDED, 3)
    assert exit_status(()) == 0
