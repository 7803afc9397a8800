"""SHA-256 of files, texts and arrays: what tells whether a thing is the same as before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

_PIECE = 1 << 20


def sha256(*parts: bytes | str) -> str:
    """SHA-256, in hexadecimal digits, of bytes and texts in UTF-8, one after another."""
    return sha256_of_all(parts)


def sha256_of_all(parts: Iterable[bytes | str]) -> str:
    """As `sha256`, of parts that are made one by one."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part.encode() if isinstance(part, str) else part)
    return state.hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file, which is never in memory as a whole."""
    with path.open("rb") as stream:
        return sha256_of_all(iter(lambda: stream.read(_PIECE), b""))


def sha256_of_arrays(*arrays: Any) -> str:
    """SHA-256 of the dtypes, shapes and bytes of arrays; None among them is left out."""
    return sha256_of_all(part for each in arrays if each is not None for part in array_parts(each))


def array_parts(values: Any) -> Iterator[bytes | str]:
    """The dtype, the shape and the bytes of an array."""
    yield f"{values.dtype}{values.shape}"
    yield np.ascontiguousarray(values).tobytes()
