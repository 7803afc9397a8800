"""Checks of an attack's settings, so that a wrong one fails where it is written."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

from sensverify.errors import BadSetting


def check_count(attack: str, setting: str, value: Any) -> None:
    """Refuse, with `BadSetting`, what is no whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadSetting(f"{attack}: {setting} is a whole number of at least 1, got {value!r}")


def check_number(
    attack: str, setting: str, value: Any, *, positive: bool = True, most: float | None = None
) -> None:
    """Refuse, with `BadSetting`, what is no finite number above 0 (or of at least 0)."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    # Written so that a NaN fails it.
    fits = number and (value > 0 if positive else value >= 0) and (most is None or value <= most)
    if not fits:
        least = "above 0" if positive else "of at least 0"
        above = "" if most is None else f" and at most {most:g}"
        raise BadSetting(f"{attack}: {setting} is a number {least}{above}, got {value!r}")


def check_switch(attack: str, setting: str, value: Any) -> None:
    """Refuse, with `BadSetting`, what is neither true nor false."""
    if not isinstance(value, bool):
        raise BadSetting(f"{attack}: {setting} is true or false, got {value!r}")


def check_choice(attack: str, setting: str, value: Any, choices: Iterable[str]) -> None:
    """Refuse, with `BadSetting`, what is not among some words."""
    words = tuple(choices)
    if value not in words:
        raise BadSetting(f"{attack}: {setting} is one of {', '.join(words)}; got {value!r}")
