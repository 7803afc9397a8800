"""Names and first sentences of things, and the name that somebody may have meant."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def closest(name: Any, known: Iterable[str]) -> str | None:
    """The known name that is most like a given one; None where none is, or it is no text.

    Case is ignored.
    """
    if not isinstance(name, str):
        return None
    spelled = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), spelled, n=1)
    return spelled[found[0]] if found else None


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """`` (did you mean 'name'?)`` for the end of a complaint; empty where nothing is close."""
    found = closest(name, known)
    return f" (did you mean '{found}'?)" if found else ""


def name_of(item: Any) -> str:
    """The name of an object of the caller's: its ``name``, else that of its function or class."""
    does = getattr(item, "function", item)
    name = getattr(item, "name", None) or getattr(does, "__name__", type(does).__name__)
    return str(name).strip("<>_").replace("_", "-")


def named(asked: Any) -> str:
    """The name of what is asked for: a name itself, or an object of the caller's."""
    return asked if isinstance(asked, str) else name_of(asked)


def summary_of(item: Any) -> str:
    """The first sentence of a class's or function's docstring, without its full stop."""
    documented = item if inspect.isroutine(item) or inspect.isclass(item) else type(item)
    first = (inspect.getdoc(documented) or "").split("\n\n")[0]
    return " ".join(first.split()).split(". ")[0].rstrip(".")
