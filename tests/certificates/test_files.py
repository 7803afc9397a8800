"""Certificate files: the same after reading, and nothing a hostile one can do."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from sensverify.certificates import (
    Certificate,
    Claims,
    StoredModel,
    certificate_bytes,
    files,
    read_certificate,
)
from sensverify.core.proof import Cells, Hidden, Lines, Proof
from sensverify.errors import BadCertificate, CertificateRejected
from sensverify.models import resolve

SECONDS = 1.0
"""Until a hostile file is refused."""


def small(*, groups: bool = False, weights: bool = False, chord: bool = False) -> Certificate:
    """A certificate whose arrays hold what they like; one of everything."""
    rng = np.random.default_rng(0)
    problems, features, outputs, rows, entries, sets = 2, 3, 2, 4, 5, 3
    lower = rng.normal(size=(problems, features))
    claims = Claims(
        lower,
        lower + 1,
        rng.normal(size=(1, rows, outputs)),
        rng.normal(size=(problems, rows)),
        np.array([[0, 1, -1, 0], [0, 0, 1, 1]]) if groups else None,
    )
    low = rng.normal(size=(2, entries))
    one = np.array([1])
    hidden = Hidden(np.arange(2), low, low + 1, np.array([-1, 0]), one, one, one, one)
    cells = Cells(
        problem=np.array([0, 0, 0, 1]),
        group=np.full(4, -1),
        parent=np.array([-1, 0, 0, -1]),
        side=np.array([0, -1, 1, 0]),
        split=np.array([4, -1, -1, -1]),
        at=rng.normal(size=4),
        hidden=np.array([-1, 0, 0, 1]),
        lines=np.array([-1, 0, 1, 2]),
    )
    slopes = rng.normal(size=(2, sets, entries))
    lines = Lines(slopes[0].astype(np.float32), None if chord else slopes[1])
    weigh = np.abs(rng.normal(size=(sets, rows))) if weights else None
    proof = Proof(cells, lines, hidden, weigh, one, one - 1, np.array([0.5]))
    return Certificate("ab" * 32, (3,), (2,), claims, proof, {"w.bin": "cd" * 32}, {"by": "hand"})


KINDS = {
    "bounds": small(),
    "refutation": small(groups=True, weights=True),
    "chord": small(chord=True, weights=True),
}


def arrays(part: object) -> dict[str, object]:
    """Every field below a dataclass, by its path."""
    found: dict[str, object] = {}
    for item in fields(part):  # type: ignore[arg-type]
        value = getattr(part, item.name)
        if hasattr(value, "__dataclass_fields__"):
            found |= {f"{item.name}.{name}": inner for name, inner in arrays(value).items()}
        else:
            found[item.name] = value
    return found


def read(tmp_path: Path, data: bytes, **options: int) -> Certificate:
    path = tmp_path / "some.cert"
    path.write_bytes(data)
    return read_certificate(path, **options)


def refused(tmp_path: Path, data: bytes, **options: int) -> str:
    """Why a file is no certificate."""
    began = time.process_time()
    with pytest.raises(BadCertificate) as caught:
        read(tmp_path, data, **options)
    assert time.process_time() - began < SECONDS
    return str(caught.value)


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def packed(parts: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def with_member(name: str, content: bytes) -> bytes:
    return packed(members(certificate_bytes(KINDS["bounds"])) | {name: content})


def with_header(change: Callable[[str], str]) -> bytes:
    parts = members(certificate_bytes(KINDS["bounds"]))
    text = change(parts["header.json"].decode())
    assert text != parts["header.json"].decode()
    return packed(parts | {"header.json": text.encode()})


def numpy_file(header: str, content: bytes = b"", *, version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + content


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_is_the_same_after_reading(kind: str, tmp_path: Path) -> None:
    given = KINDS[kind]
    data = certificate_bytes(given)
    back = read(tmp_path, data)
    assert certificate_bytes(back) == data
    found, expected = arrays(back), arrays(given)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[name], value, strict=True)
        else:
            assert found[name] == value, name


@pytest.mark.parametrize("kind", KINDS)
def test_one_certificate_has_one_file(kind: str) -> None:
    data = certificate_bytes(KINDS[kind])
    time.sleep(0.01)
    assert certificate_bytes(KINDS[kind]) == data


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    data = certificate_bytes(KINDS["bounds"])
    for wrong in (
        b"",
        b"PK\x03\x04",
        b"certificate",
        data[:-30],
        data[len(data) // 2 :],
        b"\0" * 99,
    ):
        refused(tmp_path, wrong)
    with pytest.raises(BadCertificate, match="cannot read"):
        read_certificate(tmp_path)
    with pytest.raises(BadCertificate, match="cannot read"):
        read_certificate(tmp_path / "none.cert")


def test_members_that_do_not_belong_are_refused(tmp_path: Path) -> None:
    assert "does not know" in refused(tmp_path, with_member("more.npy", b""))
    assert "does not know" in refused(tmp_path, with_member("claims.lower", b""))
    assert "does not know" in refused(tmp_path, with_member("../claims.lower.npy", b""))
    parts = members(certificate_bytes(KINDS["bounds"]))
    for name in parts:
        refused(tmp_path, packed({k: v for k, v in parts.items() if k != name}))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("claims.limits.npy", parts["claims.limits.npy"])
    assert "once" in refused(tmp_path, stream.getvalue())


def test_bytes_beside_the_members_are_refused(tmp_path: Path) -> None:
    data = certificate_bytes(KINDS["bounds"])
    assert "more than its members" in refused(tmp_path, b"#!/bin/sh\n" + data)
    assert "more than its members" in refused(tmp_path, data + data)
    stream = io.BytesIO(data)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = b"and more"
    assert "more than its members" in refused(tmp_path, stream.getvalue())


def sized(name: str, shape: tuple[int, ...], dtype: str = "<f8") -> dict[str, bytes]:
    """Members of a certificate with one array of zeros of another shape."""
    stream = io.BytesIO()
    np.save(stream, np.zeros(shape, dtype))
    return members(certificate_bytes(KINDS["refutation"])) | {f"{name}.npy": stream.getvalue()}


SHAPES = {
    "claims.lower": (2, 4),
    "claims.upper": (1, 3),
    "claims.rows": (3, 4, 2),
    "claims.limits": (2, 5),
    "cells.at": (5,),
    "hidden.lower": (2, 6),
    "lines.lower": (3, 6),
    "lines.upper": (4, 5),
    "weights": (3, 5),
    "multiplier.value": (2,),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_compared_before_anything_is_unpacked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(*_: object, **__: object) -> None:
        raise AssertionError("an array was unpacked")

    monkeypatch.setattr(files, "_array", unpack)
    assert "fit" in refused(tmp_path, packed(sized(name, SHAPES[name])))


def test_a_file_takes_as_much_memory_as_its_arrays(tmp_path: Path) -> None:
    """And none where it is about another model."""
    arrays = ("lines.lower", 5), ("lines.upper", 5), ("weights", 4)
    large = sized("lines.lower", (1, 5))
    for name, width in arrays:
        large[f"{name}.npy"] = sized(name, (400_000, width))[f"{name}.npy"]
    size, path = sum(map(len, large.values())), tmp_path / "large.cert"
    path.write_bytes(packed(large))
    model = StoredModel.read(resolve("iris").path)
    tracemalloc.start()
    try:
        read_certificate(path)
        assert tracemalloc.get_traced_memory()[1] < 1.3 * size
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(CertificateRejected, match="another model"):
            read_certificate(path, model=model)
        assert tracemalloc.get_traced_memory()[1] - before < 0.2 * size
    finally:
        tracemalloc.stop()


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    data = bytearray(certificate_bytes(KINDS["bounds"]))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        first = archive.start_dir
    # The first bit of the flags, in the directory.
    data[first + 8] |= 1
    refused(tmp_path, bytes(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_pack_are_refused(method: int, tmp_path: Path) -> None:
    data = bytearray(packed(members(certificate_bytes(KINDS["bounds"])), method))
    refused(tmp_path, bytes(data))
    data[60] ^= 0xFF
    refused(tmp_path, bytes(data))


PLAIN = "{{'descr': {}, 'fortran_order': {}, 'shape': {}}}"
HEADERS = {
    "object": PLAIN.format("'|O'", False, "(2, 3)"),
    "other dtype": PLAIN.format("'<f4'", False, "(2, 3)"),
    "other order": PLAIN.format("'>f8'", False, "(2, 3)"),
    "columns first": PLAIN.format("'<f8'", True, "(2, 3)"),
    "one axis": PLAIN.format("'<f8'", False, "(6,)"),
    "another shape": PLAIN.format("'<f8'", False, "(3, 3)"),
    "negative": PLAIN.format("'<f8'", False, "(-2, -3)"),
    "huge": PLAIN.format("'<f8'", False, f"(0, {10**30})"),
    "many digits": PLAIN.format("'<f8'", False, f"({'9' * 6000}, 1)"),
    "truth values": PLAIN.format("'<f8'", False, "(True, True)"),
    "fields": PLAIN.format("[('a', '<f8')]", False, "(2, 3)"),
    "inner shape": PLAIN.format("('<f8', (2,))", False, "(2, 3)"),
    "no dtype": PLAIN.format("()", False, "(2, 3)"),
    "nested dtype": PLAIN.format("(" * 150 + "'<f8'" + ",)" * 150, False, "(2, 3)"),
    "Python 2": PLAIN.format("'<f8'", False, "(2L, 3L)"),
    "unhashable": "{[]: 1}",
    "unfinished text": "{'descr': '''",
    "unfinished dict": "{'descr': '<f8'",
    "indented": " {\n  1",
    "brackets": "(" * 5000,
    "signs": "-" * 9000 + "1",
    "nothing": "",
    "null": "\0",
}


@pytest.mark.parametrize("name", HEADERS)
def test_arrays_with_another_header_are_refused(name: str, tmp_path: Path) -> None:
    content = np.zeros(6).tobytes()
    refused(tmp_path, with_member("claims.lower.npy", numpy_file(HEADERS[name], content)))


def test_arrays_with_more_or_less_content_are_refused(tmp_path: Path) -> None:
    header = PLAIN.format("'<f8'", False, "(2, 3)")
    for size in (0, 47, 49, 96):
        refused(tmp_path, with_member("claims.lower.npy", numpy_file(header, bytes(size))))
    wrong = numpy_file(header, bytes(48), version=b"\x02\x00")
    refused(tmp_path, with_member("claims.lower.npy", wrong))
    for content in (b"", b"\x93NUMPY", b"\x80\x04N."):
        refused(tmp_path, with_member("claims.lower.npy", content))


CHANGES: dict[str, Callable[[str], str]] = {
    "another schema": lambda text: text.replace("certificate/1", "certificate/2"),
    "a key twice": lambda text: text.replace("{", '{"claim": "refutation",', 1),
    "another claim": lambda text: text.replace('"bounds"', '"refutation"'),
    "no number": lambda text: text.replace('"hand"', "NaN"),
    "infinity": lambda text: text.replace('"hand"', "-Infinity"),
    "not all arrays": lambda text: text.replace('  "cells.at",\n', ""),
    "a list": lambda text: f"[{text}]",
    "no JSON": lambda text: text[:-1],
    "deep": lambda text: "[" * 100_000,
    "many digits": lambda text: text.replace('"hand"', "9" * 6000),
    "shape of texts": lambda text: text.replace('"inputs": [\n   3', '"inputs": [\n   "3"'),
    "digest is a number": lambda text: text.replace(f'"{"ab" * 32}"', "7"),
    "external is a list": lambda text: text.replace('{\n   "w.bin"', '[{\n   "w.bin"').replace(
        f'"{"cd" * 32}"\n  }}', f'"{"cd" * 32}"\n  }}]'
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_headers_are_refused(name: str, tmp_path: Path) -> None:
    refused(tmp_path, with_header(CHANGES[name]))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '["\\"[",' * 100_000])
def test_a_deep_header_ends_no_process_whose_recursion_limit_is_raised(
    text: str, tmp_path: Path
) -> None:
    """As that of auto_LiRPA's users: it raises the limit where it is imported."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        assert "nests" in refused(tmp_path, with_header(lambda _: text))
    finally:
        sys.setrecursionlimit(before)


