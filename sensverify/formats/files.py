"""Reading bytes that may be hostile: sizes first, then contents."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sensverify.errors import BadModelFile, InputError

GIGABYTE = 2**30
CHUNK = 2**20
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class FileKind:
    """Words for a kind of file in messages, and the class of their errors."""

    name: str
    expected: str
    too_large: str
    """Remedy for a file that is too large."""
    error: type[InputError]


MODEL = FileKind(
    name="model file",
    expected="an .onnx or .onnx.gz file",
    too_large="store its weights as external data beside it",
    error=BadModelFile,
)


def read_bytes(path: Path, limit: int = GIGABYTE, *, kind: FileKind = MODEL) -> bytes:
    """The contents of a file, unpacked where it is gzipped.

    Parameters
    ----------
    path : Path
    limit : int
        Most bytes to hold, counted after unpacking.
    kind : Kind
        Words and error class of the messages; default: those of ONNX files.

    Raises
    ------
    BadModelFile, or the error of ``kind``
        The file is missing, not a regular file, empty, larger than ``limit``, or its compression
        is damaged.
    """
    return unpacked(stored_bytes(path, limit, kind=kind), path, limit, kind=kind)


def stored_bytes(path: Path, limit: int = GIGABYTE, *, kind: FileKind = MODEL) -> bytes:
    """The bytes of a file as they are on disk. Parameters and errors as for `read_bytes`."""
    with open_regular(path, kind=kind) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise kind.error(f"{kind.name} '{path}' is empty")
        if size > limit:
            raise kind.error(
                f"{kind.name} '{path}' has {size} bytes, at most {limit} are read", kind.too_large
            )
        return file.read(limit)


def unpacked(stored: bytes, path: Path, limit: int, *, kind: FileKind = MODEL) -> bytes:
    """Contents of a file's bytes: unpacked where `gzip` packed them, else the bytes themselves.

    Parameters and errors as for `read_bytes`; ``path`` is where the bytes came from.
    """
    if path.suffix != ".gz" and not stored.startswith(GZIP_MAGIC):
        return stored
    return _unpack(io.BytesIO(stored), path, limit, kind)


def open_regular(path: Path, *, kind: FileKind = MODEL) -> BinaryIO:
    """Open a regular file; a directory, pipe or device is refused before it is opened.

    Raises
    ------
    BadModelFile, or the error of ``kind``
        There is no such file, or it cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise kind.error(f"'{path}' is not a file; expected {kind.expected}")
        return path.open("rb")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise kind.error(f"cannot read {kind.name} '{path}': {reason}") from None


def _unpack(file: BinaryIO, path: Path, limit: int, kind: FileKind) -> bytes:
    contents = bytearray()
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while chunk := stream.read(CHUNK):
                contents += chunk
                if len(contents) > limit:
                    raise kind.error(
                        f"{kind.name} '{path}' unpacks to more than {limit} bytes",
                        "unpack it yourself if you trust it",
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise kind.error(f"{kind.name} '{path}' is no intact gzip file: {error}") from None
    if not contents:
        raise kind.error(f"{kind.name} '{path}' is empty")
    return bytes(contents)
