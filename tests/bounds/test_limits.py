"""Settings of a method, from text."""

from __future__ import annotations

from typing import Any

import pytest

from sensverify.bounds import Crown, Ibp, Lirpa
from sensverify.bounds.limits import with_limits, with_seed
from sensverify.bounds.method import METHODS, make_method
from sensverify.errors import BadSetting, UnknownName


def read(name: str, settings: dict[str, str]) -> Any:
    return METHODS.make(METHODS.read(name, settings))


@pytest.mark.parametrize(
    ("name", "settings", "field", "value"),
    [
        ("crown", {}, "intermediate", None),
        ("crown", {"intermediate": "ibp"}, "intermediate", Ibp()),
        ("crown", {"intermediate": "none"}, "intermediate", None),
        ("crown", {"intermediate": "crown(intermediate=ibp)"}, "intermediate", Crown(Ibp())),
        ("crown(intermediate=crown(intermediate=ibp))", {}, "intermediate", Crown(Ibp())),
        ("alpha-crown(steps=2)", {"seconds": "3"}, "steps", 2),
        ("alpha-crown", {"steps": "7"}, "steps", 7),
        ("alpha-crown", {"seconds": "2"}, "seconds", 2.0),
        ("alpha-crown", {"seconds": "none"}, "seconds", None),
    ],
)
def test_text_becomes_what_the_field_holds(
    name: str, settings: dict[str, str], field: str, value: Any
) -> None:
    found = getattr(read(name, settings), field)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "settings", "error"),
    [
        ("magic", {}, UnknownName),
        ("crown", {"intermediate": "magic"}, UnknownName),
        ("crown", {"steps": "3"}, BadSetting),
        ("crown", {"name": "x"}, BadSetting),
        ("alpha-crown", {"steps": "3.5"}, BadSetting),
        ("alpha-crown", {"steps": "none"}, BadSetting),
        ("alpha-crown", {"steps": "-1"}, BadSetting),
        ("alpha-crown", {"seconds": "nan"}, BadSetting),
        ("crown", {"intermediate": "3"}, BadSetting),
        ("crown", {"intermediate": "crown(intermediate=magic)"}, UnknownName),
        ("crown(intermediate=ibp)", {"intermediate": "none"}, BadSetting),
    ],
)
def test_what_is_refused(name: str, settings: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        read(name, settings)


def test_limits() -> None:
    limited: Any = with_limits(read("alpha-crown", {}), seconds=3.0, gap=None)
    assert limited.seconds == 3.0
    assert with_limits(Crown()) == Crown()


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("seconds", "`timeout`"),
        ("objective_seconds", "`objective_timeout`"),
        ("gap", "`gap`"),
        ("threads", "`threads`"),
    ],
)
def test_a_limit_that_a_method_does_not_have(field: str, option: str) -> None:
    with pytest.raises(BadSetting, match=option) as caught:
        with_limits(Lirpa(), **{field: 1})
    # What could be used instead.
    assert "bisection" in str(caught.value)


def test_a_method_that_hears_a_watch_needs_no_limit_of_its_own() -> None:
    assert with_limits(Crown(), seconds=1.0) == Crown()


def test_only_methods_that_draw_random_numbers_are_seeded() -> None:
    assert with_seed(Crown(), 7) == Crown()
    seeded: Any = with_seed(make_method("bisection"), 7)
    assert seeded.seed == 7
