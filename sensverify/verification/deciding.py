"""Deciders by the names that requests have for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol

from sensverify.bounds.method import DECIDERS, Decider
from sensverify.errors import BadSetting
from sensverify.registry.calls import Call, parse_call
from sensverify.registry.names import name_of

DEFAULT = "branch-and-bound"
"""Decider that is used by default."""

_ALSO = {"exact": DEFAULT, "milp": "highs"}
"""Names of methods, with the deciders that answer queries in the same way."""


class Asking(Protocol):
    """A request that names what answers it."""

    @property
    def method(self) -> Any: ...
    @property
    def settings(self) -> Mapping[str, str]: ...
    @property
    def device(self) -> str: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def threads(self) -> int | None: ...
    @property
    def rigorous(self) -> bool: ...


def decider_of(request: Asking, chosen: str | Decider | None = None) -> Decider:
    """The decider that a request names.

    Parameters
    ----------
    request : Asking
    chosen : str or Decider, optional
        Default: the request's method, with its settings.

    Raises
    ------
    UnknownName, BadSetting
        There is none of that name, or it does not have what is set.
    """
    method, settings = (request.method, request.settings) if chosen is None else (chosen, {})
    asked = method if isinstance(method, Decider) else _call(method)
    call, decider = DECIDERS.resolve(asked, settings)
    own: list[str] = []
    if is_dataclass(decider):
        own = [item.name for item in fields(decider)]
    given: dict[str, Any] = {}
    if request.device != "cpu":
        given["device"] = request.device
    if request.threads is not None:
        given["threads"] = request.threads
    for key in given:
        if key not in own:
            raise BadSetting(
                f"'{call.name}' answers queries without a choice of `{key}`", "leave it out"
            )
    memory = getattr(request, "memory", None)
    if memory is not None and "memory" in own and "memory" not in call.settings:
        given["memory"] = memory
    if request.seed is not None and "seed" in own and "seed" not in call.settings:
        given["seed"] = request.seed
    if request.rigorous and "proof" in own:
        given["proof"] = True
    return replace(decider, **given) if given else decider


def _call(method: str) -> Call:
    asked = parse_call(method)
    return Call(_ALSO.get(asked.name, asked.name), asked.settings)


def decider_name(method: str | Decider) -> str:
    """The name of what answers."""
    return name_of(method) if isinstance(method, Decider) else _call(method).name
