"""Values of settings: what type hints take, what they make of it, and what they say of the rest."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensverify.errors import BadSetting, UnknownName
from sensverify.registry.calls import Call, parse_value
from sensverify.registry.catalog import Catalog
from sensverify.registry.hints import Misfit, expected, fit, fit_text
from sensverify.registry.ranges import Range


class Colour(enum.Enum):
    DARK_RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Leaf:
    size: int = 1


@dataclass(frozen=True)
class Branch:
    inner: Leaf | Branch | None = None
    several: tuple[Leaf, ...] = ()


TREES: Catalog[Any] = Catalog(
    "tree", {"leaf": Leaf, "branch": Branch}, types=(Leaf, Branch), example="leaf(size=2)"
)
Small = Annotated[int, Range(1, 9)]


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (int, "3", 3),
        (float, "3", 3.0),
        (float, "-1e-3", -0.001),
        (int | float, "3", 3),
        (int | float, "3.5", 3.5),
        (bool, "true", True),
        (str, "word", "word"),
        (str, "two words, and 3", "two words, and 3"),
        (str, "none", "none"),
        (str | None, "none", None),
        (str | None, "3", "3"),
        (Optional[float], "none", None),  # noqa: UP045
        (Optional[float], "2", 2.0),  # noqa: UP045
        (Small, "9", 9),
        (Small | None, "none", None),
        (Literal["a", "16-mixed", 3], "16-mixed", "16-mixed"),
        (Literal["a", "16-mixed", 3], "3", 3),
        (Colour, "dark-red", Colour.DARK_RED),
        (tuple[float, float], "(0, 1.5)", (0.0, 1.5)),
        (tuple[int, ...], "(1, 2, 3)", (1, 2, 3)),
        (tuple[int, ...], "()", ()),
        (tuple[int, ...], "4", (4,)),
        (tuple[tuple[int, bool], ...], "((1, true), (2, false))", ((1, True), (2, False))),
        (Path, "'a b/c.npy'", Path("a b/c.npy")),
        (Leaf, "leaf", Leaf()),
        (Leaf | None, "none", None),
        (Branch, "branch(inner=branch(inner=leaf(size=3)))", Branch(Branch(Leaf(3)))),
        (tuple[Leaf, ...], "leaf + leaf(size=2)", (Leaf(), Leaf(2))),
        (tuple[Leaf, ...], "leaf", (Leaf(),)),
        (Any, "word", "word"),
    ],
    ids=str,
)
def test_text_becomes_what_the_hint_has(hint: Any, text: str, value: Any) -> None:
    found = fit(hint, fit_text(hint, text))
    assert found == value
    assert type(found) is type(value)
    assert fit(hint, value) == value


@pytest.mark.parametrize(
    ("hint", "value", "says"),
    [
        (int, 3.5, "a whole number"),
        (int, True, "a whole number"),
        (int, "3", "a whole number"),
        (float, None, "a number"),
        (float, True, "a number"),
        (float, 10**400, "a number that a float can hold"),
        (bool, 1, "true or false"),
        (str, 3, "a word"),
        (str, Call("a", {"b": 1}), "a word"),
        (float | None, "x", "a number, or none"),
        (Small, 10, "a whole number from 1 to 9"),
        (Small, 2.0, "a whole number from 1 to 9"),
        (Literal["left", "right"], Call("rihgt"), r"one of left, right \(did you mean 'right'\?\)"),
        (Literal[1, 2], True, "one of 1, 2"),
        (Colour, Call("green"), "one of dark-red, blue"),
        (tuple[float, float], (1, 2, 3), r"\(a number, a number\)"),
        (tuple[float, float], (1, "a"), r"\(a number, a number\)"),
        (tuple[int, ...], (1, 2.5), "several of these with ',' between them: a whole number"),
        (Leaf, 3, r"a tree such as leaf\(size=2\)"),
        (Leaf, Leaf, r"a tree such as leaf\(size=2\)"),
        (Branch | None, Leaf(), "a tree .*, or none"),
        (Callable[[int], int], 3, "an object of type"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told_what_would(hint: Any, value: Any, says: str) -> None:
    with pytest.raises(Misfit, match=says):
        fit(hint, value)


def test_errors_inside_of_calls_say_where() -> None:
    with pytest.raises(UnknownName) as caught:
        TREES.make("branch(inner=branch(inner=laef))")
    assert caught.value.problem == (
        "tree 'branch': inner: tree 'branch': inner: there is no tree 'laef' (did you mean 'leaf'?)"
    )
    with pytest.raises(BadSetting) as refused:
        TREES.make("branch(inner=leaf(size=big))")
    assert refused.value.problem.endswith("tree 'leaf': size takes a whole number, got big")


LEAVES = st.integers(0, 99).map(lambda size: Call("leaf", {"size": size}))


@given(st.recursive(LEAVES, lambda inner: inner.map(lambda c: Call("branch", {"inner": c}))))
def test_calls_nest_as_objects_do(call: Call) -> None:
    made, depth = TREES.make(str(call)), str(call).count("branch")
    for _ in range(depth):
        assert isinstance(made, Branch)
        made = made.inner
    assert isinstance(made, Leaf)


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.none(), st.text()))
def test_a_fit_is_of_the_type_and_stays_as_it_is(value: Any) -> None:
    for hint in (int, float, bool, str, int | None, float | bool):
        try:
            found = fit(hint, value)
        except Misfit:
            continue
        assert found == value
        assert fit(hint, found) == found


def test_every_hint_can_be_said() -> None:
    for hint in (int, float | None, Small, Colour, tuple[int, ...], Leaf, dict, Literal["a"]):
        assert expected(hint)


@pytest.mark.parametrize("text", ["a b", "(1", "1 2", "'a", ""])
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(BadSetting, match="write it as in"):
        parse_value(text)
