"""Certificate files: a zip archive with a JSON header and one ``.npy`` file for every array.

Version 1, 2 where the claims are about logits, 3 about input sets, 4 about the difference of two
models. ``header.json`` holds the
schema, what the claims are about, and the arrays' names; each array is ``NAME.npy``, little-endian,
as numpy writes it. The page on certificates in the documentation lists them. A file that names
anything else, leaves an array out or has more than one reading is refused.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sensverify.certificates.certificate import (
    LOGITS_SCHEMA,
    PAIR_SCHEMA,
    SCHEMA,
    SETS_SCHEMA,
    Certificate,
)
from sensverify.certificates.check.claims import Claims
from sensverify.certificates.check.ending import Ending
from sensverify.certificates.check.pair import NewModel, StoredPair
from sensverify.certificates.check.sets import InputSets
from sensverify.certificates.check.stored import StoredModel
from sensverify.certificates.header import ending_of, new_model_of, parse_header
from sensverify.core.proof import Cells, Hidden, Lines, Proof
from sensverify.errors import BadCertificate, CertificateRejected

T = TypeVar("T")

GIGABYTE = 1 << 30
HEADER = "header.json"
_LONGEST_HEADER = 1 << 24

_PIECE = 1 << 16
_LOCAL = 30
"""Bytes before a member's name, of an archive that is read from the front."""

_LONGEST_START = 256
"""Bytes in which numpy says what an array is."""

