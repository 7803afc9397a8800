"""The grammar of losses: what is written is what is read, and what is wrong is shown."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensverify.errors import BadSetting
from sensverify.registry.calls import Call, parse_call, parse_sum, show_sum

DEEP = "a" + "(b=a" * 21 + ")" * 21

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_&]{0,6}(-[A-Za-z0-9_&]{1,4}){0,2}", fullmatch=True)
WORDS = NAMES.filter(lambda name: name.lower() not in ("none", "true", "false"))
KEYS = NAMES.map(lambda name: name.replace("-", "_"))
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)


def calls(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.builds(Call, WORDS, st.dictionaries(KEYS, values, max_size=3))


TEXTS = st.text(max_size=8).filter(lambda text: "'" not in text or '"' not in text)


def values(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(calls(inner), several)


CALLS = calls(st.recursive(PLAIN | TEXTS, values, max_leaves=4))
WEIGHTS = st.floats(allow_nan=False, allow_infinity=False)


@given(CALLS)
def test_a_call_is_read_as_it_is_shown(call: Call) -> None:
    again = parse_call(str(call))
    assert again == call
    assert str(again) == str(call)


@given(st.lists(st.tuples(WEIGHTS, CALLS), min_size=1, max_size=4).map(tuple))
def test_a_sum_is_read_as_it_is_shown(terms: tuple[tuple[float, Call], ...]) -> None:
    assert parse_sum(show_sum(terms)) == terms


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        terms = parse_sum(text)
    except BadSetting:
        return
    assert parse_sum(show_sum(terms)) == terms


@pytest.mark.parametrize(
    "text",
    [
        "cross-entropy+0.02*sensitivity(form=log)",
        " cross-entropy  +\n2e-2 * sensitivity ( form = log ) ",
        "1*cross-entropy+.02*sensitivity(form=log)",
        "+1.0*cross-entropy + +0.02*sensitivity(form=log)",
    ],
)
def test_spaces_and_spellings_do_not_matter(text: str) -> None:
    expected = ((1.0, Call("cross-entropy")), (0.02, Call("sensitivity", {"form": Call("log")})))
    assert parse_sum(text) == expected


def test_what_values_become() -> None:
    found = parse_call(
        "f(a=1, b=1.0, c=-2e3, d=None, e=TRUE, g-h=false, i=word, j=x(k=1), l='two words', "
        'm="it\'s", n=(1, a, (true)), o=x + y(k=1), p=())'
    )
    assert dict(found.settings) == {
        "l": "two words",
        "m": "it's",
        "n": (1, Call("a"), (True,)),
        "o": (Call("x"), Call("y", {"k": 1})),
        "p": (),
        "a": 1,
        "b": 1.0,
        "c": -2000.0,
        "d": None,
        "e": True,
        "g_h": False,
        "i": Call("word"),
        "j": Call("x", {"k": 1}),
    }
    assert type(found.settings["a"]) is int
    assert type(found.settings["b"]) is float


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a name at its end"),
        ("2", r"expected '\*' at its end"),
        ("2*", "expected a name at its end"),
        ("a b", "expected the end before 'b'"),
        ("a + ", "expected a name at its end"),
        ("a(", "expected the name of a setting at its end"),
        ("a(1)", r"expected the name of a setting before '1\)'"),
        ("a(b)", r"expected '=' before '\)'"),
        ("a(b=1", r"expected ',' or '\)' at its end"),
        ("a(b=1,)", r"expected the name of a setting before '\)'"),
        ("a(b=1 c=2)", r"expected ',' or '\)' before 'c=2\)'"),
        ("a(b=1, b=2)", "b is given twice"),
        ("1e999*a", "the number 1e999 is too large"),
        ("nan*a", r"expected the end before '\*a'"),
        ("a*2", r"expected the end before '\*2'"),
        ("a - b", "expected the end before '- b'"),
    ],
)
def test_what_cannot_be_read_is_shown(text: str, message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        parse_sum(text)


def test_calls_are_values() -> None:
    options = {"a": 1}
    call = Call("f", options)
    options["a"] = 2
    assert call.settings["a"] == 1
    with pytest.raises(TypeError):
        call.settings["a"] = 3  # type: ignore[index]
    assert pickle.loads(pickle.dumps(call)) == call


@pytest.mark.parametrize("text", [DEEP, "a(b=" * 3000])
def test_calls_inside_of_calls_have_an_end(text: str) -> None:
    with pytest.raises(BadSetting, match="inside of each other"):
        parse_call(text)
    assert str(parse_call("a" + "(b=a" * 20 + ")" * 20)).count("(") == 20
    # Beside each other there may be many.
    assert len(parse_sum(" + ".join(["a(b=c(d=1))"] * 100))) == 100
