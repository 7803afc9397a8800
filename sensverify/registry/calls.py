"""Weighted sums of named terms as text: ``cross-entropy + 0.02*sensitivity(form=log)``.

::

    sum     = product { "+" product }
    product = [ number "*" ] call
    call    = name [ "(" [ option { "," option } ] ")" ]
    option  = name "=" value
    value   = number | call

A name is made of letters, digits, ``-``, ``_`` and ``&``. ``true``, ``false`` and ``none`` stand
for what they do in Python.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import Any

from sensverify.errors import BadSetting

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))"
    r"|(?P<name>[A-Za-z][\w&]*(?:-[\w&]+)*)|(?P<sign>[-+*(),=]))"
)
_DEEPEST = 20
"""How many calls may stand inside of each other."""

_WORDS: dict[str, Any] = {"none": None, "true": True, "false": False}


@dataclass(frozen=True)
class Call:
    """A name with options; ``str`` gives the text that `parse_call` reads.

    Parameters
    ----------
    name : str
    options : mapping from str
        Numbers, True, False, None, or calls; keys with underscores.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def __str__(self) -> str:
        inside = ", ".join(f"{key}={_shown(value)}" for key, value in self.options.items())
        return f"{self.name}({inside})" if inside else self.name

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled.
        return Call, (self.name, dict(self.options))


def parse_call(text: str) -> Call:
    """One name with its options, e.g. ``sgd(lr=0.1, momentum=0.9)``.

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


def show_sum(terms: tuple[tuple[float, Call], ...]) -> str:
    """The text that `parse_sum` reads."""
    return " + ".join(f"{call}" if w == 1 else f"{_shown(w)}*{call}" for w, call in terms)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
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
        options: dict[str, Any] = {}
        if self.takes("(") and not self.takes(")"):
            self._depth += 1
            if self._depth > _DEEPEST:
                raise BadSetting(
                    f"'{self._text[:60]}...': more than {_DEEPEST} calls stand inside of each other"
                )
            while True:
                self._option(options)
                if self.takes(")"):
                    break
                if not self.takes(","):
                    raise self._complaint("',' or ')'")
            self._depth -= 1
        return Call(name, options)

    def _option(self, options: dict[str, Any]) -> None:
        key = self._token("name")
        if key is None:
            raise self._complaint("the name of an option")
        self._expect("=")
        key = key.replace("-", "_")
        if key in options:
            raise BadSetting(f"'{self._text}': {key} is given twice")
        value: Any = self._number()
        if value is None:
            call = self.call()
            plain = not call.options and call.name.lower() in _WORDS
            value = _WORDS[call.name.lower()] if plain else call
        options[key] = value

    def _number(self) -> float | int | None:
        text = self._token("number")
        if text is None:
            return None
        value = float(text)
        if not isfinite(value):
            raise BadSetting(f"'{self._text}': the number {text} is too large")
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else value

    def takes(self, sign: str) -> bool:
        """Whether the next thing is this sign, which is then behind us."""
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
            f"'{self._text}': expected {expected} {where}; write it as in '{self._example}'"
        )
