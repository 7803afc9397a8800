"""Calibration of severities against accuracies that are known."""

from __future__ import annotations

from math import nan

import pytest

from sensverify.corruptions import calibrate
from sensverify.errors import BadSetting


@pytest.mark.parametrize("accuracy", [0.3, 0.9, 1.0])
def test_a_line_is_solved(accuracy: float) -> None:
    found = calibrate(lambda s: accuracy * (1 - s), reference=accuracy, tolerance=1e-6)
    assert found.lower == pytest.approx(0.01 / accuracy, abs=1e-6)
    assert found.upper == pytest.approx(0.5, abs=1e-6)
    assert found.evaluations < 50


def test_every_answer_was_asked_for_and_meets_its_condition() -> None:
    asked: dict[float, float] = {}

    def accuracy(strength: float) -> float:
        asked[strength] = round(0.9 * (1 - strength**2), 2)
        return asked[strength]

    found = calibrate(accuracy, reference=0.9, tolerance=0.01)
    assert found.lower is not None
    assert found.upper is not None
    assert asked[found.lower] <= 0.9 - 0.01
    assert asked[found.upper] <= 0.45
    for end, target in ((found.lower, 0.89), (found.upper, 0.45)):
        weaker = max(strength for strength in asked if strength < end)
        assert end - weaker <= 0.01
        assert asked[weaker] > target
    assert found.evaluations == len(asked)


def test_what_is_never_reached_is_none() -> None:
    assert calibrate(lambda s: 0.9, reference=0.9).lower is None
    found = calibrate(lambda s: 0.9 - 0.1 * s, reference=0.9)
    assert found.lower == pytest.approx(0.1, abs=1e-3)
    assert found.upper is None


def test_what_is_reached_at_once() -> None:
    found = calibrate(lambda s: 0.2, reference=0.9, strengths=(0.1, 2.0))
    assert (found.lower, found.upper, found.evaluations) == (0.1, 0.1, 1)


def test_strengths_may_fall() -> None:
    found = calibrate(lambda factor: 0.8 * factor, reference=0.8, strengths=(1.0, 0.0))
    assert found.lower == pytest.approx(1 - 0.01 / 0.8, abs=1e-3)
    assert found.upper == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reference": 90.0}, "reference accuracy .* 90"),
        ({"reference": nan}, "reference accuracy"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": nan}, "tolerance"),
        ({"strengths": (1.0, 1.0)}, "strengths"),
        ({"strengths": (nan, 1.0)}, "strengths"),
        ({"point": 0.0}, "point"),
        ({"share": nan}, "share"),
        ({"share": 0.0}, "share"),
        ({"share": 1.1}, "share"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        calibrate(lambda s: 0.5, **{"reference": 0.9, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [nan, -0.1, 55.0])
def test_accuracies_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(BadSetting, match="accuracy at strength"):
        calibrate(lambda s: bad, reference=0.9)
