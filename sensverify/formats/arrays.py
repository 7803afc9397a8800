"""Reading untrusted ``.npy`` and ``.npz`` files, and writing one.

Nothing that is read is unpickled, and no memory is taken before a file's own header has been
compared with the bytes that are really there.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Collection, Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from sensverify.errors import BadData

SIZE_LIMIT = 8 << 30
"""Default limit on the size of an array, in bytes."""

_KINDS, _TEXT = "biuf", "US"
"""Of numpy's types: plain numbers, and text."""

_DEFLATE_RATIO = 1100
"""Deflate cannot expand its input by more than a factor of about 1,032."""


def read_npy(path: str | Path, *, limit: int = SIZE_LIMIT) -> np.ndarray:
    """One array of numbers from a ``.npy`` file.

    Parameters
    ----------
    path : str or Path
    limit : int
        Largest array accepted, in bytes.

    Returns
    -------
    numpy array with the dtype and shape of the file; integers, floats or booleans only.

    Raises
    ------
    BadData
        The file is missing, is not a ``.npy`` file, is cut short, holds Python objects, or claims
        a size that is beyond ``limit`` or beyond the file.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            return _read_array(stream, size, limit, str(path))
    except OSError as error:
        raise _unreadable(path, error) from None


def read_npz(
    path: str | Path,
    *,
    required: Collection[str] = (),
    optional: Collection[str] = (),
    text: Collection[str] = (),
    limit: int = SIZE_LIMIT,
) -> dict[str, np.ndarray]:
    """The named arrays of an ``.npz`` file; members that were not asked for are never read.

    Parameters
    ----------
    path : str or Path
    required, optional : collection of str
        Names of the arrays to read.
    text : collection of str
        Names of those that may hold text in place of numbers.
    limit : int
        Largest total size accepted, in bytes.

    Returns
    -------
    dict of name to numpy array; names of ``optional`` that the file lacks are left out.

    Raises
    ------
    BadData
        The file is missing, is not an ``.npz`` file, is damaged, lacks a required array, or a
        member is refused for the reasons `read_npy` gives.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            missing = [name for name in required if name not in members]
            if missing:
                held = ", ".join(sorted(members)[:10]) or "nothing"
                raise BadData(f"'{path}' lacks the array '{missing[0]}'; it holds {held}")
            arrays: dict[str, np.ndarray] = {}
            left = limit
            for name in (*required, *optional):
                if name in members and name not in arrays:
                    arrays[name] = _read_member(
                        archive, members[name], left, path, kinds=_KINDS + _TEXT * (name in text)
                    )
                    left -= arrays[name].nbytes
            return arrays
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        # RuntimeError: the archive is encrypted. NotImplementedError: an unknown compression.
        raise BadData(f"'{path}' is not a usable .npz file: {error}") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of an ``.npz`` file; equal arrays give equal bytes."""
    stream = io.BytesIO()
    given: dict[str, Any] = dict(arrays)
    np.savez_compressed(stream, **given)
    return stream.getvalue()


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, path: Path, *, kinds: str
) -> np.ndarray:
    where = f"{path}:{info.filename}"
    if info.file_size > _DEFLATE_RATIO * info.compress_size + 1024:
        raise BadData(f"'{where}' claims to unpack to more than its compressed bytes can hold")
    try:
        with archive.open(info) as stream:
            return _read_array(stream, info.file_size, limit, where, kinds)
    except zlib.error as error:
        raise BadData(f"'{where}' is damaged: {error}") from None


def read_npy_header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and dtype from the header of a ``.npy`` file; nothing else is read.

    Raises
    ------
    BadData
        There is no such header.
    """
    try:
        version = npy_format.read_magic(stream)
        if version == (1, 0):
            return npy_format.read_array_header_1_0(stream)
        if version == (2, 0):
            return npy_format.read_array_header_2_0(stream)
        raise ValueError(f"version {version} of the format holds no plain numbers")
    except OSError:
        raise
    except Exception as error:
        # Numpy lets the exceptions of its parsers through, which are of many kinds.
        raise BadData(f"'{where}' is not a .npy array: {error}") from None


def _read_array(
    stream: IO[bytes], size: int, limit: int, where: str, kinds: str = _KINDS
) -> np.ndarray:
    """The array in ``stream``, whose header and data together take ``size`` bytes."""
    shape, fortran, dtype = read_npy_header(stream, where)
    if dtype.hasobject or dtype.kind not in kinds:
        raise BadData(
            f"'{where}' holds {dtype} values; expected plain numbers (Python objects are refused: "
            "reading them could run code)"
        )
    if dtype.itemsize == 0 or any(n < 0 for n in shape):
        raise BadData(f"'{where}' claims the impossible shape {shape} of {dtype}")
    needed, held = prod(shape) * dtype.itemsize, size - stream.tell()
    if needed > held:
        raise BadData(
            f"'{where}' is cut short: its header promises {needed:,} bytes of numbers and "
            f"{held:,} are there"
        )
    if needed > limit:
        raise BadData(f"'{where}' holds {needed:,} bytes, above the limit of {limit:,}")
    buffer = bytearray(needed)
    view, filled = memoryview(buffer), 0
    while filled < needed:
        count = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not count:
            raise BadData(f"'{where}' is cut short: {filled:,} of {needed:,} bytes are there")
        filled += count
    values = np.frombuffer(buffer, dtype=dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def _unreadable(path: Path, error: OSError) -> BadData:
    if isinstance(error, FileNotFoundError):
        return BadData(f"there is no file '{path}'")
    return BadData(f"cannot read '{path}': {error.strerror or error}")
