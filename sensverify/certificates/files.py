"""Certificate files: a zip archive with a JSON header and one ``.npy`` file for every array.

Version 1. ``header.json`` holds the schema, what the claims are about, and the arrays' names; each
array is ``NAME.npy``, little-endian, as numpy writes it. The page on certificates in the
documentation lists them. A file that names anything else, leaves an array out or has more than
one reading is refused.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
import zlib
from dataclasses import fields
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.certificates.certificate import SCHEMA, Certificate
from sensverify.certificates.check.claims import Claims
from sensverify.errors import BadCertificate
from sensverify.proof import Cells, Hidden, Lines, Proof

GIGABYTE = 1 << 30
HEADER = "header.json"
_LONGEST_HEADER = 1 << 24
_PIECE = 1 << 16
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every member, so that one certificate has one file."""

_FLOATS, _REALS, _INTEGERS = ("<f8",), ("<f8", "<f4"), ("<i8",)
_ARRAYS: dict[str, tuple[tuple[str, ...], int]] = {
    "claims.lower": (_FLOATS, 2),
    "claims.upper": (_FLOATS, 2),
    "claims.rows": (_FLOATS, 3),
    "claims.limits": (_FLOATS, 2),
    "claims.groups": (_INTEGERS, 2),
    "claims.strict": (_INTEGERS, 2),
    **{
        f"cells.{item.name}": (_FLOATS if item.name == "at" else _INTEGERS, 1)
        for item in fields(Cells)
    },
    **{
        f"hidden.{item.name}": (_FLOATS, 2) if item.name in ("lower", "upper") else (_INTEGERS, 1)
        for item in fields(Hidden)
    },
    "lines.lower": (_REALS, 2),
    "lines.upper": (_REALS, 2),
    "weights": (_FLOATS, 2),
    "multiplier.cell": (_INTEGERS, 1),
    "multiplier.split": (_INTEGERS, 1),
    "multiplier.value": (_FLOATS, 1),
}
"""Names, dtypes and numbers of axes."""

_OPTIONAL = ("claims.groups", "claims.strict", "lines.upper", "weights")


def certificate_bytes(certificate: Certificate) -> bytes:
    """A certificate as the bytes of its file; the same ones for the same certificate."""
    arrays = _arrays(certificate)
    header = {
        "schema": SCHEMA,
        "claim": "bounds" if certificate.claims.groups is None else "refutation",
        "model": {
            "sha256": certificate.model_sha256,
            "external": dict(certificate.external),
            "inputs": list(certificate.inputs),
            "outputs": list(certificate.outputs),
        },
        "arrays": sorted(arrays),
        "provenance": dict(certificate.provenance),
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        text = json.dumps(header, indent=1, ensure_ascii=True, allow_nan=False)
        archive.writestr(_member(HEADER), text)
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, arrays[name], version=(1, 0), allow_pickle=False)
            archive.writestr(_member(f"{name}.npy"), buffer.getvalue())
    return stream.getvalue()


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _arrays(certificate: Certificate) -> dict[str, np.ndarray]:
    claims, proof = certificate.claims, certificate.proof
    found: dict[str, Any] = {f"claims.{i.name}": getattr(claims, i.name) for i in fields(claims)}
    for name, part in (("cells", proof.cells), ("hidden", proof.hidden), ("lines", proof.lines)):
        found |= {f"{name}.{item.name}": getattr(part, item.name) for item in fields(part)}
    found |= {
        "weights": proof.weights,
        "multiplier.cell": proof.multiplier_cell,
        "multiplier.split": proof.multiplier_split,
        "multiplier.value": proof.multiplier,
    }
    result = {}
    for name, values in found.items():
        if values is not None:
            dtypes, _ = _ARRAYS[name]
            dtype = values.dtype.newbyteorder("<").str
            result[name] = np.ascontiguousarray(values, dtype if dtype in dtypes else dtypes[0])
    return result


