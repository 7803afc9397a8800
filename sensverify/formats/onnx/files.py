"""Reading bytes that may be hostile: sizes first, then contents."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from pathlib import Path
from typing import BinaryIO

from sensverify.errors import BadModelFile

GIGABYTE = 2**30
CHUNK = 2**20
GZIP_MAGIC = b"\x1f\x8b"


def read_bytes(path: Path, limit: int = GIGABYTE) -> bytes:
    """The contents of a ``.onnx`` or ``.onnx.gz`` file, unpacked.

    Parameters
    ----------
    path : Path
    limit : int
        Most bytes to hold, counted after unpacking.

    Raises
    ------
    BadModelFile
        The file is missing, not a regular file, empty, larger than ``limit``, or its compression
        is damaged.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise BadModelFile(f"model file '{path}' is empty")
        if size > limit:
            raise BadModelFile(
                f"model file '{path}' has {size} bytes, at most {limit} are read; "
                "store its weights as external data beside it"
            )
        if path.suffix != ".gz" and file.peek(2)[:2] != GZIP_MAGIC:  # type: ignore[attr-defined]
            return file.read(limit)
        return _unpack(file, path, limit)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file; a directory, pipe or device is refused before it is opened.

    Raises
    ------
    BadModelFile
        There is no such file, or it cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadModelFile(f"'{path}' is not a file; expected an .onnx or .onnx.gz file")
        return path.open("rb")
    except (OSError, ValueError) as error:
        if isinstance(error, BadModelFile):
            raise
        reason = getattr(error, "strerror", None) or error
        raise BadModelFile(f"cannot read model file '{path}': {reason}") from None


def _unpack(file: BinaryIO, path: Path, limit: int) -> bytes:
    contents = bytearray()
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while chunk := stream.read(CHUNK):
                contents += chunk
                if len(contents) > limit:
                    raise BadModelFile(
                        f"model file '{path}' unpacks to more than {limit} bytes; "
                        "unpack it yourself if you trust it"
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise BadModelFile(f"model file '{path}' is no intact gzip file: {error}") from None
    if not contents:
        raise BadModelFile(f"model file '{path}' is empty")
    return bytes(contents)
