"""A method from its name and its settings as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any

from sensverify.bounds.method import Method, make_method, method_names
from sensverify.errors import BadSetting, SensverifyError

_WORDS: dict[str, Any] = {"none": None, "true": True, "false": False}
_PLAIN = {"int", "float", "bool", "str", "None"}


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
    kinds = {item.name: _kinds(item) for item in _fields(make_method(name))}
    values = {
        key: _value(f"{name}: setting {key}", text, kinds[key]) if key in kinds else text
        for key, text in settings.items()
    }
    try:
        return make_method(name, **values)
    except (TypeError, ValueError) as error:
        if isinstance(error, SensverifyError):
            raise
        raise BadSetting(f"method '{name}' refuses its settings: {error}") from None


def with_time_limit(method: Method, seconds: float) -> Method:
    """The method with its field ``seconds`` set.

    Raises
    ------
    BadSetting
        The method has no time limit.
    """
    if not any(item.name == "seconds" for item in _fields(method)):
        limited = [
            name
            for name in method_names()
            if any(item.name == "seconds" for item in _fields_of_name(name))
        ]
        raise BadSetting(
            f"method '{method.name}' has no time limit, so --timeout does not apply to it; methods "
            f"that can stop early: {', '.join(limited) or 'none'}"
        )
    return replace(method, seconds=seconds)  # type: ignore[type-var]


def _fields(method: Any) -> tuple[Field[Any], ...]:
    return fields(method) if is_dataclass(method) else ()


def _fields_of_name(name: str) -> tuple[Field[Any], ...]:
    try:
        return _fields(make_method(name))
    except Exception:  # A method that cannot be made here has no time limit to offer.
        return ()


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
