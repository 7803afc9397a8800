"""Methods with the limits and the seed of a request."""

from __future__ import annotations

from dataclasses import Field, fields, is_dataclass, replace
from typing import Any

from sensverify.bounds.method import METHODS, Method, make_method
from sensverify.errors import BadSetting, SensverifyError

_LIMITS = {
    "seconds": ("timeout", "time limit"),
    "objective_seconds": ("objective_timeout", "time limit for each objective"),
    "gap": ("gap", "gap at which it stops"),
    "threads": ("threads", "number of threads"),
}
"""Fields that requests have settings of their own for: the setting, and its meaning."""


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
        The method has no such limit, or refuses the value; the message names the setting of the
        request and the methods that have it.
    """
    own = {item.name for item in _fields(method)}
    given = {name: value for name, value in limits.items() if value is not None}
    if "seconds" not in own and method.anytime:
        # Its watch keeps the time.
        given.pop("seconds", None)
    for name in given:
        if name not in own:
            having = [other for other in METHODS if _has_field(other, name)]
            setting, what = _LIMITS[name]
            raise BadSetting(
                f"method '{method.name}' has no {what}, so `{setting}` does not apply to it",
                f"methods that have: {', '.join(having) or 'none'}",
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
    except SensverifyError:
        # A method that cannot be made here has nothing to offer.
        return False
    stops = field == "seconds" and method.anytime
    return stops or any(item.name == field for item in _fields(method))