def read_certificate(path: str | os.PathLike[str], *, limit: int = 4 * GIGABYTE) -> Certificate:
    """Read a certificate file, which is not trusted: sizes are checked before memory is taken.

    Parameters
    ----------
    path : path
    limit : int
        Most bytes that the unpacked file may have.

    Raises
    ------
    BadCertificate
        The file is missing, damaged, too large or not a certificate of this version.
    """
    name = Path(path).name
    try:
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
            return _read(archive, limit)
    except BadCertificate as error:
        raise BadCertificate(f"'{name}': {error}") from None
    except OSError as error:
        raise BadCertificate(f"cannot read '{path}': {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        # Damaged, or encrypted.
        text = " ".join(str(error).split()) or type(error).__name__
        raise BadCertificate(f"'{name}' is no certificate file: {text}") from None


def _read(archive: zipfile.ZipFile, limit: int) -> Certificate:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(set(names)) != len(names) or HEADER not in names:
        raise BadCertificate(f"a certificate has one {HEADER} and every array once")
    if sum(info.file_size for info in infos) > limit:
        raise BadCertificate(f"unpacked, it has more than {limit:,} bytes")
    if any(info.compress_type not in _PACKED for info in infos):
        raise BadCertificate("it is packed otherwise than by deflate")
    header = _header(archive)
    arrays = {}
    for info in infos:
        if info.filename == HEADER:
            continue
        name = info.filename.removesuffix(".npy")
        if name == info.filename or name not in _ARRAYS:
            raise BadCertificate(f"it holds '{info.filename[:80]}', which the format does not know")
        arrays[name] = _array(archive, info, name)
    missing = [name for name in _ARRAYS if name not in arrays and name not in _OPTIONAL]
    if missing or sorted(arrays) != header["arrays"]:
        what = f"has no {missing[0]}" if missing else "holds other arrays than its header names"
        raise BadCertificate(f"it {what}")
    wanted = "refutation" if "claims.groups" in arrays else "bounds"
    if header["claim"] != wanted:
        raise BadCertificate(f"its header says '{header['claim']}', its arrays are of a {wanted}")
    return _certificate(header, arrays)


def _header(archive: zipfile.ZipFile) -> dict[str, Any]:
    info = archive.getinfo(HEADER)
    if info.file_size > _LONGEST_HEADER:
        raise BadCertificate(f"its header has {info.file_size:,} bytes")
    text = _member_bytes(archive, info)
    try:
        # Decoded here: of bytes, json takes other encodings too, and a certificate has one reading.
        words = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadCertificate(
            f"its header is not text in UTF-8: byte {error.start} of {HEADER} is "
            f"0x{text[error.start]:02x}; write it as UTF-8 without a byte order mark"
        ) from None
    try:
        header = json.loads(words, object_pairs_hook=_unique, parse_constant=_no_number)
    except (json.JSONDecodeError, RecursionError):
        raise BadCertificate("its header is no JSON") from None
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        found = header.get("schema") if isinstance(header, dict) else header
        raise BadCertificate(f"expected the schema {SCHEMA}, got {str(found)[:80]!r}")
    model = header.get("model")
    digests: list[Any] = []
    if isinstance(model, dict) and _is_model(model):
        digests = [model.get("sha256"), *model.get("external", {}).values()]
    fine = (
        digests
        and all(isinstance(digest, str) for digest in digests)
        and isinstance(header.get("claim"), str)
        and isinstance(header.get("arrays"), list)
        and isinstance(header.get("provenance"), dict)
    )
    if not fine:
        raise BadCertificate("its header lacks a field, or has one of another type")
    return header


def _is_model(model: dict[str, Any]) -> bool:
    return isinstance(model.get("external", {}), dict) and all(
        isinstance(model.get(key), list)
        and all(isinstance(n, int) and not isinstance(n, bool) for n in model[key])
        for key in ("inputs", "outputs")
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise BadCertificate("its header holds one key twice")
    return dict(pairs)


def _no_number(text: str) -> float:
    raise BadCertificate(f"its header holds {text}")


def _member_bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """What a member holds; never more than it says, whatever it unpacks to."""
    parts, left = [], info.file_size
    with archive.open(info) as stream:
        # In small pieces: a reader asked for everything unpacks everything before it counts.
        while part := stream.read(min(_PIECE, left + 1)):
            parts.append(part)
            left -= len(part)
            if left < 0:
                break
    if left:
        raise BadCertificate(f"'{info.filename[:80]}' is not as long as it says")
    return b"".join(parts)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    data = _member_bytes(archive, info)
    dtypes, axes = _ARRAYS[name]
    for dtype in dtypes:
        start = _prefix(data, dtype, axes)
        if start is not None:
            shape, first = start
            return np.frombuffer(data, dtype, offset=first).reshape(shape)
    raise BadCertificate(
        f"{name} is not an array of {axes} axes of {' or '.join(dtypes)} as numpy's format 1.0 "
        "writes it, or has not as many numbers as its shape says"
    )


def _prefix(data: bytes, dtype: str, axes: int) -> tuple[tuple[int, ...], int] | None:
    """Shape and first byte of an array, if the bytes before it are those that numpy writes."""
    found = re.match(
        rb".{10}\{'descr': '[<a-z0-9]*', 'fortran_order': False, 'shape': "
        rb"\((\d{1,15}(?:, \d{1,15})*),?\)",
        data[:256],
        re.DOTALL,
    )
    if found is None:
        return None
    shape = tuple(int(n) for n in found[1].split(b", "))
    if len(shape) != axes:
        return None
    stream = io.BytesIO()
    fields = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    prefix = stream.getvalue()
    size = prod(shape) * np.dtype(dtype).itemsize
    return (
        (shape, len(prefix))
        if data[: len(prefix)] == prefix and (size == len(data) - len(prefix))
        else None
    )


def _certificate(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Certificate:
    def part(kind: type, name: str) -> Any:
        return kind(**{i.name: arrays.get(f"{name}.{i.name}") for i in fields(kind)})

    model = header["model"]
    return Certificate(
        model_sha256=model["sha256"],
        inputs=tuple(model["inputs"]),
        outputs=tuple(model["outputs"]),
        claims=part(Claims, "claims"),
        proof=Proof(
            cells=part(Cells, "cells"),
            lines=part(Lines, "lines"),
            hidden=part(Hidden, "hidden"),
            weights=arrays.get("weights"),
            multiplier_cell=arrays["multiplier.cell"],
            multiplier_split=arrays["multiplier.split"],
            multiplier=arrays["multiplier.value"],
        ),
        external=model.get("external", {}),
        provenance=header["provenance"],
    )