def test_brackets_in_the_words_of_a_header_are_not_nested(tmp_path: Path) -> None:
    words = '"provenance": {"who": "' + "[{" * 500 + '\\"[",'
    read(tmp_path, with_header(lambda text: text.replace('"provenance": {', words, 1)))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be", "latin-1"])
def test_a_header_that_is_not_in_utf8_is_refused(encoding: str, tmp_path: Path) -> None:
    """Others might read such bytes otherwise, or not at all."""
    text = members(certificate_bytes(KINDS["bounds"]))["header.json"].decode()
    text = text.replace('"provenance": {', '"provenance": {"who": "Müller", ', 1)
    assert "Müller" in text
    read(tmp_path, with_member("header.json", text.encode("utf-8")))
    why = refused(tmp_path, with_member("header.json", text.encode(encoding)))
    assert "UTF-8" in why or "JSON" in why


def test_a_long_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    data = with_header(lambda text: text + " " * (1 << 25))
    assert "header" in refused(tmp_path, data)


def test_what_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    data = with_member("claims.lower.npy", bytes(1 << 24))
    assert "more than" in refused(tmp_path, data, limit=1 << 20)


def test_what_unpacks_to_more_than_it_says_takes_no_memory(tmp_path: Path) -> None:
    """Half a gigabyte of zeros in a member that says it has a hundred bytes."""
    path = tmp_path / "bomb.cert"
    path.write_bytes(_bomb(members(certificate_bytes(KINDS["bounds"]))))
    code = (
        "import resource, sys\n"
        "from sensverify.certificates import read_certificate\n"
        "from sensverify.errors import BadCertificate\n"
        "size = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = size()\n"
        "try:\n"
        "    read_certificate(sys.argv[1])\n"
        "except BadCertificate:\n"
        "    print(size() - before)\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kilobytes = int(done.stdout)
    assert kilobytes < 200_000


def _bomb(parts: dict[str, bytes]) -> bytes:
    zeros = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = b"".join(zeros.compress(bytes(1 << 24)) for _ in range(32)) + zeros.flush()
    local, directory = b"", b""
    for name, content in parts.items():
        squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = squeezed.compress(content) + squeezed.flush()
        if name == "claims.lower.npy":
            data, content = body, bytes(100)
        label = name.encode()
        sizes = (zlib.crc32(content), len(data), len(content), len(label))
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0x21, *sizes, 0, 0, 0, 0, 0, len(local)
        )
        directory += label
        local += struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0x21, *sizes, 0) + label + data
    count = len(parts)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(local), 0)
    return local + directory + end


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_raise_nothing_else(seed: int, tmp_path: Path) -> None:
    data, rng = certificate_bytes(KINDS["refutation"]), np.random.default_rng(seed)
    refusals = 0
    for _ in range(400):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            changed[place] ^= 1 << rng.integers(8)
        try:
            read(tmp_path, bytes(changed))
        except BadCertificate:
            refusals += 1
    assert refusals > 200
