"""TOML files that somebody writes by hand; whatever is wrong in them is said with their names."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sensverify.errors import InputError
from sensverify.runs.files import reading

T = TypeVar("T")


def read_toml(path: Path, parse: Callable[[dict[str, Any]], T]) -> T:
    """The value that the tables of a TOML file describe.

    Parameters
    ----------
    path : Path
    parse : callable
        Makes it of the tables; its errors are raised again, about the file.

    Raises
    ------
    InputError
        The file cannot be read or is no TOML; or an error of ``parse``.
    """
    try:
        with reading(path):
            document = tomllib.loads(path.read_text(encoding="utf-8"))
    except InputError:
        # It is a ValueError, too.
        raise
    except UnicodeDecodeError:
        raise InputError(f"'{path}' is no text in UTF-8") from None
    # Beside its own errors: a whole number of thousands of digits, and lists a thousand deep.
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is no TOML: {error}") from None
    try:
        return parse(document)
    except InputError as error:
        raise error.about(f"'{path}'") from None
