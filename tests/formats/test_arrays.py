"""Array files are hostile until read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sensverify.errors import BadData
from sensverify.formats.arrays import read_npy, read_npz


def npy_bytes(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def header(text: str) -> bytes:
    line = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line.encode()


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6, dtype=">i4"),
        np.zeros((0, 3), dtype=np.float32),
        np.float64(3.5),
        np.array([True, False]),
    ],
)
def test_reads_what_numpy_wrote(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", values)
    found = read_npy(tmp_path / "a.npy")
    assert found.dtype == np.asarray(values).dtype
    np.testing.assert_array_equal(found, values)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", x=values, unread=np.array([{}], dtype=object))
        arrays = read_npz(tmp_path / "a.npz", required=("x",), optional=("y",))
        assert list(arrays) == ["x"]
        np.testing.assert_array_equal(arrays["x"], values)


@pytest.mark.parametrize("kept", [0, 3, 20, 90, -1])
def test_cut_short(tmp_path: Path, kept: int) -> None:
    content = npy_bytes(np.arange(50.0))
    (tmp_path / "a.npy").write_bytes(content[:kept])
    with pytest.raises(BadData):
        read_npy(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", x=np.arange(50.0))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "b.npz").write_bytes(content[:kept])
    with pytest.raises(BadData):
        read_npz(tmp_path / "b.npz", required=("x",))


@pytest.mark.parametrize("dtype", ["object", "U3", "c16", "M8[s]", "f4,i4"])
def test_only_plain_numbers(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros(2, dtype=dtype), allow_pickle=True)
    with pytest.raises(BadData):
        read_npy(tmp_path / "a.npy")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(BadData, match="refused"):
        read_npy(tmp_path / "a.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "shape",
    [
        "(10**30,)",
        "(1000000000000,)",
        "(-5,)",
        "(2**40, 2**40)",
        "((1,),)",
        "'x'",
        "5",
        "(35, 8, }",
    ],
)
def test_a_header_that_lies_costs_no_memory(tmp_path: Path, shape: str) -> None:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    (tmp_path / "a.npy").write_bytes(header(text) + b"\0" * 64)
    with pytest.raises(BadData):
        read_npy(tmp_path / "a.npy")


def test_limit(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(100))
    with pytest.raises(BadData, match="above the limit"):
        read_npy(tmp_path / "a.npy", limit=799)
    # Together, not one by one.
    np.savez(tmp_path / "a.npz", x=np.zeros(60), y=np.zeros(60))
    with pytest.raises(BadData, match="above the limit"):
        read_npz(tmp_path / "a.npz", required=("x", "y"), limit=799)


def test_a_member_that_unpacks_to_more_than_it_can_hold(tmp_path: Path) -> None:
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (100000000,), }"
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header(text) + b"\0" * 4096)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    size = (4096 + 127 + 1).to_bytes(4, "little")
    assert len(header(text)) + 4096 == int.from_bytes(size, "little")
    lie = (900_000_000).to_bytes(4, "little")
    (tmp_path / "b.npz").write_bytes(bytes(content).replace(size, lie))
    with pytest.raises(BadData, match="claims"):
        read_npz(tmp_path / "b.npz", required=("x",))


def test_damaged_data(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=500))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[300:340] = b"\xff" * 40
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(BadData):
        read_npz(tmp_path / "a.npz", required=("x",))


def test_missing_file_array_and_folder(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="there is no file"):
        read_npy(tmp_path / "a.npy")
    with pytest.raises(BadData, match="there is no file"):
        read_npz(tmp_path / "a.npz", required=("x",))
    with pytest.raises(BadData, match="cannot read"):
        read_npy(tmp_path)
    np.savez(tmp_path / "a.npz", y=np.zeros(1))
    with pytest.raises(BadData, match=r"lacks the array 'x'; it holds y"):
        read_npz(tmp_path / "a.npz", required=("x",))
