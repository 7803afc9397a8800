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
import zipfile
from dataclasses import fields
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.certificates.certificate import SCHEMA, Certificate
from sensverify.certificates.check.checker import Claims
from sensverify.errors import BadCertificate
from sensverify.proof import Cells, Hidden, Lines, Proof

GIGABYTE = 1 << 30
HEADER = "header.json"
_LONGEST_HEADER = 1 << 24
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every member, so that one certificate has one file."""

_FLOATS, _REALS, _INTEGERS = ("<f8",), ("<f8", "<f4"), ("<i8",)
_ARRAYS: dict[str, tuple[tuple[str, ...], int]] = {
    "claims.lower": (_FLOATS, 2),
    "claims.upper": (_FLOATS, 2),
    "claims.rows": (_FLOATS, 3),
    "claims.limits": (_FLOATS, 2),
    "claims.groups": (_INTEGERS, 2),
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

_OPTIONAL = ("claims.groups", "lines.upper", "weights")


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
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        # Damaged, encrypted, or packed in a way that is not in the format.
        text = " ".join(str(error).split()) or type(error).__name__
        raise BadCertificate(f"'{name}' is no certificate file: {text}") from None
    except Exception as error:
        if type(error).__module__ != "zlib":
            raise
        raise BadCertificate(f"'{name}' is damaged: {error}") from None


def _read(archive: zipfile.ZipFile, limit: int) -> Certificate:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(set(names)) != len(names) or HEADER not in names:
        raise BadCertificate(f"a certificate has one {HEADER} and every array once")
    if sum(info.file_size for info in infos) > limit:
        raise BadCertificate(f"unpacked, it has more than {limit:,} bytes")
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
    try:
        header = json.loads(archive.read(info))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise BadCertificate("its header is no JSON") from None
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        found = header.get("schema") if isinstance(header, dict) else header
        raise BadCertificate(f"expected the schema {SCHEMA}, got {str(found)[:80]!r}")
    model = header.get("model")
    digests = [model.get("sha256"), *model.get("external", {}).values()] if _is_model(model) else []
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


def _is_model(model: Any) -> bool:
    return (
        isinstance(model, dict)
        and isinstance(model.get("external", {}), dict)
        and all(
            isinstance(model.get(key), list)
            and all(isinstance(n, int) and not isinstance(n, bool) for n in model[key])
            for key in ("inputs", "outputs")
        )
    )


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    data = archive.read(info)
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise BadCertificate(f"{name} is not in version 1.0 of numpy's format")
    shape, columns_first, dtype = np.lib.format.read_array_header_1_0(stream)
    dtypes, axes = _ARRAYS[name]
    if dtype.str not in dtypes or columns_first or len(shape) != axes:
        raise BadCertificate(
            f"{name} has dtype {dtype.str} and {len(shape)} axes, expected {' or '.join(dtypes)} "
            f"and {axes}, in row-major order"
        )
    if min(shape) < 0 or prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise BadCertificate(f"{name} has not as many numbers as its shape says")
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)


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
