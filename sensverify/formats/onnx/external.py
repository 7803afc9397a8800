"""External data: weights that an ONNX file keeps in other files of its folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import onnx
from onnx import TensorProto

from sensverify.errors import BadModelFile
from sensverify.formats.files import open_regular


def embed_external_data(
    model: onnx.ModelProto, folder: Path, limit: int
) -> tuple[tuple[str, str], ...]:
    """Read every external tensor of a model into it.

    Only files inside of ``folder`` are opened, links followed, and only as many bytes are read as
    the tensor's shape asks for.

    Parameters
    ----------
    model : onnx.ModelProto
        Changed in place.
    folder : Path
        Folder of the model file.
    limit : int
        Most bytes to read in total.

    Returns
    -------
    tuple of (str, str)
        For every location, in alphabetical order, the SHA-256 of the bytes that were read from it,
        one tensor after the other in the model's order.

    Raises
    ------
    BadModelFile
        A location is absolute or leads out of the folder, a file is missing or too short, a length
        does not fit the tensor's shape, or more than ``limit`` bytes are asked for.
    """
    digests: dict[str, Any] = {}
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        size = _size(tensor)
        limit -= size
        if limit < 0:
            raise BadModelFile(f"the external data of tensor '{tensor.name}' is too large to read")
        location = entries.get("location", "")
        path = _inside(location, folder, tensor.name)
        tensor.raw_data = _read(path, entries, size, tensor.name)
        digests.setdefault(location, hashlib.sha256()).update(tensor.raw_data)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
    return tuple((location, digests[location].hexdigest()) for location in sorted(digests))


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _inside(location: str, folder: Path, name: str) -> Path:
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    if not location or "\0" in location:
        raise BadModelFile(f"the external data of tensor '{name}' has no usable location")
    if (
        posix.is_absolute()
        or windows.is_absolute()
        or windows.drive
        or ".." in posix.parts
        or ".." in windows.parts
    ):
        raise BadModelFile(
            f"the external data of tensor '{name}' points outside of the model's folder: "
            f"'{location}'; only files inside of it are read"
        )
    root = Path(os.path.realpath(folder))
    path = Path(os.path.realpath(root / location))
    if not path.is_relative_to(root):
        raise BadModelFile(
            f"the external data of tensor '{name}' is a link that leads outside of the model's "
            f"folder: '{location}'",
            "copy the file there",
        )
    return path


def _size(tensor: TensorProto) -> int:
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError, TypeError):
        dtype = None
    if dtype is None or dtype.kind == "O" or min(tensor.dims, default=0) < 0:
        raise BadModelFile(f"external tensor '{tensor.name}' has no usable type or shape")
    return prod(tensor.dims) * dtype.itemsize


def _read(path: Path, entries: dict[str, str], size: int, name: str) -> bytes:
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(size)))
    except ValueError:
        raise BadModelFile(f"external tensor '{name}' has an unreadable offset or length") from None
    if offset < 0 or length != size:
        raise BadModelFile(
            f"external tensor '{name}' asks for {length} bytes at {offset}, its shape for {size}"
        )
    with open_regular(path) as file:
        if offset + size > os.fstat(file.fileno()).st_size:
            raise BadModelFile(f"the external data of tensor '{name}' is cut off: '{path.name}'")
        file.seek(offset)
        return file.read(size)
