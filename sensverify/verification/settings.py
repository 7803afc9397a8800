"""A method from its name and its settings as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any

from sensverify.bounds.method import (
    AnytimeMethod,
    Decider,
    Method,
    make_decider,
    make_method,
    method_names,
)
from sensverify.errors import BadSetting, SensverifyError

_WORDS: dict[str, Any] = {"none": None, "true": True, "false": False}
_PLAIN = {"int", "float", "bool", "str", "None"}
_LIMITS = {
    "seconds": ("--timeout", "time limit"),
    "objective_seconds": ("--objective-timeout", "time limit for each objective"),
    "gap": ("--gap", "gap at which it stops"),
    "threads": ("--threads", "number of threads"),
}
"""Fields that the command line has options of their own for, and what they are."""


def parse_method(name: str, settings: Mapping[str, str]) -> Method:
    """The method, with every setting turned from text into what its field holds.

    Numbers, ``true``, ``false`` and ``none`` are read as such; a field that holds a method takes
    the name of one.

    Raises
    ------
    UnknownName
        No installed method has the name.
    BadSetting
        The method has no such setting, or the text does not fit it.
    """
    return _parse(make_method, "method", name, settings)


def parse_decider(name: str, settings: Mapping[str, str]) -> Decider:
    """What answers queries, with its settings as text; see `parse_method`."""
    return _parse(make_decider, "decider", name, settings)


def _parse(make: Callable[..., Any], what: str, name: str, settings: Mapping[str, str]) -> Any:
    kinds = {item.name: _kinds(item) for item in _fields(make(name))}
    values = {
        key: _value(f"{name}: setting {key}", text, kinds[key]) if key in kinds else text
        for key, text in settings.items()
    }
    try:
        return make(name, **values)
    except (TypeError, ValueError) as error:
        if isinstance(error, SensverifyError):
            raise
        raise BadSetting(f"{what} '{name}' refuses its settings: {error}") from None


def with_limits(method: Method, **limits: float | None) -> Method:
    """The method with its limits set: ``seconds``, ``objective_seconds``, ``gap``, ``threads``.

    Parameters
    ----------
    method : Method
    **limits
        Fields of the method; None leaves one as it is.

    Raises
    ------
    BadSetting
        The method has no such limit, or refuses the value; the message names the option of the
        command line and the methods that have it.
    """
    own = {item.name for item in _fields(method)}
    given = {name: value for name, value in limits.items() if value is not None}
    if "seconds" not in own and isinstance(method, AnytimeMethod):
        # Its watch keeps the time.
        given.pop("seconds", None)
    for name in given:
        if name not in own:
            having = [other for other in method_names() if _has_field(other, name)]
            option, what = _LIMITS[name]
            raise BadSetting(
                f"method '{method.name}' has no {what}, so {option} does not apply to it; methods "
                f"that have: {', '.join(having) or 'none'}"
            )
    return replace(method, **given) if given else method  # type: ignore[type-var]


def with_seed(method: Method, seed: int) -> Method:
    """The method with its random numbers seeded, where it draws any."""
    if not any(item.name == "seed" for item in _fields(method)):
        return method
    return replace(method, seed=seed)  # type: ignore[type-var]


def _fields(method: Any) -> tuple[Field[Any], ...]:
    return fields(method) if is_dataclass(method) else ()


def _has_field(name: str, field: str) -> bool:
    try:
        method = make_method(name)
        stops = field == "seconds" and isinstance(method, AnytimeMethod)
        return stops or any(item.name == field for item in _fields(method))
    except Exception:  # A method that cannot be made here has nothing to offer.
        return False


def _kinds(item: Field[Any]) -> set[str]:
    kind = item.type if isinstance(item.type, str) else getattr(item.type, "__name__", "")
    return {part.strip() for part in str(kind).split("|")}


def _value(what: str, text: str, kinds: set[str]) -> Any:
    value = _literal(text)
    if not kinds <= _PLAIN:
        # A method among the settings: its name, or none.
        return None if value is None else text
    if "str" in kinds and not isinstance(value, str) and type(value).__name__ not in kinds:
        return text
    given = "None" if value is None else type(value).__name__
    if given == "int" and "float" in kinds and "int" not in kinds:
        return float(value)
    if given not in kinds:
        raise BadSetting(f"{what} expects {' or '.join(sorted(kinds))}, got '{text}'")
    return value


def _literal(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
