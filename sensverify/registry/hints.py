"""Values of settings, read and checked by the type hints of what takes them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Protocol, Union, get_args, get_origin

from sensverify.registry.calls import Call, parse_value
from sensverify.registry.names import did_you_mean
from sensverify.registry.ranges import Range


class Misfit(Exception):
    """A value is not of the kind that a hint asks for; the message says what is expected."""


class Maker(Protocol):
    """A catalog, as far as a type hint needs it."""

    @property
    def offer(self) -> str:
        """A noun phrase for what it makes, such as ``a method such as crown``."""
        ...

    def make(self, call: str | Call, /) -> Any:
        """The object of a name with settings."""
        ...


MAKERS: dict[Any, Maker] = {}
"""Catalogs by the types of what they make; a setting with such a hint takes a name."""

_PLAIN: dict[Any, str] = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "a word",
    NoneType: "none",
}


def expected(hint: Any) -> str:
    """A noun phrase for the values that a type hint allows, such as ``a number or none``."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in MAKERS:
        return str(getattr(hint, "offer", MAKERS[hint].offer))
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Annotated:
        return " ".join([expected(inner[0]), *(str(n) for n in inner[1:] if isinstance(n, Range))])
    if origin in (Union, UnionType):
        return ", or ".join(map(expected, inner))
    words = words_of(hint)
    if words:
        return f"one of {', '.join(words)}"
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        between = " + " if inner[0] in MAKERS else ", "
        return f"several of these with '{between.strip()}' between them: {expected(inner[0])}"
    if origin is tuple:
        return f"({', '.join(map(expected, inner))})"
    return f"an object of type {getattr(hint, '__name__', hint)}"


def fit(hint: Any, value: Any, *, names: bool = True) -> Any:
    """The value as the hint has it.

    Parameters
    ----------
    hint : type or other type hint
        ``int``, ``float``, ``bool``, ``str``, ``None``, ``Path``, an `Enum`, ``Literal``,
        ``Annotated`` with a `Range`, a tuple, a union of these, or a type in `MAKERS`. Of any
        other class the value has to be an instance.
    value : object
        As a `Call` holds it, or as Python has it. A whole number becomes a float where one is
        asked for; a call, or its text, becomes what its name stands for in `MAKERS`.
    names : bool
        Whether names stand for what is in `MAKERS`; else objects alone will do.

    Raises
    ------
    Misfit
        It is of another kind; the message is what the hint expects.
    UnknownName, BadSetting
        A call names what is not there, or has settings that cannot be.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint in MAKERS:
        return _made(hint, value, names)
    if origin is Annotated:
        try:
            found = fit(inner[0], value, names=names)
        except Misfit:
            raise Misfit(expected(hint)) from None
        if not all(found in note for note in inner[1:] if isinstance(note, Range)):
            raise Misfit(expected(hint))
        return found
    if origin in (Union, UnionType):
        return _member(hint, inner, value, names)
    words = words_of(hint)
    if words:
        return _word(hint, words, value)
    if origin is tuple:
        return _several(hint, inner, value, names)
    return _plain(hint, value)


def fit_text(hint: Any, text: str) -> Any:
    """A value from text that stands alone, as behind ``KEY=``: words need no quotation marks.

    Returns what `fit` takes.

    Raises
    ------
    BadSetting
        The text is no value.
    """
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    none = NoneType in members and text.lower() == "none"
    if not none and any(each is str or text in words_of(each) for each in members):
        return text
    return parse_value(text)


def words_of(hint: Any) -> dict[str, Any]:
    """The words of a Literal or an Enum, and what they stand for."""
    if get_origin(hint) is Literal:
        return {_shown(each): each for each in get_args(hint)}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {each.name.lower().replace("_", "-"): each for each in hint}
    return {}


def _shown(value: Any) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _word(hint: Any, words: dict[str, Any], value: Any) -> Any:
    name = _bare(value)
    if isinstance(name, str) and name in words:
        return words[name]
    if any(type(value) is type(each) and value == each for each in words.values()):
        return value
    raise Misfit(expected(hint) + did_you_mean(name, words))


def _bare(value: Any) -> Any:
    """A call without settings as its name."""
    return value.name if isinstance(value, Call) and not value.settings else value


def _made(hint: Any, value: Any, names: bool) -> Any:
    found = MAKERS[hint].make(value) if names and isinstance(value, str | Call) else value
    if isinstance(found, type) or not isinstance(found, hint):
        raise Misfit(expected(hint))
    return found


def _member(hint: Any, members: Sequence[Any], value: Any, names: bool) -> Any:
    if value is None and NoneType in members:
        return None
    # Its own type first: 3 stays a whole number where both kinds may come.
    for member in sorted(members, key=lambda each: each is not type(value)):
        try:
            return fit(member, value, names=names)
        except Misfit:
            continue
    raise Misfit(expected(hint))


def _several(hint: Any, inner: Sequence[Any], value: Any, names: bool) -> tuple[Any, ...]:
    endless = len(inner) == 2 and inner[1] is Ellipsis
    if endless and inner[0] in MAKERS and isinstance(value, str) and names:
        value = parse_value(value)
    if isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, tuple):
        value = (value,)
    if not endless and len(value) != len(inner):
        raise Misfit(expected(hint))
    hints = [inner[0]] * len(value) if endless else inner
    try:
        parts = zip(hints, value, strict=True)
        return tuple(fit(each, part, names=names) for each, part in parts)
    except Misfit:
        raise Misfit(expected(hint)) from None


def _plain(hint: Any, value: Any) -> Any:
    value = _bare(value)
    if hint is Any:
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return _float(value)
    kind = get_origin(hint) or hint
    # A bool is an int to Python, and to nobody else.
    wrong = kind is int and isinstance(value, bool)
    if wrong or (isinstance(kind, type) and not isinstance(value, kind)):
        raise Misfit(expected(hint))
    return value


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Misfit("a number that a float can hold") from None
