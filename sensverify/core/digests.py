"""SHA-256 of files, texts and arrays: what tells whether a thing is the same as before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


def sha256(*parts: bytes | str) -> str:
    """SHA-256, in hexadecimal digits, of bytes and texts in UTF-8, one after another."""
    return sha256_of_all(parts)


def sha256_of_all(parts: Iterable[bytes | str]) -> str:
    """As `sha256`, of parts that are made one by one."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part.encode() if isinstance(part, str) else part)
    return state.hexdigest()


def array_parts(values: Any) -> Iterator[bytes | str]:
    """The dtype, the shape and the bytes of an array."""
    yield f"{values.dtype}{values.shape}"
    yield np.ascontiguousarray(values).tobytes()