_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every member, so that one certificate has one file."""

_FLOATS, _REALS, _INTEGERS = ("<f8",), ("<f8", "<f4"), ("<i8",)
_ARRAYS: dict[str, tuple[tuple[str, ...], str]] = {
    "claims.lower": (_FLOATS, "Pn"),
    "claims.upper": (_FLOATS, "Pn"),
    "claims.rows": (_FLOATS, "QRm"),
    "claims.limits": (_FLOATS, "PR"),
    "claims.groups": (_INTEGERS, "PR"),
    "claims.strict": (_INTEGERS, "PR"),
    "claims.multipliers": (_FLOATS, "PRJ"),
    "sets.point": (_FLOATS, "Pn"),
    "sets.reach": (_FLOATS, "P"),
    "sets.order": (_INTEGERS, "P"),
    "sets.matrix": (_FLOATS, "PKn"),
    "sets.limits": (_FLOATS, "PK"),
    "sets.equal": (_INTEGERS, "K"),
    "sets.count": (_INTEGERS, "P"),
    "sets.window": (_INTEGERS, "PW"),
    "sets.patterns": (_FLOATS, "PTn"),
    "sets.least": (_FLOATS, "PT"),
    "sets.most": (_FLOATS, "PT"),
    "sets.cut": (_FLOATS, "PD"),
    **{
        f"cells.{item.name}": (_FLOATS if item.name == "at" else _INTEGERS, "C")
        for item in fields(Cells)
    },
    "hidden.problem": (_INTEGERS, "H"),
    "hidden.lower": (_FLOATS, "HE"),
    "hidden.upper": (_FLOATS, "HE"),
    "hidden.lines": (_INTEGERS, "H"),
    "hidden.own_set": (_INTEGERS, "X"),
    "hidden.own_entry": (_INTEGERS, "X"),
    "hidden.own_side": (_INTEGERS, "X"),
    "hidden.own_lines": (_INTEGERS, "X"),
    "lines.lower": (_REALS, "LE"),
    "lines.upper": (_REALS, "LE"),
    "weights": (_FLOATS, "LR"),
    "multiplier.cell": (_INTEGERS, "M"),
    "multiplier.split": (_INTEGERS, "M"),
    "multiplier.value": (_FLOATS, "M"),
}
"""Dtypes, and a letter for every axis: axes of one letter are equally long. Q is 1 or P."""

_SETS = tuple(name for name in _ARRAYS if name.startswith("sets."))
_OPTIONAL = (
    *("claims.groups", "claims.strict", "claims.multipliers", "lines.upper", "weights"),
    *_SETS,
)


def certificate_bytes(certificate: Certificate) -> bytes:
    """A certificate as the bytes of its file; the same ones for the same certificate."""
    arrays, ending, new = _arrays(certificate), certificate.ending, certificate.new
    header = {
        "schema": _schema(certificate),
        "claim": "bounds" if certificate.claims.groups is None else "refutation",
        "model": {
            "sha256": certificate.model_sha256,
            "external": dict(certificate.external),
            "inputs": list(certificate.inputs),
            "outputs": list(certificate.outputs),
            **({} if ending is None else {"ending": asdict(ending)}),
        },
        **({} if new is None else {"new": _stated(new)}),
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


def _stated(new: NewModel) -> dict[str, Any]:
    """The second model, as the header names it: an end or orders that it has not are left out."""
    found = asdict(new)
    optional = ("ending", "orders")
    return {name: value for name, value in found.items() if value or name not in optional}


def _schema(certificate: Certificate) -> str:
    if certificate.new is not None:
        return PAIR_SCHEMA
    if certificate.claims.sets is not None:
        return SETS_SCHEMA
    return SCHEMA if certificate.ending is None else LOGITS_SCHEMA


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _arrays(certificate: Certificate) -> dict[str, np.ndarray]:
    claims, proof = certificate.claims, certificate.proof
    found: dict[str, Any] = {
        f"claims.{i.name}": getattr(claims, i.name) for i in fields(claims) if i.name != "sets"
    }
    if claims.sets is not None:
        found |= {f"sets.{name}": values for name, values in claims.sets.arrays.items()}
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


Model = StoredModel | StoredPair | None


def read_certificate(
    path: str | os.PathLike[str], *, limit: int = 4 * GIGABYTE, model: Model = None
) -> Certificate:
    """Read a certificate file, which is not trusted: shapes are compared before memory is taken.

    What every array says of its shape is held against its size, the other arrays, the header and
    the model, before any of them is unpacked. Reading takes as much memory as the arrays do.

    Parameters
    ----------
    path : path
    limit : int
        Most bytes that the unpacked file may have.
    model : StoredModel or StoredPair, optional
        That the certificate must be about.

    Raises
    ------
    BadCertificate
        The file is missing, damaged, too large or not a certificate of this version.
    CertificateRejected
        It is about another model.
    """
    return _opened(path, lambda archive: _read(archive, limit, model))


def read_about(path: str | os.PathLike[str]) -> tuple[Ending | None, NewModel | None]:
    """The end of its model's file that a certificate leaves out, and the second model if any.

    From its header alone. Errors as of `read_certificate`, which finds what else is wrong.
    """

    def read(archive: zipfile.ZipFile) -> tuple[Ending | None, NewModel | None]:
        header = _header(archive)
        return ending_of(header["model"]), new_model_of(header)

    return _opened(path, read)


def _opened(path: str | os.PathLike[str], read: Callable[[zipfile.ZipFile], T]) -> T:
    name = Path(path).name
    try:
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names) or HEADER not in names:
                raise BadCertificate(f"a certificate has one {HEADER} and every array once")
            if any(info.compress_type not in _PACKED for info in archive.infolist()):
                raise BadCertificate("it is packed otherwise than by deflate")
            return read(archive)
    except BadCertificate as error:
        raise BadCertificate(f"'{name}': {error}") from None
    except OSError as error:
        raise BadCertificate(f"cannot read '{path}': {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        # Damaged, or encrypted.
        text = " ".join(str(error).split()) or type(error).__name__
        raise BadCertificate(f"'{name}' is no certificate file: {text}") from None


def _read(archive: zipfile.ZipFile, limit: int, model: Model) -> Certificate:
    infos = archive.infolist()
    _check_layout(archive, infos)
    if sum(info.file_size for info in infos) > limit:
        raise BadCertificate(f"unpacked, it has more than {limit:,} bytes")
    header, members = _header(archive), {}
    for info in infos:
        if info.filename == HEADER:
            continue
        name = info.filename.removesuffix(".npy")
        if name == info.filename or name not in _ARRAYS:
            raise BadCertificate(f"it holds '{info.filename[:80]}', which the format does not know")
        members[name] = info
    missing = [name for name in _ARRAYS if name not in members and name not in _OPTIONAL]
    if missing or sorted(members) != header["arrays"]:
        what = f"has no {missing[0]}" if missing else "holds other arrays than its header names"
        raise BadCertificate(f"it {what}")
    about_sets = any(name in _SETS for name in members)
    if about_sets != (header["schema"] == SETS_SCHEMA):
        raise BadCertificate(f"its schema is {header['schema']}, its arrays are of another")
    wanted = "refutation" if "claims.groups" in members else "bounds"
    if header["claim"] != wanted:
        raise BadCertificate(f"its header says '{header['claim']}', its arrays are of a {wanted}")
    if model is not None:
        _check_model(header, model)
    starts = {name: _start(archive, info, name) for name, info in members.items()}
    _check_shapes({name: shape for name, (_, shape, _) in starts.items()}, header, model)
    arrays = {name: _array(archive, members[name], *start) for name, start in starts.items()}
    return _certificate(header, arrays)


def _check_layout(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> None:
    """Refuse archives that somebody who reads from the front would read otherwise."""
    place = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset != place:
            break
        place += _LOCAL + len(info.filename.encode()) + info.compress_size
    else:
        if place == archive.start_dir and not archive.comment:
            return
    raise BadCertificate("it holds more than its members, or something between them")


def _check_model(header: dict[str, Any], model: StoredModel | StoredPair) -> None:
    first, new = header["model"], new_model_of(header)
    if isinstance(model, StoredPair):
        if new is None:
            raise CertificateRejected("the certificate is about one model, not two")
        model.require(new)
    elif new is not None:
        raise CertificateRejected("the certificate is about two models, not one")
    old = model.old if isinstance(model, StoredPair) else model
    old.require(first["sha256"], first.get("external", {}))
    old.require_ending(ending_of(first))
    old.require_shapes(tuple(first["inputs"]), tuple(first["outputs"]))


def _check_shapes(shapes: dict[str, tuple[int, ...]], header: dict[str, Any], model: Model) -> None:
    """Refuse shapes that do not fit each other, the header, or the model."""
    sizes = {"n": (prod(header["model"]["inputs"]), "the header's inputs")}
    outputs = prod(header["model"]["outputs"]) * (2 if "new" in header else 1)
    sizes["m"] = (outputs, "the header's outputs")
    if model is not None:
        sizes["E"] = (model.program.entries, "the model's entries of nonlinear functions")
    for name, shape in sorted(shapes.items()):
        for letter, length in zip(_ARRAYS[name][1], shape, strict=True):
            known, owner = sizes.setdefault(letter, (length, name))
            if length != known:
                raise BadCertificate(
                    f"{name} has the shape {shape}, which does not fit {owner} ({known} there, "
                    f"{length} here)"
                )
    if sizes["Q"][0] not in (1, sizes["P"][0]):
        raise BadCertificate(f"{sizes['Q'][0]} sets of rows do not fit {sizes['P'][0]} problems")


def _header(archive: zipfile.ZipFile) -> dict[str, Any]:
    info = archive.getinfo(HEADER)
    if info.file_size > _LONGEST_HEADER:
        raise BadCertificate(f"its header has {info.file_size:,} bytes")
    return parse_header(bytes(_member_bytes(archive, info)))


def _member_bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, start: int = 0) -> bytearray:
    """Bytes of a member from ``start`` on; never more than it declares, whatever it unpacks to."""
    data = bytearray(info.file_size - start)
    view, done = memoryview(data), -start
    with archive.open(info) as stream:
        # In small pieces: a reader asked for everything unpacks everything before it counts.
        while part := stream.read(_PIECE):
            if len(part) > len(data) - done:
                done = -1
                break
            kept = part[max(0, -done) :]
            place = max(done, 0)
            view[place : place + len(kept)] = kept
            done += len(part)
    if done != len(data):
        raise BadCertificate(f"'{info.filename[:80]}' is not as long as it says")
    return data


def _start(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str
) -> tuple[str, tuple[int, ...], int]:
    """Dtype, shape and first byte of an array, from the bytes before it."""
    dtypes, axes = _ARRAYS[name]
    with archive.open(info) as stream:
        head = stream.read(_LONGEST_START)
    for dtype in dtypes:
        found = _prefix(head, dtype, len(axes))
        if found is not None:
            shape, first = found
            if prod(shape) * np.dtype(dtype).itemsize == info.file_size - first:
                return dtype, shape, first
    raise BadCertificate(
        f"{name} is not an array of {len(axes)} axes of {' or '.join(dtypes)} as numpy's format "
        "1.0 writes it, or has not as many numbers as its shape says"
    )


def _array(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, dtype: str, shape: tuple[int, ...], first: int
) -> np.ndarray:
    return np.frombuffer(_member_bytes(archive, info, start=first), dtype).reshape(shape)


def _prefix(data: bytes, dtype: str, axes: int) -> tuple[tuple[int, ...], int] | None:
    """Shape and first byte of an array, if the bytes before it are those that numpy writes."""
    found = re.match(
        rb".{10}\{'descr': '[<a-z0-9]*', 'fortran_order': False, 'shape': "
        rb"\((\d{1,15}(?:, \d{1,15})*),?\)",
        data,
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
    return (shape, len(prefix)) if data[: len(prefix)] == prefix else None


def _certificate(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Certificate:
    def part(kind: type, name: str) -> Any:
        return kind(**{i.name: arrays.get(f"{name}.{i.name}") for i in fields(kind)})

    model, claims = header["model"], part(Claims, "claims")
    if any(name in arrays for name in _SETS):
        claims = replace(claims, sets=part(InputSets, "sets"))
    return Certificate(
        model_sha256=model["sha256"],
        inputs=tuple(model["inputs"]),
        outputs=tuple(model["outputs"]),
        claims=claims,
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
        ending=ending_of(model),
        new=new_model_of(header),
    )
