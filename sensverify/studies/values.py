"""Values of the tables of a study file, by their kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sensverify.errors import BadSetting, UnknownName
from sensverify.registry.names import did_you_mean


def table(
    tables: Mapping[str, Any], name: str, where: str = "the file", *, required: bool = False
) -> Mapping[str, Any]:
    """The table of a name; an empty one where it is missing and not required.

    Raises
    ------
    BadSetting
        It is missing, or no table.
    """
    if name not in tables and not required:
        return {}
    value = tables.get(name)
    if not isinstance(value, dict):
        got = "none" if name not in tables else repr(value)
        raise BadSetting(f"{where} needs a table [{name}], got {got}")
    return value


def text(values: Mapping[str, Any], name: str, where: str, *, default: str | None = None) -> str:
    """The text of a name; with a default it may be missing or empty.

    Raises
    ------
    BadSetting
        It is something else.
    """
    if name not in values and default is not None:
        return default
    value = values.get(name)
    if not isinstance(value, str) or (not value.strip() and default is None):
        raise BadSetting(f'{where} needs {name} = "text", got {shown(value)}')
    return value


def shown(value: Any) -> str:
    """A value in a message."""
    return "nothing" if value is None else repr(value)


def check_keys(values: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Refuse names that are not known.

    Raises
    ------
    UnknownName
    """
    for name in values:
        if name not in known:
            raise UnknownName(
                f"{where} knows no '{name}'{did_you_mean(name, known)}",
                f"it knows {', '.join(known)}",
            )
