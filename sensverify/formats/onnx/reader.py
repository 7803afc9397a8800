"""Reading and checking of an ONNX file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import checker

from sensverify.core.digests import sha256
from sensverify.errors import BadModelFile, UnsupportedOperator
from sensverify.formats.files import GIGABYTE, stored_bytes, unpacked
from sensverify.formats.onnx.external import embed_external_data

OLDEST_OPSET = 7

_PASSED: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
"""Digests of what the ONNX checker has passed: bounds, replays and certificates read one file."""


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """An ONNX model, and which bytes it was made from.

    Parameters
    ----------
    model : onnx.ModelProto
        With its external data embedded.
    sha256 : str
        Digest of the file as it is on disk, packed or not.
    external : tuple of (str, str)
        Every location of external data, with the SHA-256 of what was read from it: the bytes of
        its tensors, one after the other in the model's order.
    """

    model: onnx.ModelProto
    sha256: str
    external: tuple[tuple[str, str], ...]


def read_model(path: str | os.PathLike[str], *, limit: int = GIGABYTE) -> onnx.ModelProto:
    """The model of `read_file`."""
    return read_file(path, limit=limit).model


def read_file(path: str | os.PathLike[str], *, limit: int = GIGABYTE) -> OnnxFile:
    """Read and check an ONNX file, with its external data. Every byte is read once.

    Parameters
    ----------
    path : path
        ``.onnx`` or ``.onnx.gz``.
    limit : int
        Most bytes to hold: of the file after unpacking, and of its external data.

    Raises
    ------
    BadModelFile
        The file is missing, empty, truncated, no ONNX file, too large, fails the ONNX checker, or
        asks for external data outside of its folder.
    UnsupportedOperator
        The operator set is older than 7, or unknown to the installed onnx package.
    """
    path = Path(path)
    model = onnx.ModelProto()
    stored = stored_bytes(path, limit)
    contents = unpacked(stored, path, limit)
    try:
        model.ParseFromString(contents)
    except (DecodeError, ValueError) as error:
        raise BadModelFile(f"'{path}' is no intact ONNX file: {_first_line(error)}") from None
    if not model.graph.node and not model.graph.output:
        raise BadModelFile(f"'{path}' is no ONNX file: it holds no graph")
    opset(model)
    _open_batch(model)
    external = embed_external_data(model, path.parent, limit)
    digests = sha256(stored), external
    if digests not in _PASSED:
        try:
            checker.check_model(model)
        except (checker.ValidationError, ValueError, TypeError) as error:
            problem = _first_line(error)
            remedy = ""
            if "deprecated" in problem:
                remedy = "export it with a newer operator set; GroupNormalization is there from 21"
            raise BadModelFile(f"'{path}' fails the ONNX checker: {problem}", remedy) from None
        _PASSED.add(digests)
    return OnnxFile(model, *digests)


def _open_batch(model: onnx.ModelProto) -> None:
    """Leave open a batch axis that an exporter wrote as 0, which no runtime takes by its word."""
    graph = model.graph
    if not any(_no_batch(item) for item in graph.input):
        return
    for item in (*graph.input, *graph.output, *graph.value_info):
        if _no_batch(item):
            item.type.tensor_type.shape.dim[0].dim_param = "batch"


def _no_batch(item: onnx.ValueInfoProto) -> bool:
    axes = item.type.tensor_type.shape.dim
    return len(axes) > 0 and axes[0].HasField("dim_value") and axes[0].dim_value == 0


def opset(model: onnx.ModelProto) -> int:
    """The version of the standard operator set that a model uses.

    Raises
    ------
    BadModelFile
        It declares none, or two.
    UnsupportedOperator
        It is older than 7, or unknown to the installed onnx package.
    """
    versions = {item.version for item in model.opset_import if item.domain in ("", "ai.onnx")}
    if len(versions) != 1:
        raise BadModelFile("the model does not declare one version of the ONNX operator set")
    version = int(versions.pop())
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= version <= newest:
        raise UnsupportedOperator(
            f"the model uses ONNX operator set {version}, supported are {OLDEST_OPSET} to {newest}",
            "convert it with onnx.version_converter, or install a newer onnx",
        )
    return version


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
