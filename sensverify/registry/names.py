"""What somebody may have meant by a name that is not there."""

from __future__ import annotations

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
