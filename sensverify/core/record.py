"""The record of a result: by which command, when, and with which versions it was made."""

from __future__ import annotations

import platform
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version

COMMAND: ContextVar[str | None] = ContextVar("COMMAND", default=None)
"""The command line that is being worked on, quoted as for a shell; `sensverify.cli` sets it."""

_TAKING_PART = ("onnx", "onnxruntime", "highspy", "cvxpy", "scipy", "python-flint")
"""Packages that read files, replay, solve and check."""

_OPTIONAL = {"maraboupy": "maraboupy", "auto_LiRPA": "auto-LiRPA"}
"""Others, by the names of their modules: they took part where they are loaded."""


@dataclass(frozen=True)
class RunRecord:
    """The origin of a result.

    Parameters
    ----------
    command : str or None
        As somebody could type it again; None where the library was called.
    date : str
        Of the result, in UTC: ``2026-03-01T12:30:05Z``.
    versions : dict
        Of everything that took part, by name.
    """

    command: str | None
    date: str
    versions: dict[str, str]

    @classmethod
    def now(cls) -> RunRecord:
        """The record of a result that has just been found."""
        loaded = [name for module, name in _OPTIONAL.items() if module in sys.modules]
        others = {name: _installed(name) for name in (*_TAKING_PART, *loaded)}
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return cls(COMMAND.get(), date, {**versions(), **others})


def versions() -> dict[str, str]:
    """Versions of what every result depends on, and by which two results are compared."""
    return {**_versions(), "python": platform.python_version()}


@cache
def _versions() -> dict[str, str]:
    # Cached: each version is read from a file.
    return {name: _version(name) for name in ("sensverify", "torch", "numpy")}


def _version(name: str) -> str:
    # A loaded package also names its build (2.6.0+cu124), which its metadata may leave out.
    return str(getattr(sys.modules.get(name), "__version__", None) or version(name))


@cache
def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
