"""Calls as text: ``pgd(steps=100)``, ``cross-entropy + 0.02*sensitivity(form=log)``.

::

    sum     = product { "+" product }
    product = [ number "*" ] call
    call    = name [ "(" [ setting { "," setting } ] ")" ]
    setting = name "=" value
    value   = number | text | call { "+" call } | "(" [ value { "," value } ] ")"
    text    = "'" characters "'" | '"' characters '"'

A name is made of letters, digits, ``-``, ``_`` and ``&``. ``true``, ``false`` and ``none`` stand
for what they do in Python. Several calls with ``+`` between them are one value, a tuple.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import Any

from sensverify.errors import BadSetting

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))"
    r"|(?P<name>[A-Za-z][\w&]*(?:-[\w&]+)*)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<sign>[-+*(),=]))"
)
_DEEPEST = 20
"""Largest number of calls that stand inside of each other."""

_WORDS: dict[str, Any] = {"none": None, "true": True, "false": False}


@dataclass(frozen=True)
class Call:
    """A name with settings; ``str`` gives the text that `parse_call` reads.

    Parameters
    ----------
    name : str
    settings : mapping from str
        Numbers, True, False, None, text, calls, or tuples of these; keys with underscores.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    def __str__(self) -> str:
        inside = ", ".join(f"{key}={show_value(each)}" for key, each in self.settings.items())
        return f"{self.name}({inside})" if inside else self.name

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled.
        return Call, (self.name, dict(self.settings))


def parse_call(text: str) -> Call:
    """One name with its settings, e.g. ``sgd(lr=0.1, momentum=0.9)``.

    Raises
    ------
    BadSetting
        The text is something else; the message says where.
    """
    reader = _Reader(text, "pgd(steps=100, restarts=5)")
    call = reader.call()
    reader.end()
    return call


def parse_sum(text: str) -> tuple[tuple[float, Call], ...]:
    """The weights and the terms of a sum.

    Raises
    ------
    BadSetting
        The text is something else; the message says where.
    """
    reader = _Reader(text, "cross-entropy + 0.02*sensitivity(form=log, bounds=crown)")
    found = [reader.product()]
    while reader.takes("+"):
        found.append(reader.product())
    reader.end()
    return tuple(found)


def parse_value(text: str) -> Any:
    """One value of a setting: a number, True, False, None, text, a `Call`, or a tuple of these.

    Raises
    ------
    BadSetting
        The text is something else; the message says where.
    """
    reader = _Reader(text, "3, true, none, ibp, crown(intermediate=ibp) or fgsm + pgd(steps=10)")
    value = reader.value()
    reader.end()
    return value


def is_name(text: str) -> bool:
    """True where text is a name of the grammar, and no number or constant."""
    match = _TOKEN.fullmatch(text)
    return match is not None and match["name"] == text and text.lower() not in _WORDS


def show_sum(terms: tuple[tuple[float, Any], ...]) -> str:
    """The text that `parse_sum` reads."""
    return " + ".join(f"{call}" if w == 1 else f"{show_value(w)}*{call}" for w, call in terms)


def show_value(value: Any) -> str:
    """The text that `parse_value` reads.

    Raises
    ------
    BadSetting
        Text holds both kinds of quotation marks.
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        if len(value) > 1 and all(isinstance(each, Call) for each in value):
            return " + ".join(map(str, value))
        return f"({', '.join(map(show_value, value))})"
    if isinstance(value, str):
        mark = '"' if "'" in value else "'"
        if mark in value:
            raise BadSetting(f"the text {value!r} holds both kinds of quotation marks")
        return f"{mark}{value}{mark}"
    return f"{value!r}" if isinstance(value, float) else str(value)


class _Reader:
    def __init__(self, text: str, example: str) -> None:
        self._text = text
        self._example = example
        self._place = 0
        self._depth = 0

    def product(self) -> tuple[float, Call]:
        weight = self._number()
        if weight is not None:
            self._expect("*")
        return (1.0 if weight is None else float(weight)), self.call()

    def call(self) -> Call:
        name = self._token("name")
        if name is None:
            raise self._complaint("a name")
        settings: dict[str, Any] = {}
        if self.takes("("):
            with self._deeper():
                for _ in self._listed():
                    self._setting(settings)
        return Call(name, settings)

    def value(self) -> Any:
        """A number, text, a constant, a call or several; or a tuple in parentheses."""
        number = self._number()
        if number is not None:
            return number
        text = self._token("text")
        if text is not None:
            return text[1:-1]
        if self.takes("("):
            with self._deeper():
                return tuple(self.value() for _ in self._listed())
        call = self.call()
        if not call.settings and call.name.lower() in _WORDS:
            return _WORDS[call.name.lower()]
        calls = [call]
        while self.takes("+"):
            calls.append(self.call())
        return tuple(calls) if len(calls) > 1 else call

    def _listed(self) -> Iterator[None]:
        """Turns of a list with commas, up to the parenthesis behind it."""
        if self.takes(")"):
            return
        while True:
            yield
            if self.takes(")"):
                return
            if not self.takes(","):
                raise self._complaint("',' or ')'")

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise BadSetting(
                f"'{self._text[:60]}...': more than {_DEEPEST} calls stand inside of each other"
            )
        yield
        self._depth -= 1

    def _setting(self, settings: dict[str, Any]) -> None:
        key = self._token("name")
        if key is None:
            raise self._complaint("the name of a setting")
        self._expect("=")
        key = key.replace("-", "_")
        if key in settings:
            raise BadSetting(f"'{self._text}': {key} is given twice")
        settings[key] = self.value()

    def _number(self) -> float | int | None:
        text = self._token("number")
        if text is None:
            return None
        value = float(text)
        if not isfinite(value):
            raise BadSetting(f"'{self._text}': the number {text} is too large")
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else value

    def takes(self, sign: str) -> bool:
        """Consume this sign where it comes next; True if it did."""
        match = _TOKEN.match(self._text, self._place)
        if match is None or match["sign"] != sign:
            # "+2*l2" reads as a number with its sign.
            if sign == "+" and match is not None and (match["number"] or "").startswith("+"):
                self._place = match.start("number") + 1
                return True
            return False
        self._place = match.end()
        return True

    def end(self) -> None:
        """Refuse what is left."""
        if self._text[self._place :].strip():
            raise self._complaint("the end")

    def _expect(self, sign: str) -> None:
        if not self.takes(sign):
            raise self._complaint(f"'{sign}'")

    def _token(self, kind: str) -> str | None:
        match = _TOKEN.match(self._text, self._place)
        if match is None or match[kind] is None:
            return None
        self._place = match.end()
        return match[kind]

    def _complaint(self, expected: str) -> BadSetting:
        rest = self._text[self._place :].strip()
        where = f"before '{rest}'" if rest else "at its end"
        return BadSetting(
            f"'{self._text}': expected {expected} {where}", f"write it as in '{self._example}'"
        )
