"""Strengths that images draw: severities of a corruption, or ranges of its parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from sensverify.corruptions.corruption import Corruption, Value
from sensverify.errors import BadSetting
from sensverify.registry.calls import Call
from sensverify.registry.names import did_you_mean
from sensverify.registry.settings import settings_of, shown

ANY = "any"
SEVERITY = "severity"

_SPAN = re.compile(r"\s*(\d{1,4})\s*-\s*(\d{1,4})\s*")

Parameters = int | Mapping[str, Value]
"""A severity, or all parameters of a corruption by name."""


@dataclass(frozen=True)
class Strength:
    """Strengths of one corruption, of which every image gets one, each as often.

    Parameters
    ----------
    levels : tuple of int
        Severities; empty where parameters are given.
    ranges : mapping from str to tuple
        By parameter: one value, words to choose from, or the ends ``(low, high)`` of numbers.
    """

    levels: tuple[int, ...] = ()
    ranges: Mapping[str, tuple[Value, ...]] | None = None

    @property
    def draws(self) -> int:
        """Number of shares from 0 to 1 that a strength is made of."""
        return 1 if self.ranges is None else len(self.ranges)

    def at(self, shares: tuple[float, ...]) -> Parameters:
        """The strength that some numbers from 0 to 1 stand for, one for each of `draws`."""
        if self.ranges is None:
            return self.levels[_place(shares[0], len(self.levels))]
        found: dict[str, Value] = {}
        for share, (name, values) in zip(shares, self.ranges.items(), strict=True):
            low, high = values[0], values[-1]
            if isinstance(low, str) or isinstance(high, str):
                found[name] = values[_place(share, len(values))]
            else:
                found[name] = low + share * (high - low)
        return found

    @property
    def extremes(self) -> tuple[Parameters, ...]:
        """Every severity; or the lower and the upper ends of all ranges."""
        if self.ranges is None:
            return self.levels
        return tuple(self.at((share,) * self.draws) for share in (0.0, 1.0))

    @classmethod
    def of(cls, corruption: Corruption, call: Call) -> Strength:
        """The strengths that a call asks for, as ``rotation(severity=(1, 3))``.

        Raises
        ------
        BadSetting
            There is no such severity or parameter, or a value is none for it.
        """
        settings = dict(call.settings)
        if not settings:
            return cls(_every(corruption))
        if SEVERITY in settings:
            asked = settings.pop(SEVERITY)
            if settings:
                raise BadSetting(
                    f"'{call}': a severity stands for all parameters",
                    f"leave out the severity, or {', '.join(settings)}",
                )
            return cls(_levels(corruption, asked))
        known = settings_of(corruption.function, 2)
        for name in settings:
            if name not in known:
                names = (SEVERITY, *known)
                raise BadSetting(
                    f"corruption '{corruption.name}' has no setting '{name}'"
                    f"{did_you_mean(name, names)}",
                    f"it has {', '.join(names)}",
                )
        if settings.keys() != known.keys():
            raise BadSetting(
                f"'{call}' leaves {', '.join(known.keys() - settings.keys())} open",
                "give all parameters, or a severity",
            )
        ranges = {name: _range(call, name, known[name].hint, settings[name]) for name in known}
        return cls(ranges=ranges)


def _every(corruption: Corruption) -> tuple[int, ...]:
    return tuple(range(1, corruption.severities + 1))


def _levels(corruption: Corruption, asked: Any) -> tuple[int, ...]:
    """Severities as a number, as several, as a range ``'2-4'``, or any of them."""
    if isinstance(asked, Call) and not asked.settings:
        asked = asked.name
    if asked == ANY:
        return _every(corruption)
    match = (
        re.fullmatch(r"\s*(\d{1,4})\s*-\s*(\d{1,4})\s*", asked) if isinstance(asked, str) else None
    )
    if match is not None:
        first, last = int(match[1]), int(match[2])
        levels: tuple[Any, ...] = tuple(range(first, last + 1))
    else:
        levels = asked if isinstance(asked, tuple) else (asked,)
    known = _every(corruption)
    if not levels or any(isinstance(each, bool) or each not in known for each in levels):
        raise BadSetting(
            f"corruption '{corruption.name}': severity takes {ANY}, whole numbers from 1 to "
            f"{known[-1]} such as 2 or (1, 3), or a range such as '1-{known[-1]}'; got "
            f"{shown(asked)}"
        )
    return tuple(int(each) for each in levels)


def values_of(call: Call, name: str, hint: Any, asked: Any) -> tuple[Value, ...]:
    """The values that a setting of a call gives a parameter: one or several numbers, or words.

    Raises
    ------
    BadSetting
        There is none, or one is no such value.
    """
    values = asked if isinstance(asked, tuple) else (asked,)
    if hint is str:
        words = tuple(each.name if isinstance(each, Call) else each for each in values)
        if words and all(isinstance(each, str) for each in words):
            return words
        raise BadSetting(f"'{call}': {name} takes a word, or several, got {shown(asked)}")
    plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not (plain and values and all(isfinite(v) for v in values)):
        raise BadSetting(
            f"'{call}': {name} takes a number, or several, such as the ends (low, high) of a "
            f"range, got {shown(asked)}"
        )
    return tuple(float(each) for each in values)


def _range(call: Call, name: str, hint: Any, asked: Any) -> tuple[Value, ...]:
    """One value, words, or two ends."""
    values = values_of(call, name, hint, asked)
    low, high = values[0], values[-1]
    if isinstance(low, str) or isinstance(high, str):
        return values
    if len(values) > 2:
        raise BadSetting(
            f"'{call}': {name} takes a number, or the ends (low, high) of a range, got "
            f"{shown(asked)}"
        )
    if not low <= high:
        raise BadSetting(f"'{call}': {name} ends below where it begins, got {shown(asked)}")
    return values


def _place(share: float, count: int) -> int:
    """Which of so many equal parts of the numbers from 0 to 1 a number lies in."""
    return min(int(share * count), count - 1)
