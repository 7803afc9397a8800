"""Parser from text to nested forms (S-expressions), without their meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sensverify.errors import BadProperty

DEPTH = 100
"""Deepest nesting that is read; functions of forms call themselves once a level."""

TOKENS = 5_000_000
"""Most words and parentheses of one outermost form, which is held in memory as a whole."""

_TOKEN = re.compile(r';[^\r\n]*|[()]|"[^"]*"|\|[^|]*\||[^\s();"|]+|["|]')

_LINE_END = re.compile(r"\r\n?|\n")
_PLAIN = re.compile(r"\|[A-Za-z~!@$%^&*_\-+=<>.?/][\w~!@$%^&*\-+=<>.?/]*\|", re.ASCII)
"""A quoted name that needs no quotes: it is the same name without them."""


class Form(list[Any]):
    """An S-expression: names and numbers as text, and forms, between two parentheses.

    ``position`` is that of its first character in the text.
    """

    __slots__ = ("position",)

    def __init__(self, items: tuple[Any, ...] = (), *, position: int = 0) -> None:
        super().__init__(items)
        self.position = position


@dataclass(frozen=True)
class Source:
    """A text and its name in messages."""

    text: str
    name: str

    def error(self, problem: str, position: int, remedy: str = "") -> BadProperty:
        """An error that names the line of a position, counted from 1."""
        line = 1 + sum(1 for _ in _LINE_END.finditer(self.text, 0, position))
        return BadProperty(f"'{self.name}', line {line}: {problem}", remedy)


def read_forms(source: Source) -> Iterator[Form]:
    """The outermost forms of a text, one after the other; comments are left out.

    Raises
    ------
    BadProperty
        A parenthesis, a string or a quoted name is not closed, something stands outside of all
        parentheses, they are nested more than `DEPTH` deep, or hold more than `TOKENS` words.
    """
    stack: list[Form] = []
    first = 0
    for number, match in enumerate(_TOKEN.finditer(source.text)):
        token = match.group()
        if not stack:
            first = number
        elif number - first > TOKENS:
            raise source.error(f"a form of more than {TOKENS:,} words", stack[0].position)
        if token == "(":
            if len(stack) >= DEPTH:
                raise source.error(f"nested more than {DEPTH} deep", match.start())
            stack.append(Form(position=match.start()))
        elif token == ")":
            if not stack:
                raise source.error("a closing parenthesis too many", match.start())
            done = stack.pop()
            if stack:
                stack[-1].append(done)
            else:
                yield done
        elif token[0] == ";":
            continue
        elif token in ('"', "|"):
            raise source.error(f"{token} is not closed", match.start())
        elif stack:
            stack[-1].append(token[1:-1] if _PLAIN.fullmatch(token) else token)
        else:
            raise source.error(f"expected '(', got {quoted(token)}", match.start())
    if stack:
        raise source.error("this parenthesis is not closed", stack[-1].position)


def quoted(expression: Any) -> str:
    """A form or an atom as a message quotes it: in one line, cut where it is long."""
    text = _text(expression, 60)
    return f"'{text if len(text) <= 60 else text[:57] + '...'}'"


def _text(expression: Any, budget: int) -> str:
    if not isinstance(expression, Form):
        return str(expression)[: budget + 1]
    parts: list[str] = []
    for item in expression:
        if budget < 0:
            break
        parts.append(_text(item, budget))
        budget -= len(parts[-1]) + 1
    return f"({' '.join(parts)})"
