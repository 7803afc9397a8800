"""Settings of classes and functions, from their signatures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from sensverify.bounds import Crown, Ibp
from sensverify.errors import BadSetting
from sensverify.registry.settings import (
    REQUIRED,
    call_of,
    check_settings,
    fit_settings,
    settings_of,
)

if TYPE_CHECKING:
    from nowhere import Nothing


@dataclass(frozen=True)
class Base:
    one: int = 1


@dataclass(frozen=True)
class Point(Base):
    two: float = 2.0
    three: tuple[int, ...] = field(default_factory=lambda: (3,))
    name: ClassVar[str] = "point"
    _memory: list[int] = field(default_factory=list, init=False)


class Plain:
    def __init__(self, data: object, *more: int, rate: float = 0.5, word="a", **rest: Any) -> None:
        self.rate = rate


def act(step: object, power: int = 2, *, flag: bool, loose=None) -> None: ...


def unreadable(step: object, *, what: Nothing) -> None: ...


def test_what_counts_as_a_setting() -> None:
    found = settings_of(Point)
    assert {name: (each.hint, each.default) for name, each in found.items()} == {
        "one": (int, 1),
        "two": (float, 2.0),
        "three": (tuple[int, ...], (3,)),
    }
    assert {n: (s.hint, s.default) for n, s in settings_of(Plain, 1).items()} == {
        "rate": (float, 0.5),
        "word": (str, "a"),
    }
    assert {n: (s.hint, s.default) for n, s in settings_of(act, 1).items()} == {
        "power": (int, 2),
        "flag": (bool, REQUIRED),
        "loose": (Any, None),
    }


def test_settings_that_cannot_be_read() -> None:
    with pytest.raises(BadSetting, match="settings of unreadable cannot be read") as caught:
        settings_of(unreadable)
    assert "TYPE_CHECKING" in caught.value.remedy


@pytest.mark.parametrize(
    ("values", "problem", "remedy"),
    [
        ({"flag": True, "pwoer": 3}, "no setting 'pwoer' (did you mean 'power'?)", "it has power"),
        ({"power": 3}, "it needs the setting `flag`", ""),
        ({"flag": 1}, "it: flag takes true or false, got 1", ""),
    ],
)
def test_settings_that_do_not_fit(values: dict[str, Any], problem: str, remedy: str) -> None:
    with pytest.raises(BadSetting) as caught:
        fit_settings("it", settings_of(act, 1), values)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_fields_are_checked_where_an_object_is_made() -> None:
    check_settings(Point(), "point")
    with pytest.raises(BadSetting, match=r"point: one takes a whole number, got 1\.5"):
        check_settings(Point(one=1.5), "point")  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="`two` takes a number, got 'x'"):
        check_settings(Point(two="x"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Point(), "point"),
        (Point(two=0.5, three=(1, 2)), "point(two=0.5, three=(1, 2))"),
        (Crown(Crown(Ibp())), "crown(intermediate=crown(intermediate=ibp))"),
        (act, "act"),
    ],
)
def test_the_call_that_makes_an_object(made: Any, text: str) -> None:
    assert str(call_of(made)) == text
