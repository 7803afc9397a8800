"""Provenance of a result: everything needed to repeat it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from sensverify.core.box import Box, to_numpy
from sensverify.core.digests import sha256_of_all


@dataclass(frozen=True, eq=False)
class Provenance:
    """Everything needed to repeat a result.

    Parameters
    ----------
    method, settings
        The method's name and its hyper-parameters as plain values.
    network : Network
        What was bounded; `network_digest` hashes it when it is asked for.
    box : Box
        Of the computation, in its dtype; `box_digest` hashes it when it is asked for.
    dtype, device
        Of the computation.
    seconds : float
        Wall time of the call.
    versions : dict
        Of this package, torch, numpy and Python.
    """

    method: str
    settings: dict[str, Any]
    network: Any
    box: Box
    dtype: str
    device: str
    seconds: float
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def network_digest(self) -> str:
        """SHA-256 over the network's structure and parameters, as they are now."""
        return str(self.network.digest)

    @property
    def box_digest(self) -> str:
        """SHA-256 of the box's bytes, all lower ends first."""
        return sha256_of_all(to_numpy(end).tobytes() for end in (self.box.lower, self.box.upper))


def settings_of(method: Any) -> dict[str, Any]:
    """A method's hyper-parameters as plain JSON values; a method among them becomes its name."""
    if not is_dataclass(method):
        return {}

    def plain(value: Any) -> Any:
        if is_dataclass(value):
            nested = settings_of(value)
            name = getattr(value, "name", type(value).__name__)
            return {"name": name, "settings": nested} if nested else name
        return value

    return {item.name: plain(getattr(method, item.name)) for item in fields(method)}
