"""Settings of what is made by name: fields of a class, keyword-only parameters of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, get_type_hints

from sensverify.errors import BadSetting, InputError
from sensverify.registry.calls import Call, is_name, show_value
from sensverify.registry.hints import Misfit, fit
from sensverify.registry.names import did_you_mean, name_of

REQUIRED = inspect.Parameter.empty
"""Default of a setting that has none."""


@dataclass(frozen=True)
class Setting:
    """One setting: its type hint, and its default or `REQUIRED`."""

    name: str
    hint: Any
    default: Any


@lru_cache(maxsize=1024)
def settings_of(factory: Callable[..., Any], arguments: int = 0) -> Mapping[str, Setting]:
    """The settings of a class or a function, by name, in order.

    Parameters
    ----------
    factory : callable
        A class or a function; its parameters are the settings.
    arguments : int
        Number of parameters at the front that are none: what it works on.

    Raises
    ------
    BadSetting
        The factory's annotations cannot be read.
    """
    plain_class = inspect.isclass(factory) and not is_dataclass(factory)
    try:
        hints = get_type_hints(factory.__init__ if plain_class else factory, include_extras=True)
        parameters = list(inspect.signature(factory).parameters.values())[arguments:]
    except (NameError, TypeError, ValueError) as error:
        raise BadSetting(
            f"the settings of {getattr(factory, '__name__', factory)} cannot be read: {error}",
            "import the types of its annotations outside of TYPE_CHECKING",
        ) from error
    made = {}
    if is_dataclass(factory):
        made = {f.name: f.default_factory for f in fields(factory)}
    found = {}
    for each in parameters:
        if each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            continue
        make = made.get(each.name, MISSING)
        default = each.default if make is MISSING else make()
        found[each.name] = Setting(each.name, hints.get(each.name, _hint(default)), default)
    return MappingProxyType(found)


def _hint(default: Any) -> Any:
    """The type of what has no annotation."""
    plain = isinstance(default, bool | int | float | str)
    return type(default) if plain else Any


def fit_settings(
    owner: str, known: Mapping[str, Setting], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Values for settings, checked by their type hints.

    Parameters
    ----------
    owner : str
        The beginning of messages, such as ``attack 'pgd'``.
    known : mapping
        As of `settings_of`.
    values : mapping
        As `fit` takes them.

    Raises
    ------
    UnknownName, BadSetting
        There is no such setting, one is missing, or a value does not fit; the message names it.
    """
    for name in values:
        if name not in known:
            raise BadSetting(
                f"{owner} has no setting '{name}'{did_you_mean(name, known)}",
                f"it has {', '.join(known) or 'none'}",
            )
    for name, setting in known.items():
        if setting.default is REQUIRED and name not in values:
            raise BadSetting(f"{owner} needs the setting `{name}`")
    return {name: _fitted(f"{owner}: {name}", known[name], value) for name, value in values.items()}


def _fitted(where: str, setting: Setting, value: Any, *, names: bool = True) -> Any:
    try:
        return fit(setting.hint, value, names=names)
    except Misfit as misfit:
        raise BadSetting(f"{where} takes {misfit}, got {shown(value)}") from None
    except InputError as error:
        raise error.about(where) from error


def check_pairs(owner: Any, **words: str) -> None:
    """Refuse fields that are neither None nor a pair.

    Parameters
    ----------
    owner : object
        With these fields.
    **words : str
        By the name of a field, an example of such a pair.

    Raises
    ------
    BadSetting
    """
    for name, example in words.items():
        value = getattr(owner, name)
        if value is not None and not (isinstance(value, tuple | list) and len(value) == 2):
            raise BadSetting(f"`{name}` is a pair, got {value!r}", f"give one such as {example}")


def shown(value: Any) -> str:
    """A value of a setting in a message, in the grammar where it is plain."""
    try:
        return show_value(value)
    except BadSetting:
        return repr(value)


def check_settings(made: Any, owner: str = "", *, only: Collection[str] = ()) -> None:
    """Refuse an object whose fields do not fit their type hints; for ``__post_init__``.

    Parameters
    ----------
    made : dataclass instance
    owner : str
        The beginning of messages, such as ``pgd``; without it the fields are a request's own.
    only : collection of str
        The fields to check; default: all.

    Raises
    ------
    BadSetting
        The message names the field, what came and what is expected.
    """
    kind: Any = type(made)
    known: Mapping[str, Setting] = settings_of(kind)
    for name in only or known:
        where = f"{owner}: {name}" if owner else f"`{name}`"
        _fitted(where, known[name], getattr(made, name), names=False)


class Checked:
    """A dataclass that refuses settings that do not fit their type hints, however it is made."""

    def __post_init__(self) -> None:
        check_settings(self, getattr(self, "name", ""))


def call_of(made: Any) -> Call:
    """The call that makes an object again: its name, and the settings that are no defaults.

    Parameters
    ----------
    made : object
        A dataclass instance; of another object the name alone is known.
    """
    kind: Any = type(made)
    known: Mapping[str, Setting] = settings_of(kind) if is_dataclass(made) else {}
    values = {name: getattr(made, name) for name in known}
    changed = {key: each for key, each in values.items() if each != known[key].default}
    return Call(name_of(made), {key: written(each) for key, each in changed.items()})


def written(value: Any) -> Any:
    """A value of a setting as a `Call` holds it: an object with a name as its own call."""
    if value is None or isinstance(value, bool | int | float | Call):
        return value
    if isinstance(value, tuple):
        return tuple(map(written, value))
    if isinstance(value, str):
        return Call(value) if is_name(value) else value
    return call_of(value)
